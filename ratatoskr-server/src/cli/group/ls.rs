//! `ratatoskr group ls`.

use std::io::Write;

use ratatoskr_client::{GroupKind, GroupState, GroupSummary};
use serde::Serialize;

use crate::cli::{
    connection,
    exit::Outcome,
    output::{self, Row, Style},
};

const EXAMPLES: &str = "\
Examples:
  $ ratatoskr group ls
  $ ratatoskr group ls --output table";

/// Nothing to choose.
#[derive(Debug, clap::Args)]
#[group(skip)]
#[command(after_help = EXAMPLES)]
pub(super) struct Options {}

/// A group in a list.
#[derive(Debug, Serialize)]
struct Listed {
    group: String,
    kind: &'static str,
    state: &'static str,
    members: u32,
}

impl From<&GroupSummary> for Listed {
    fn from(group: &GroupSummary) -> Self {
        Self {
            group: group.group.to_string(),
            kind: kind(group.kind),
            state: state(group.state),
            members: group.members,
        }
    }
}

/// What manages a group, in a word.
pub(super) const fn kind(kind: GroupKind) -> &'static str {
    match kind {
        GroupKind::Simple => "simple",
        GroupKind::Consumer => "consumer",
        GroupKind::Classic => "classic",
        _ => "other",
    }
}

/// How a group is doing, in a word.
pub(super) const fn state(state: GroupState) -> &'static str {
    match state {
        GroupState::Empty => "empty",
        GroupState::Reconciling => "reconciling",
        GroupState::Stable => "stable",
        GroupState::PreparingRebalance => "preparing_rebalance",
        GroupState::CompletingRebalance => "completing_rebalance",
        _ => "other",
    }
}

impl Row for Listed {
    const COLUMNS: &'static [&'static str] = &["GROUP", "STATE", "MEMBERS", "KIND"];
    const NARROW: usize = 3;

    fn cells(&self) -> Vec<String> {
        vec![
            self.group.clone(),
            self.state.to_owned(),
            self.members.to_string(),
            self.kind.to_owned(),
        ]
    }
}

/// # Errors
/// What the broker answers, or stdout cannot be written to.
pub(super) async fn run(
    _: &Options,
    at: &connection::Options,
    style: Style,
    out: &mut impl Write,
) -> Outcome {
    let client = at.connect().await?;
    let groups = at.ask(client.list_groups()).await?;
    let rows: Vec<Listed> = groups.iter().map(Listed::from).collect();
    output::list(style, &rows, out)
}
