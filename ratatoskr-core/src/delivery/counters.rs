//! How many records are in which state, and what has happened.

use std::ops::AddAssign;

use serde::{Deserialize, Serialize};

/// How many records are in which state, and what has happened since the state was last read from
/// its log (when the broker was opened, most often).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueueCounters {
    /// Held by consumers.
    pub in_flight: u64,
    /// Held back until their time.
    pub delayed: u64,
    /// Waiting behind an earlier record of their key.
    pub blocked: u64,
    /// On their way to the dead letters.
    pub dying: u64,
    /// Happened: deliveries.
    pub delivered: u64,
    /// Happened: deliveries of records that had been delivered before.
    pub redelivered: u64,
    /// Happened: records acknowledged.
    pub acknowledged: u64,
    /// Happened: leases that ended by time, in records.
    pub leases_expired: u64,
    /// Happened: records moved to the dead letters.
    pub dead_lettered: u64,
    /// Happened: records given up without a dead letter.
    pub discarded: u64,
    /// Happened: records whose time to live had passed.
    pub expired: u64,
    /// Happened: records that could not be delivered since they are corrupt, or were removed first.
    pub lost: u64,
}

impl AddAssign for QueueCounters {
    fn add_assign(&mut self, other: Self) {
        self.in_flight += other.in_flight;
        self.delayed += other.delayed;
        self.blocked += other.blocked;
        self.dying += other.dying;
        self.delivered += other.delivered;
        self.redelivered += other.redelivered;
        self.acknowledged += other.acknowledged;
        self.leases_expired += other.leases_expired;
        self.dead_lettered += other.dead_lettered;
        self.discarded += other.discarded;
        self.expired += other.expired;
        self.lost += other.lost;
    }
}
