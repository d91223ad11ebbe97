//! `InitProducerId` (22), versions 0 to 5: an identity for an idempotent producer.
//!
//! Every request gets a new one, whatever it brings along, as Kafka does where no transaction is
//! meant. Transactions are not spoken.

use super::Handled;
use crate::{error_code::ErrorCode, header::Request, reader::Malformed, session::Session};

pub(super) fn handle(session: &Session, request: &mut Request<'_>) -> Result<Handled, Malformed> {
    let mut reply = request.reply();
    let transactional_id = request.body.nullable_string()?;
    let _transaction_timeout_ms = request.body.i32()?;
    if request.version >= 3 {
        let _producer_id = request.body.i64()?;
        let _producer_epoch = request.body.i16()?;
    }
    request.body.end_of_structure()?;
    reply.throttle_time();
    if transactional_id.is_some() {
        reply.error(ErrorCode::UnsupportedVersion);
        reply.i64(-1);
        reply.i16(-1);
    } else {
        let producer = session.broker().new_producer();
        reply.error(ErrorCode::None);
        reply.i64(producer.id.get());
        reply.i16(producer.epoch.get());
    }
    reply.end_of_structure();
    Ok(Handled::Answer(reply))
}
