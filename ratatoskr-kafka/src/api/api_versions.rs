//! `ApiVersions` (18), versions 0 to 4: what is spoken here.
//!
//! A version that is too new is answered in the format of version 0 with an error and the versions
//! that are spoken, so that the client can ask again. The response's header is never flexible.

use super::{APIS, Handled};
use crate::{
    error_code::ErrorCode, header::Request, reader::Malformed, reply::Reply, session::Session,
};

pub(super) const KEY: i16 = 18;
/// An array of one feature, and its levels from 1 to 1: the consumer groups of KIP-848. No other is
/// finalized before it works.
const FEATURES: &[u8] = b"\x02\x0egroup.version\0\x01\0\x01\0";

pub(super) fn handle(_: &Session, request: &mut Request<'_>) -> Result<Handled, Malformed> {
    let version = request.version;
    if !request.api.versions.contains(&version) {
        // Nothing beyond the correlation id was read, so the reply is not flexible.
        let mut reply = request.reply();
        reply.error(ErrorCode::UnsupportedVersion);
        list(&mut reply);
        return Ok(Handled::Answer(reply));
    }
    if version >= 3 {
        let name = request.body.string()?;
        let number = request.body.string()?;
        tracing::debug!(client = ?request.client, ?name, ?number, "a Kafka client");
        request.body.end_of_structure()?;
    }
    let mut reply = request.reply();
    reply.error(ErrorCode::None);
    list(&mut reply);
    if version >= 1 {
        reply.throttle_time();
    }
    // Features that can be finalized, the epoch of that, and those that are.
    reply.tagged_fields(&[(0, FEATURES), (1, &[0; 8]), (2, FEATURES)]);
    Ok(Handled::Answer(reply))
}

fn list(reply: &mut Reply) {
    reply.array(APIS, |reply, api| {
        reply.i16(api.key);
        reply.i16(*api.versions.start());
        reply.i16(*api.versions.end());
        reply.end_of_structure();
    });
}
