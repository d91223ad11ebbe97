//! Bodies of statistics: counters by name, so that a new counter changes no layout.

use serde::{Deserialize, Serialize};

use super::{Body, Kind, Request, topics::requests};

/// Asks for the broker's counters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stats {}

/// The broker's counters and what is wrong with it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatsBody {
    /// Each counter by name.
    pub counters: Vec<(String, u64)>,
    /// What is down, and why.
    pub problems: Vec<ProblemBody>,
}

/// Something that is down.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProblemBody {
    /// What.
    pub subject: String,
    /// Why.
    pub reason: String,
}

requests! {
    Stats -> StatsBody,
}
