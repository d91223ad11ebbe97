//! A file's contents: as its readers see them now, as they were synced, and everything between.
//!
//! Invariants: sectors that are not in an image read as zeros; an image has nothing beyond its size.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    sync::Arc,
};

use super::crash::{Choices, Kind, Versions};

/// `None` for zeros.
type Sector = Option<Arc<[u8]>>;

#[derive(Clone, Debug)]
pub(super) struct Contents {
    sector_bytes: u64,
    now: Image,
    synced: Image,
    sectors: BTreeMap<u64, Unsynced<Sector>>,
    size: Unsynced<u64>,
    space: Space,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Image {
    size: u64,
    sectors: BTreeMap<u64, Arc<[u8]>>,
}

/// What a thing has been since it was synced.
#[derive(Clone, Debug)]
struct Unsynced<T> {
    versions: Versions<T>,
    /// A sync of these versions failed: later ones do not try again, as the system takes them for
    /// written.
    lost: bool,
}

/// Sectors that have room on the disk.
#[derive(Clone, Debug, Default)]
struct Space {
    /// All below this one.
    below: u64,
    /// And these.
    beyond: BTreeSet<u64>,
}

impl Contents {
    pub(super) fn new(sector_bytes: u64) -> Self {
        Self {
            sector_bytes,
            now: Image::default(),
            synced: Image::default(),
            sectors: BTreeMap::new(),
            size: Unsynced::default(),
            space: Space::default(),
        }
    }

    pub(super) const fn size(&self) -> u64 {
        self.now.size
    }

    /// Bytes it takes on the disk.
    pub(super) fn space_bytes(&self) -> u64 {
        (self.space.below + self.space.beyond.len() as u64) * self.sector_bytes
    }

    /// How many things have changed since they were synced.
    pub(super) fn unsynced(&self) -> usize {
        self.sectors.len() + usize::from(!self.size.versions.is_empty())
    }

    /// Fills `buffer`, or says that the file ends too early.
    pub(super) fn read(&self, buffer: &mut [u8], position: u64) -> io::Result<()> {
        if buffer.is_empty() {
            return Ok(());
        }
        let end = position.checked_add(buffer.len() as u64);
        if end.is_none_or(|end| end > self.now.size) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        for part in self.parts(position, buffer.len()) {
            let out = &mut buffer[part.from..part.to];
            match self.now.sectors.get(&part.sector) {
                Some(sector) => out.copy_from_slice(&sector[part.within..part.within + out.len()]),
                None => out.fill(0),
            }
        }
        Ok(())
    }

    /// Writes; where `room` bytes do not suffice, what fits is written and the rest is refused.
    pub(super) fn write(
        &mut self,
        bytes: &[u8],
        position: u64,
        at: u64,
        room: u64,
    ) -> io::Result<()> {
        let mut sectors_left = room / self.sector_bytes;
        let mut outcome = Ok(());
        let mut end = self.now.size;
        for part in self.parts(position, bytes.len()) {
            if !self.space.has(part.sector) {
                if sectors_left == 0 {
                    outcome = Err(io::ErrorKind::StorageFull.into());
                    break;
                }
                sectors_left -= 1;
                self.space.add(part.sector);
            }
            let mut sector = self.now.get(part.sector, self.sector_bytes);
            let written = &bytes[part.from..part.to];
            sector[part.within..part.within + written.len()].copy_from_slice(written);
            self.set_sector(part.sector, sector, at);
            end = end.max(position + part.to as u64);
        }
        self.note_size(end, at);
        outcome
    }

    /// Gives the file room up to `size`, and that size.
    pub(super) fn allocate(&mut self, size: u64, at: u64, room: u64) -> io::Result<()> {
        if size <= self.now.size {
            return Ok(());
        }
        let sectors = self.now.size / self.sector_bytes..size.div_ceil(self.sector_bytes);
        let lacking: Vec<_> = sectors.filter(|&s| !self.space.has(s)).collect();
        if lacking.len() as u64 * self.sector_bytes > room {
            return Err(io::ErrorKind::StorageFull.into());
        }
        for sector in lacking {
            self.space.add(sector);
        }
        self.note_size(size, at);
        Ok(())
    }

    /// Cuts the file, or lets it grow by a hole that has no room yet.
    pub(super) fn set_size(&mut self, size: u64, at: u64) {
        let kept = size.div_ceil(self.sector_bytes);
        let cut: Vec<_> = self.now.sectors.range(kept..).map(|(&s, _)| s).collect();
        for sector in cut {
            self.set_sector(sector, Vec::new(), at);
        }
        self.space.cut(kept);
        let within = to_usize(size % self.sector_bytes);
        if size < self.now.size && within > 0 {
            let mut last = self.now.get(kept - 1, self.sector_bytes);
            last[within..].fill(0);
            self.set_sector(kept - 1, last, at);
        }
        self.note_size(size, at);
    }

