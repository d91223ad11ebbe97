//! `FindCoordinator` (10), versions 0 to 6: the node that keeps a group, which is the only one.
//!
//! Transactions and share groups are not spoken. Whoever looks for the coordinator of a transaction is
//! refused with the one error that every client takes for final (53): others are retried until the
//! application's patience ends.

use super::Handled;
use crate::{
    error_code::ErrorCode,
    header::Request,
    reader::{Malformed, Reader},
    session::Session,
};

const GROUP: i8 = 0;
const TRANSACTION: i8 = 1;

pub(super) fn handle(session: &Session, request: &mut Request<'_>) -> Result<Handled, Malformed> {
    let version = request.version;
    let mut reply = request.reply();
    let body = &mut request.body;
    let mut keys = Vec::new();
    if version <= 3 {
        keys.push(body.string()?);
    }
    let kind = if version >= 1 { body.i8()? } else { GROUP };
    if version >= 4 {
        keys = body.array(Reader::string)?;
    }
    body.end_of_structure()?;
    let refusal = match kind {
        GROUP => None,
        TRANSACTION => Some((
            ErrorCode::TransactionalIdAuthorizationFailed,
            "transactions are not served here",
        )),
        _ => Some((
            ErrorCode::InvalidRequest,
            "only groups have a coordinator here",
        )),
    };
    let code = refusal.map_or(ErrorCode::None, |(code, _)| code);
    let message = refusal.map(|(_, message)| message);
    let (id, (host, port)) = match refusal {
        None => (session.node().id, session.node().address(session.here)),
        Some(_) => (-1, (String::new(), 0)),
    };
    let port = if refusal.is_some() { -1 } else { port.into() };
    if version >= 1 {
        reply.throttle_time();
    }
    if version <= 3 {
        reply.error(code);
        if version >= 1 {
            reply.nullable_string(message);
        }
        reply.i32(id);
        reply.string(&host);
        reply.i32(port);
    } else {
        reply.array(keys, |reply, key| {
            reply.string(key);
            reply.i32(id);
            reply.string(&host);
            reply.i32(port);
            reply.error(code);
            reply.nullable_string(message);
            reply.end_of_structure();
        });
    }
    reply.end_of_structure();
    Ok(Handled::Answer(reply))
}
