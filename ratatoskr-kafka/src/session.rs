//! What the connections of the door share, and what the handlers of one connection do.

use std::{collections::HashSet, net::SocketAddr, sync::Arc};

use ratatoskr_core::{
    Broker,
    config::TopicConfig,
    door::Drain,
    name::TopicName,
    offset::{LeaderEpoch, PartitionIndex},
    sync::Mutex,
};

use crate::{error_code::ErrorCode, header::Unanswerable, limits::KafkaLimits, node::Node};

/// Different refused requests that are remembered as logged.
const LOGGED_MAX: usize = 1_000;

/// The Kafka door of a broker.
#[derive(Debug)]
pub struct Door {
    pub(crate) broker: Broker,
    pub(crate) node: Node,
    pub(crate) limits: KafkaLimits,
    /// Key and version of requests that were refused and logged: once is enough.
    logged: Mutex<HashSet<(i16, i16)>>,
}

impl Door {
    /// A door to `broker`, which calls itself `node`.
    pub fn new(broker: Broker, node: Node, limits: KafkaLimits) -> Self {
        Self {
            broker,
            node,
            limits,
            logged: Mutex::default(),
        }
    }

    /// Logs a request that cannot be answered, the first of its kind louder than the others.
    pub(crate) fn log(&self, why: Unanswerable) {
        let is_new = match why {
            Unanswerable::NotSpoken { key, version } => {
                let mut logged = self.logged.lock();
                logged.len() < LOGGED_MAX && logged.insert((key, version))
            }
            Unanswerable::Malformed { .. } => false,
        };
        if is_new {
            tracing::warn!(%why, "closing a Kafka connection");
        } else {
            tracing::debug!(%why, "closing a Kafka connection");
        }
    }
}

/// What the handlers of one connection share.
#[derive(Clone, Debug)]
pub(crate) struct Session {
    pub(crate) door: Arc<Door>,
    /// The address that the client has connected to.
    pub(crate) here: SocketAddr,
    /// The client's own address.
    pub(crate) peer: SocketAddr,
    pub(crate) drain: Drain,
}

impl Session {
    pub(crate) fn broker(&self) -> &Broker {
        &self.door.broker
    }

    pub(crate) fn limits(&self) -> &KafkaLimits {
        &self.door.limits
    }

    /// The configuration of a topic for which nobody sets anything.
    pub(crate) fn topic_default(&self) -> TopicConfig {
        TopicConfig::new(self.broker().capabilities().durability_default)
    }

    /// The leader epoch of a partition, -1 where it is not known.
    pub(crate) fn leader_epoch(&self, topic: &TopicName, partition: PartitionIndex) -> i32 {
        let epoch = self.broker().leader_epoch(topic, partition);
        epoch.ok().flatten().map_or(-1, LeaderEpoch::get)
    }

    /// The leader epoch of a partition, -1 where it is not known, if a client that has heard of epoch
    /// `heard` (-1 for none) may go on.
    ///
    /// # Errors
    /// The client has heard of an older epoch, or of a newer one, and must ask for metadata again.
    pub(crate) fn check_epoch(
        &self,
        topic: &TopicName,
        partition: PartitionIndex,
        heard: i32,
    ) -> Result<i32, ErrorCode> {
        let epoch = self.leader_epoch(topic, partition);
        match heard {
            _ if heard < 0 || epoch < 0 || heard == epoch => Ok(epoch),
            _ if heard < epoch => Err(ErrorCode::FencedLeaderEpoch),
            _ => Err(ErrorCode::UnknownLeaderEpoch),
        }
    }

    pub(crate) fn node(&self) -> &Node {
        &self.door.node
    }
}