    /// What has changed is on the disk.
    pub(super) fn sync(&mut self) {
        self.sectors.retain(|&number, unsynced| {
            if !unsynced.lost {
                let latest = self.now.sectors.get(&number).cloned();
                self.synced.set(number, latest);
            }
            unsynced.lost
        });
        if !self.size.lost {
            self.synced.size = self.now.size;
            self.size.versions.clear();
        }
    }

    /// What has changed is on the disk or not, and no later sync will tell.
    pub(super) fn fail_sync(&mut self) {
        for unsynced in self.sectors.values_mut() {
            unsynced.lost = true;
        }
        self.size.lost = !self.size.versions.is_empty();
    }

    /// Changes a stored byte behind everybody's back.
    pub(super) fn rot(&mut self, position: u64, mask: u8) {
        let (number, within) = (position / self.sector_bytes, position % self.sector_bytes);
        for image in [&mut self.now, &mut self.synced] {
            let mut sector = image.get(number, self.sector_bytes);
            sector[to_usize(within)] ^= mask;
            image.set(number, stored(sector));
        }
    }

    /// What a crash leaves of it.
    pub(super) fn crash(&self, choices: &mut Choices) -> Self {
        let mut left = self.synced.clone();
        for (&number, unsynced) in &self.sectors {
            if let Some(version) = choices.pick(Kind::Contents, &unsynced.versions) {
                left.set(number, version.clone());
            }
        }
        if !self.size.versions.is_empty()
            && let Some(&size) = choices.pick(Kind::Size, &self.size.versions)
        {
            left.size = size;
        }
        let kept = left.size.div_ceil(self.sector_bytes);
        left.sectors.split_off(&kept);
        let within = to_usize(left.size % self.sector_bytes);
        if within > 0 {
            let mut last = left.get(kept - 1, self.sector_bytes);
            last[within..].fill(0);
            left.set(kept - 1, stored(last));
        }
        let mut space = self.space.clone();
        space.cut(kept);
        for &sector in left.sectors.keys() {
            space.add(sector);
        }
        Self {
            now: left.clone(),
            synced: left,
            space,
            ..Self::new(self.sector_bytes)
        }
    }

    fn set_sector(&mut self, number: u64, bytes: Vec<u8>, at: u64) {
        let sector = stored(bytes);
        if self.now.sectors.get(&number) == sector.as_ref() {
            return;
        }
        self.now.set(number, sector.clone());
        let unsynced = self.sectors.entry(number).or_default();
        unsynced.versions.push((at, sector));
        unsynced.lost = false;
    }

    fn note_size(&mut self, size: u64, at: u64) {
        if size != self.now.size {
            self.now.size = size;
            self.size.versions.push((at, size));
            self.size.lost = false;
        }
    }

    /// The sectors that `length` bytes from `position` on lie in.
    fn parts(&self, position: u64, length: usize) -> impl Iterator<Item = Part> + use<> {
        let sector_bytes = self.sector_bytes;
        let mut from = 0;
        std::iter::from_fn(move || {
            let at = position + from as u64;
            let within = to_usize(at % sector_bytes);
            let to = length.min(from + to_usize(sector_bytes) - within);
            let part = Part {
                sector: at / sector_bytes,
                within,
                from,
                to,
            };
            from = to;
            (part.from < part.to).then_some(part)
        })
    }
}

/// A piece of a buffer that lies in one sector.
struct Part {
    sector: u64,
    within: usize,
    from: usize,
    to: usize,
}

impl Image {
    fn get(&self, sector: u64, sector_bytes: u64) -> Vec<u8> {
        let stored = self.sectors.get(&sector);
        stored.map_or_else(|| vec![0; to_usize(sector_bytes)], |s| s.to_vec())
    }

    fn set(&mut self, number: u64, sector: Sector) {
        match sector {
            Some(bytes) => drop(self.sectors.insert(number, bytes)),
            None => drop(self.sectors.remove(&number)),
        }
    }
}

impl<T> Default for Unsynced<T> {
    fn default() -> Self {
        Self {
            versions: Vec::new(),
            lost: false,
        }
    }
}

impl Space {
    fn has(&self, sector: u64) -> bool {
        sector < self.below || self.beyond.contains(&sector)
    }

    fn add(&mut self, sector: u64) {
        if !self.has(sector) {
            self.beyond.insert(sector);
        }
        while self.beyond.remove(&self.below) {
            self.below += 1;
        }
    }

    fn cut(&mut self, kept: u64) {
        self.below = self.below.min(kept);
        self.beyond.split_off(&kept);
    }
}

fn stored(bytes: Vec<u8>) -> Sector {
    bytes.iter().any(|&byte| byte != 0).then(|| bytes.into())
}

fn to_usize(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX)
}
