//! `ListGroups` (16), versions 0 to 5: every group, or those of some states and kinds.

use ratatoskr_core::groups::{GroupKind, GroupSummary};

use super::{
    Handled,
    coordinator::{code, state_name},
};
use crate::{
    error_code::ErrorCode,
    header::Request,
    reader::{Malformed, Reader},
    session::Session,
};

pub(super) fn handle(session: &Session, request: &mut Request<'_>) -> Result<Handled, Malformed> {
    let version = request.version;
    let mut reply = request.reply();
    let body = &mut request.body;
    let states = filter(body, version >= 4)?;
    let kinds = filter(body, version >= 5)?;
    body.end_of_structure()?;
    let session = session.clone();
    Ok(Handled::Later(Box::pin(async move {
        let listed = session.broker().list_groups().await;
        let (error, mut groups) = match listed {
            Ok(groups) => (ErrorCode::None, groups),
            Err(error) => (code(&error), Vec::new()),
        };
        groups.retain(|group| {
            takes(&states, state_name(group.state)) && takes(&kinds, kind_name(group.kind))
        });
        if version >= 1 {
            reply.throttle_time();
        }
        reply.error(error);
        reply.array(&groups, |reply, group| {
            reply.string(group.group.as_str());
            reply.string(protocol_type(group));
            if version >= 4 {
                reply.string(state_name(group.state));
            }
            if version >= 5 {
                reply.string(kind_name(group.kind));
            }
            reply.end_of_structure();
        });
        reply.end_of_structure();
        reply
    })))
}

/// Words in any case, if there are to be any; none take everything.
fn filter(body: &mut Reader<'_>, is_there: bool) -> Result<Vec<String>, Malformed> {
    if !is_there {
        return Ok(Vec::new());
    }
    body.array(|body| Ok(body.string()?.to_owned()))
}

fn takes(filter: &[String], word: &str) -> bool {
    filter.is_empty()
        || filter
            .iter()
            .any(|wanted| wanted.eq_ignore_ascii_case(word))
}

/// What the group is for; the broker manages groups of consumers only.
fn protocol_type(group: &GroupSummary) -> &str {
    match group.kind {
        GroupKind::Consumer => "consumer",
        _ => &group.protocol_type,
    }
}

/// As Kafka calls the kinds. Offsets without members are a classic group that has none.
const fn kind_name(kind: GroupKind) -> &'static str {
    match kind {
        GroupKind::Consumer => "consumer",
        _ => "classic",
    }
}

#[cfg(test)]
mod tests {
    use ratatoskr_core::groups::GroupState;

    use super::*;

    #[test]
    fn a_filter_takes_words_in_any_case() {
        assert!(takes(&[], "Stable"));
        assert!(takes(&["stable".into()], state_name(GroupState::Stable)));
        assert!(!takes(&["Empty".into()], "Stable"));
    }
}
