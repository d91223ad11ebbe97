//! What survives a crash: a choice for each change that was not synced.

use fastrand::Rng;

/// Which of the changes that were not synced a crash leaves behind. Every one of these is legal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Persist {
    /// None.
    Nothing,
    /// All, as if everything had been synced just before.
    Everything,
    /// Each with this probability, in percent, and not always in its latest version.
    Each {
        /// 0 to 100.
        percent: u8,
    },
    /// All but one.
    AllButOne,
    /// One alone.
    OnlyOne,
    /// Those made up to some moment, as if everything were written back in order.
    UpToAMoment,
    /// Names up to some moment, as a journal keeps them; sizes and contents each by chance.
    NamesInOrder,
    /// Names and sizes, but no contents: what was written reads as zeros.
    NamesAndSizes,
    /// Sizes and contents, but no names.
    SizesAndContents,
}

impl Persist {
    fn chosen_by(rng: &mut Rng) -> Self {
        match rng.u8(0..12) {
            0 => Self::Nothing,
            1 => Self::Everything,
            2 => Self::Each { percent: 10 },
            3..=5 => Self::Each { percent: 50 },
            6 => Self::Each { percent: 90 },
            7 => Self::AllButOne,
            8 => Self::OnlyOne,
            9 => Self::UpToAMoment,
            10 => Self::NamesInOrder,
            _ if rng.bool() => Self::NamesAndSizes,
            _ => Self::SizesAndContents,
        }
    }
}

/// What kind of change it is that persists or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Creation, renaming or removal.
    Name,
    Size,
    /// What one sector holds.
    Contents,
}

/// Changes of one thing since it was last synced, with their numbers, the oldest first.
pub(super) type Versions<T> = Vec<(u64, T)>;

/// Makes the choices. The same seed makes the same ones.
#[derive(Debug)]
pub(super) struct Choices {
    rng: Rng,
    persist: Persist,
    /// Which thing is the one that [`Persist::AllButOne`] and [`Persist::OnlyOne`] single out.
    single: usize,
    /// The last change that [`Persist::UpToAMoment`] and [`Persist::NamesInOrder`] keep.
    moment: u64,
    seen: usize,
}

impl Choices {
    /// `things` have changed since they were synced; the last change has the number `now`.
    pub(super) fn new(seed: u64, persist: Option<Persist>, things: usize, now: u64) -> Self {
        let mut rng = Rng::with_seed(seed);
        let persist = persist.unwrap_or_else(|| Persist::chosen_by(&mut rng));
        let single = rng.usize(0..things.max(1));
        let moment = rng.u64(0..=now);
        Self {
            rng,
            persist,
            single,
            moment,
            seen: 0,
        }
    }

    /// The version of a thing that persists; `None` for the one that was synced.
    pub(super) fn pick<'a, T>(&mut self, kind: Kind, versions: &'a Versions<T>) -> Option<&'a T> {
        let is_single = self.seen == self.single;
        self.seen += 1;
        let latest = versions.last().map(|(_, version)| version);
        let up_to_moment = || {
            let kept = versions.iter().take_while(|(at, _)| *at <= self.moment);
            kept.last().map(|(_, version)| version)
        };
        match self.persist {
            Persist::Nothing => None,
            Persist::Each { percent } => self.by_chance(percent, versions),
            Persist::AllButOne if is_single => None,
            Persist::Everything | Persist::AllButOne => latest,
            Persist::OnlyOne => latest.filter(|_| is_single),
            Persist::UpToAMoment => up_to_moment(),
            Persist::NamesInOrder if kind == Kind::Name => up_to_moment(),
            Persist::NamesInOrder => self.by_chance(50, versions),
            Persist::NamesAndSizes => latest.filter(|_| kind != Kind::Contents),
            Persist::SizesAndContents => latest.filter(|_| kind != Kind::Name),
        }
    }

    fn by_chance<'a, T>(&mut self, percent: u8, versions: &'a Versions<T>) -> Option<&'a T> {
        if self.rng.u8(0..100) >= percent {
            return None;
        }
        // What is written again and again was likely written back last, but need not be.
        let index = match versions.len() {
            0 => return None,
            len if self.rng.bool() => len - 1,
            len => self.rng.usize(0..len),
        };
        versions.get(index).map(|(_, version)| version)
    }
}
