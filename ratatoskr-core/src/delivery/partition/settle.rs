//! What consumers say of records that they hold.

use std::time::Duration;

use super::{Now, PartitionQueue};
use crate::{
    delivery::{
        Backoff, FencingToken, QueueError, SettleAction,
        changes::{Change, Done, Fate, Policy},
        leases::LeaseId,
        runs::{Range, State},
    },
    limits,
    name::TopicName,
};

/// A settlement, and who makes it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Claim {
    pub(crate) first: u64,
    pub(crate) last: u64,
    pub(crate) token: FencingToken,
    /// The consumer's number; `None` where it holds nothing at all.
    pub(crate) owner: Option<u32>,
    /// The latest token handed out.
    pub(crate) latest: FencingToken,
}

/// What a settlement is decided by.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules<'a> {
    pub(crate) now: Now,
    pub(crate) policy: &'a Policy,
    pub(crate) topic: &'a TopicName,
    /// For the jitter of a wait.
    pub(crate) random: u64,
}

impl PartitionQueue {
    /// The ranges that a claim is about: those held under its token. Each range looked at is taken off
    /// the budget.
    ///
    /// # Errors
    /// [`QueueError`] where the claim does not hold.
    pub(in crate::delivery) fn claimed(
        &self,
        claim: &Claim,
        now: Now,
        budget: &mut usize,
    ) -> Result<Vec<Range>, QueueError> {
        if claim.first > claim.last {
            let problem = "the last offset lies before the first".to_owned();
            return Err(QueueError::InvalidSettlement(problem));
        }
        if claim.token > claim.latest || claim.token == FencingToken::default() {
            return Err(QueueError::UnknownLease);
        }
        let now_ms = u64::try_from(now.monotonic.as_millis()).unwrap_or(u64::MAX);
        let mut held = Vec::new();
        for range in self.runs.between(claim.first, claim.last) {
            let Some(left) = budget.checked_sub(1) else {
                let problem = "it spans too many ranges".to_owned();
                return Err(QueueError::InvalidSettlement(problem));
            };
            *budget = left;
            match range.state {
                State::Absent => {}
                State::Unseen | State::Available => return Err(QueueError::LeaseExpired),
                State::Leased(lease) => {
                    let Some(lease) = self.leases.get(lease) else {
                        return Err(QueueError::LeaseExpired);
                    };
                    if lease.token > claim.token {
                        return Err(QueueError::LeaseExpired);
                    }
                    if lease.token < claim.token {
                        return Err(QueueError::UnknownLease);
                    }
                    if Some(lease.owner) != claim.owner {
                        return Err(QueueError::NotLeaseOwner);
                    }
                    if lease.deadline_ms <= now_ms {
                        return Err(QueueError::LeaseExpired);
                    }
                    held.push(range);
                }
            }
        }
        if held.is_empty() {
            return Err(QueueError::AlreadySettled);
        }
        Ok(held)
    }

    /// What lasts of a settlement of these ranges; [`SettleAction::Extend`] leaves nothing.
    ///
    /// # Errors
    /// [`QueueError::DeadLetterLoop`], [`QueueError::InvalidSettlement`].
    pub(in crate::delivery) fn settle(
        &self,
        held: &[Range],
        action: &SettleAction,
        rules: &Rules<'_>,
        out: &mut Vec<Change>,
    ) -> Result<(), QueueError> {
        let Rules {
            now,
            policy,
            topic,
            random,
        } = *rules;
        for range in held {
            match action {
                SettleAction::Acknowledge => done(range, Done::Acknowledged, out),
                SettleAction::Release => {
                    self.fail(range, None, "released", now.wall, policy, out);
                }
                SettleAction::Retry { after, cause } => {
                    if after.is_some_and(|after| after > limits::QUEUE_DELAY_MAX) {
                        let problem = "the delay is longer than a year".to_owned();
                        return Err(QueueError::InvalidSettlement(problem));
                    }
                    let wait = after.unwrap_or_else(|| policy.backoff.wait(range.count, random));
                    let due = (!wait.is_zero()).then(|| now.wall.plus(wait));
                    let cause = cause.as_deref().unwrap_or("not acknowledged");
                    self.fail(range, due, cause, now.wall, policy, out);
                }
                SettleAction::Reject { cause } => match policy.fate {
                    Fate::DeadLetter => self.give_up(range, cause, now.wall, out),
                    Fate::Discard => done(range, Done::Discarded, out),
                    Fate::Stay => return Err(QueueError::DeadLetterLoop(topic.clone())),
                },
                SettleAction::Extend(_) => {}
            }
        }
        Ok(())
    }

    /// Lets the leases of these ranges last until another moment.
    pub(in crate::delivery) fn extend(&mut self, held: &[Range], deadline: Duration) {
        let mut last = LeaseId::NONE;
        for range in held {
            if let State::Leased(lease) = range.state
                && lease != last
            {
                self.leases.extend(lease, deadline);
                last = lease;
            }
        }
    }
}

/// Ranges that lie beside each other are one.
fn done(range: &Range, how: Done, out: &mut Vec<Change>) {
    if let Some(Change::Done {
        last, how: before, ..
    }) = out.last_mut()
        && *before == how
        && *last + 1 == range.first
    {
        *last = range.last;
        return;
    }
    out.push(Change::Done {
        first: range.first,
        last: range.last,
        how,
    });
}

impl Backoff {
    /// The wait after so many attempts, shortened as a random number says.
    pub(crate) fn wait(&self, attempts: u32, random: u64) -> Duration {
        let factor = self.multiplier.saturating_pow(attempts.saturating_sub(1));
        let wait = self.min.saturating_mul(factor).min(self.max);
        let jitter = wait * u32::from(self.jitter_percent.min(100)) / 100;
        let share = u32::try_from(random % 1_001).unwrap_or(0);
        wait.saturating_sub(jitter * share / 1_000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_the_longest_and_jitter_only_shortens_them() {
        let backoff = Backoff {
            min: Duration::from_secs(1),
            max: Duration::from_secs(10),
            multiplier: 2,
            jitter_percent: 0,
        };
        let waits: Vec<_> = (1..=6).map(|n| backoff.wait(n, 999).as_secs()).collect();
        assert_eq!(waits, [1, 2, 4, 8, 10, 10]);
        assert_eq!(backoff.wait(u32::MAX, 0), Duration::from_secs(10));
        let jittered = Backoff {
            jitter_percent: 20,
            ..backoff
        };
        let waits: Vec<_> = (0..5_000).map(|n| jittered.wait(2, n)).collect();
        assert_eq!(waits.iter().max(), Some(&Duration::from_secs(2)));
        assert_eq!(waits.iter().min(), Some(&Duration::from_millis(1_600)));
    }
}
