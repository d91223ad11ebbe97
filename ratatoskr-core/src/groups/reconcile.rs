//! What a member may read by now, on its way to its target (KIP-848, "reconciliation").
//!
//! ```text
//!   holds more than its target ── told to give it up, keeps its epoch
//!        │ says that it reads it no more
//!        ▼
//!   takes what is free of its target, comes to the group's epoch
//!        │ the rest is still held by others
//!        ▼
//!   takes that as they give it up
//! ```
//! What a member keeps it reads throughout.

use std::collections::BTreeSet;

use super::{
    MemberEpoch, MemberId, PartitionKey,
    event::Held,
    membership::{Member, Membership},
};

/// The next state of a member; `None` where it stays as it is.
///
/// `owned` is what the member says it reads, if it says so.
pub(super) fn next(
    group: &Membership,
    id: &MemberId,
    owned: Option<&BTreeSet<PartitionKey>>,
) -> Option<Member> {
    let member = group.members.get(id)?;
    let target = group.target_of(id);
    let mut assigned = Held::new();
    let mut revoking = Held::new();
    for (&key, &since) in &member.assigned {
        if target.contains(&key) {
            assigned.insert(key, since);
        } else {
            revoking.insert(key, since);
        }
    }
    revoking.extend(member.revoking.iter().map(|(&key, &since)| (key, since)));
    if let Some(owned) = owned {
        revoking.retain(|key, _| owned.contains(key));
    }
    let (mut epoch, mut previous) = (member.epoch, member.previous);
    if revoking.is_empty() {
        if epoch != group.epoch {
            (epoch, previous) = (group.epoch, epoch);
        }
        let free = |key: &PartitionKey| group.holder(key).is_none_or(|holder| holder == id);
        for key in target {
            if !assigned.contains_key(&key) && free(&key) {
                assigned.insert(key, epoch);
            }
        }
    }
    let next = Member {
        subscription: member.subscription.clone(),
        epoch,
        previous,
        assigned,
        revoking,
    };
    (next != *member).then_some(next)
}

/// Whether a member of this state may commit for a partition that it was given at some time: it
/// holds the partition, and has since before it was told of `epoch`.
pub(super) fn holds_since(member: &Member, key: &PartitionKey, epoch: MemberEpoch) -> bool {
    let since = member
        .assigned
        .get(key)
        .or_else(|| member.revoking.get(key));
    since.is_some_and(|&since| since <= epoch)
}
