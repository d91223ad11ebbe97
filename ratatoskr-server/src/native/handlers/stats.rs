//! stats: the broker's counters, by name, and what is down.

use ratatoskr_core::wire::{Frame, Stats};

use super::{Handled, Session, answer_now};

pub(super) fn handle(session: &Session, frame: &Frame) -> Handled {
    answer_now::<Stats>(session, frame, |_| Ok((&session.broker).into()))
}
