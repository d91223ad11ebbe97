//! subscribe, credit, unsubscribe: the state is in `subscription.rs`.

use ratatoskr_core::wire::{Credit, Done, ErrorBody, ErrorCode, Frame, Subscribe, Unsubscribe};

use super::{Handled, Session, answer_now, decode};
use crate::native::subscription::Subscriptions;

pub(super) fn begin(
    session: &Session,
    subscriptions: &mut Subscriptions,
    frame: &Frame,
) -> Handled {
    answer_now::<Subscribe>(session, frame, |subscribe| {
        let max = session.limits.partitions_per_request_max;
        if subscribe.partitions.len() > max {
            let text = format!("a subscription may name {max} partitions");
            return Err(ErrorBody::new(ErrorCode::InvalidRequest, text));
        }
        subscriptions.begin(frame.correlation, subscribe, session)?;
        Ok(Done {})
    })
}

pub(super) fn credit(
    session: &Session,
    subscriptions: &mut Subscriptions,
    frame: &Frame,
) -> Handled {
    match decode::<Credit>(frame) {
        // Credit may cross the end of its subscription on the way.
        Ok(credit) => {
            subscriptions.grant(frame.correlation, credit);
            Handled::Credited
        }
        Err(error) => Handled::Answer(session.error(frame.correlation, &error)),
    }
}

pub(super) fn end(session: &Session, subscriptions: &mut Subscriptions, frame: &Frame) -> Handled {
    answer_now::<Unsubscribe>(session, frame, |_| {
        if subscriptions.end(frame.correlation) {
            Ok(Done {})
        } else {
            let text = "there is no such subscription on this connection";
            Err(ErrorBody::new(ErrorCode::UnknownSubscription, text))
        }
    })
}
