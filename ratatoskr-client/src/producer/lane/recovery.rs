//! What becomes of batches that were answered with an error, or not in time.

use std::collections::VecDeque;

use ratatoskr_core::{Error as BrokerError, Outcome};
use tokio::time::{Duration, Instant};

use super::{Lane, Sealed, UnderWay};
use crate::Error;

/// Wait before a batch is sent again; it doubles with each attempt.
const RETRY_MIN: Duration = Duration::from_millis(20);
/// Longest such wait.
const RETRY_MAX: Duration = Duration::from_secs(1);

/// What to do with a batch that was answered with an error.
enum Verdict {
    /// Send it again as it is.
    Again,
    /// Send it again under another identity: it surely was not appended, and its sequence is not one
    /// that the broker takes.
    Anew,
    Fail(Error),
}

impl Lane {
    /// Everything that was under way is answered, and something failed: decides what is sent again.
    pub(super) fn recover(&mut self, now: Instant) -> usize {
        self.recovering = false;
        self.proven = false;
        let mut freed = 0;
        let mut again = VecDeque::new();
        let mut gap = false;
        // Whether a batch failed that may have been appended.
        let mut lost_track = false;
        for under_way in std::mem::take(&mut self.under_way) {
            let UnderWay {
                mut sealed, answer, ..
            } = under_way;
            let error = answer.unwrap_or(Error::Closed);
            sealed.refused = Some(error.clone());
            let first = again.is_empty() && !gap;
            let verdict = if lost_track && sealed.unknown {
                Verdict::Fail(error)
            } else {
                self.verdict(&sealed, error, first, now)
            };
            match verdict {
                Verdict::Again => again.push_back(sealed),
                Verdict::Anew => {
                    gap = true;
                    again.push_back(sealed);
                }
                Verdict::Fail(error) => {
                    gap = true;
                    lost_track |= sealed.unknown;
                    freed += sealed.fail(error);
                }
            }
        }
        if !again.is_empty() {
            self.back_off(now);
        }
        again.append(&mut self.queue);
        self.queue = again;
        if gap {
            self.identity = None;
        }
        freed
    }

    fn back_off(&mut self, now: Instant) {
        let wait = RETRY_MIN
            .saturating_mul(1 << self.attempts.min(16))
            .min(RETRY_MAX);
        self.attempts += 1;
        self.retry_at = Some(now + wait);
    }

    /// `first`: no earlier batch of those under way is to be sent again or failed.
    fn verdict(&self, sealed: &Sealed, error: Error, first: bool, now: Instant) -> Verdict {
        if now >= sealed.since + self.delivery_timeout {
            return Verdict::Fail(error);
        }
        if let Error::Broker(BrokerError::OutOfOrderSequence {
            expected, found, ..
        }) = error
        {
            // Only because an earlier batch is missing.
            if !first {
                return Verdict::Again;
            }
            // Sequences wrap, so the shorter way round tells which comes first.
            let ahead = found.get().wrapping_sub(expected.get()) & 0x7fff_ffff < 1 << 30;
            return if ahead {
                // The broker has lost acknowledged records of this producer; this batch is not
                // among them.
                Verdict::Anew
            } else {
                // It was appended so long ago that the broker forgot where.
                Verdict::Fail(
                    BrokerError::OutcomeUnknown {
                        reason: error.to_string(),
                    }
                    .into(),
                )
            };
        }
        let repeatable = match &error {
            Error::ConnectionLost { outcome, .. } | Error::TimedOut { outcome, .. } => {
                self.is_idempotent() || *outcome == Outcome::Failed
            }
            Error::Broker(BrokerError::OutcomeUnknown { .. }) => self.is_idempotent(),
            Error::Broker(BrokerError::ShuttingDown) => self.broker_comes_back,
            error => error.is_retryable(),
        };
        if repeatable {
            Verdict::Again
        } else {
            Verdict::Fail(error)
        }
    }

    /// Fails what has waited for too long. Returns what is free again of the buffer: a batch under
    /// way keeps its part until it is answered, even though its records are told.
    pub(in crate::producer) fn expire(&mut self, now: Instant) -> usize {
        let mut freed = 0;
        let reason = |outcome| Error::TimedOut {
            operation: "produce",
            after: self.delivery_timeout,
            outcome,
        };
        let (unanswered, unsent) = (reason(Outcome::Unknown), reason(Outcome::Failed));
        for sent in &mut self.under_way {
            if !sent.late && sent.sealed.since + self.delivery_timeout <= now {
                sent.late = true;
                sent.sealed.outcome.settle(Err(unanswered.clone()));
            }
        }
        let mut expired = false;
        // What is under way is answered first; what was gathered later expires later.
        while self.under_way.is_empty() {
            let timeout = self.delivery_timeout;
            let late = |sealed: &Sealed| sealed.since + timeout <= now;
            let Some(sealed) = self.take_first_if(late) else {
                break;
            };
            expired = true;
            // What kept it from being appended says more than that the time is over.
            let refused = sealed.refused.clone();
            freed += sealed.fail(refused.unwrap_or_else(|| unsent.clone()));
        }
        if expired && self.is_idempotent() {
            // What may have been appended beside the batches that failed cannot be told from them.
            while let Some(sealed) = self.take_first_if(|sealed| sealed.unknown) {
                freed += sealed.fail(unsent.clone());
            }
            self.identity = None;
        }
        freed
    }

    fn take_first_if(&mut self, fits: impl FnOnce(&Sealed) -> bool) -> Option<Sealed> {
        if fits(self.queue.front()?) {
            self.queue.pop_front()
        } else {
            None
        }
    }

    /// Fails everything. Returns what is free again of the buffer.
    pub(in crate::producer) fn abort(&mut self, error: &Error) -> usize {
        self.hurry();
        let under_way = std::mem::take(&mut self.under_way);
        let sealed = under_way.into_iter().map(|mut sent| {
            sent.sealed.unknown = true;
            sent.sealed
        });
        let all: Vec<Sealed> = sealed.chain(std::mem::take(&mut self.queue)).collect();
        all.into_iter()
            .map(|sealed| sealed.fail(error.clone()))
            .sum()
    }
}
