//! `DescribeCluster` (60), versions 0 to 2: the nodes, of which there is one.

use super::Handled;
use crate::{
    authorized, error_code::ErrorCode, header::Request, reader::Malformed, session::Session,
};

/// The endpoints that clients use; the other kind is the controllers' own.
const BROKERS: i8 = 1;

pub(super) fn handle(session: &Session, request: &mut Request<'_>) -> Result<Handled, Malformed> {
    let version = request.version;
    let mut reply = request.reply();
    let body = &mut request.body;
    let wants_operations = body.bool()?;
    let endpoints = if version >= 1 { body.i8()? } else { BROKERS };
    if version >= 2 {
        let _fenced_too = body.bool()?;
    }
    body.end_of_structure()?;
    let node = session.node();
    let is_known = endpoints == BROKERS;
    reply.throttle_time();
    reply.error(if is_known {
        ErrorCode::None
    } else {
        ErrorCode::UnsupportedEndpointType
    });
    reply.nullable_string((!is_known).then_some("only brokers have endpoints here"));
    if version >= 1 {
        reply.i8(endpoints);
    }
    reply.string(&node.cluster_id);
    reply.i32(node.id);
    let nodes = if is_known { &[node][..] } else { &[] };
    reply.array(nodes, |reply, node| {
        let (host, port) = node.address(session.here);
        reply.i32(node.id);
        reply.string(&host);
        reply.i32(port.into());
        reply.nullable_string(None);
        if version >= 2 {
            reply.bool(false);
        }
        reply.end_of_structure();
    });
    reply.i32(if wants_operations {
        authorized::CLUSTER
    } else {
        authorized::NOT_ASKED
    });
    reply.end_of_structure();
    Ok(Handled::Answer(reply))
}
