//! The APIs that are spoken, in one table; each has a file of its own.
//!
//! What is not in the table is not advertised, and a request for it closes the connection: clients
//! then fail at once and say why, instead of waiting for what never comes.

mod alter_configs;
mod api_versions;
mod consumer_group_describe;
mod consumer_group_heartbeat;
mod coordinator;
mod create_partitions;
mod create_topics;
mod delete_groups;
mod delete_records;
mod delete_topics;
mod describe_cluster;
mod describe_configs;
mod describe_groups;
mod describe_log_dirs;
mod fetch;
mod find_coordinator;
mod heartbeat;
mod init_producer_id;
mod join_group;
mod leave_group;
mod list_groups;
mod list_offsets;
mod metadata;
mod offset_commit;
mod offset_delete;
mod offset_fetch;
mod offset_for_leader_epoch;
pub(crate) mod produce;
mod sync_group;
mod topic_ref;

use std::ops::RangeInclusive;

use futures_util::future::BoxFuture;
pub(crate) use topic_ref::TopicRef;

use crate::{header::Request, reader::Malformed, reply::Reply, session::Session};

/// One API.
#[derive(Debug)]
pub(crate) struct Api {
    pub(crate) key: i16,
    /// The versions that are advertised.
    pub(crate) versions: RangeInclusive<i16>,
    /// The first version of the flexible encoding.
    flexible_from: i16,
    /// Reads the body and does what it says.
    pub(crate) handle: fn(&Session, &mut Request<'_>) -> Result<Handled, Malformed>,
}

/// What a handler made of a request.
pub(crate) enum Handled {
    /// The answer is there.
    Answer(Reply),
    /// The answer has to be waited for. The work begins when those before it are answered.
    Later(BoxFuture<'static, Reply>),
    /// Batches, to be gathered with those of other requests.
    Produce(produce::Produce),
}

/// For an API that never got the flexible encoding.
const NEVER: i16 = i16::MAX;

/// Every API that is spoken, by its key.
pub(crate) static APIS: &[Api] = &[
    Api {
        key: 0,
        // From 0 on so that older clients compress what they send; see the file.
        versions: 0..=13,
        flexible_from: 9,
        handle: produce::handle,
    },
    Api {
        key: 1,
        versions: 4..=18,
        flexible_from: 12,
        handle: fetch::handle,
    },
    Api {
        key: 2,
        versions: 1..=10,
        flexible_from: 6,
        handle: list_offsets::handle,
    },
    Api {
        key: 3,
        versions: 0..=13,
        flexible_from: 9,
        handle: metadata::handle,
    },
    Api {
        key: 8,
        versions: 2..=10,
        flexible_from: 8,
        handle: offset_commit::handle,
    },
    Api {
        key: 9,
        versions: 1..=10,
        flexible_from: 6,
        handle: offset_fetch::handle,
    },
    Api {
        key: 10,
        versions: 0..=6,
        flexible_from: 3,
        handle: find_coordinator::handle,
    },
    Api {
        key: 11,
        versions: 0..=9,
        flexible_from: 6,
        handle: join_group::handle,
    },
    Api {
        key: 12,
        versions: 0..=4,
        flexible_from: 4,
        handle: heartbeat::handle,
    },
    Api {
        key: 13,
        versions: 0..=5,
        flexible_from: 4,
        handle: leave_group::handle,
    },
    Api {
        key: 14,
        versions: 0..=5,
        flexible_from: 4,
        handle: sync_group::handle,
    },
    Api {
        key: 15,
        versions: 0..=6,
        flexible_from: 5,
        handle: describe_groups::handle,
    },
    Api {
        key: 16,
        versions: 0..=5,
        flexible_from: 3,
        handle: list_groups::handle,
    },
    Api {
        key: api_versions::KEY,
        versions: 0..=4,
        flexible_from: 3,
        handle: api_versions::handle,
    },
    Api {
        key: 19,
        versions: 2..=7,
        flexible_from: 5,
        handle: create_topics::handle,
    },
    Api {
        key: 20,
        versions: 1..=6,
        flexible_from: 4,
        handle: delete_topics::handle,
    },
    Api {
        key: 21,
        versions: 0..=2,
        flexible_from: 2,
        handle: delete_records::handle,
    },
    Api {
        key: 22,
        versions: 0..=5,
        flexible_from: 2,
        handle: init_producer_id::handle,
    },
    Api {
        key: 23,
        versions: 2..=4,
        flexible_from: 4,
        handle: offset_for_leader_epoch::handle,
    },
    Api {
        key: 32,
        versions: 1..=4,
        flexible_from: 4,
        handle: describe_configs::handle,
    },
    Api {
        key: 33,
        versions: 0..=2,
        flexible_from: 2,
        handle: alter_configs::replace,
    },
    Api {
        key: 35,
        versions: 1..=4,
        flexible_from: 2,
        handle: describe_log_dirs::handle,
    },
    Api {
        key: 37,
        versions: 0..=3,
        flexible_from: 2,
        handle: create_partitions::handle,
    },
    Api {
        key: 42,
        versions: 0..=2,
        flexible_from: 2,
        handle: delete_groups::handle,
    },
    Api {
        key: 44,
        versions: 0..=1,
        flexible_from: 1,
        handle: alter_configs::change,
    },
    Api {
        key: 47,
        versions: 0..=0,
        flexible_from: NEVER,
        handle: offset_delete::handle,
    },
    Api {
        key: 60,
        versions: 0..=2,
        flexible_from: 0,
        handle: describe_cluster::handle,
    },
    Api {
        key: 68,
        versions: 0..=1,
        flexible_from: 0,
        handle: consumer_group_heartbeat::handle,
    },
    Api {
        key: 69,
        versions: 0..=1,
        flexible_from: 0,
        handle: consumer_group_describe::handle,
    },
];

/// The API of this key, if it is spoken.
pub(crate) fn find(key: i16) -> Option<&'static Api> {
    APIS.iter().find(|api| api.key == key)
}

impl Api {
    pub(crate) const fn is_flexible(&self, version: i16) -> bool {
        version >= self.flexible_from
    }

    pub(crate) const fn is_api_versions(&self) -> bool {
        self.key == api_versions::KEY
    }
}
