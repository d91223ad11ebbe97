//! `ratatoskr topic ls`.

use std::io::Write;

use ratatoskr_core::{config::TopicConfig, storage::TopicDescriptor};
use serde::Serialize;

use crate::cli::{
    connection,
    exit::Outcome,
    output::{self, Row, Style},
};

const EXAMPLES: &str = "\
Examples:
  $ ratatoskr topic ls
  $ ratatoskr topic ls --output wide
  $ ratatoskr topic ls --output json
  $ ratatoskr topic ls --internal";

/// Which ones.
#[derive(Debug, clap::Args)]
#[group(skip)]
#[command(after_help = EXAMPLES)]
pub(super) struct Options {
    /// List the topics as well in which the broker keeps its own state
    #[arg(long)]
    internal: bool,
}

/// A topic in a list.
#[derive(Debug, Serialize)]
struct Listed {
    name: String,
    partitions: u32,
    durability: String,
    retention_ms: Option<u64>,
    retention_bytes: Option<u64>,
    cleanup_policy: String,
    compression: String,
    id: String,
    internal: bool,
}

impl Listed {
    fn of(topic: &TopicDescriptor) -> Self {
        let TopicConfig {
            durability,
            retention,
            retention_bytes,
            cleanup_policy,
            compression,
            ..
        } = &topic.config;
        Self {
            name: topic.name.to_string(),
            partitions: topic.partitions,
            durability: durability.to_string(),
            retention_ms: retention.map(|d| u64::try_from(d.as_millis()).unwrap_or(u64::MAX)),
            retention_bytes: *retention_bytes,
            cleanup_policy: cleanup_policy.to_string(),
            compression: compression.to_string(),
            id: topic.id.to_string(),
            internal: topic.name.is_internal(),
        }
    }
}

impl Row for Listed {
    const COLUMNS: &'static [&'static str] = &[
        "NAME",
        "PARTITIONS",
        "DURABILITY",
        "RETENTION",
        "SIZE LIMIT",
        "CLEANUP",
        "COMPRESSION",
        "ID",
    ];
    const NARROW: usize = 4;

    fn cells(&self) -> Vec<String> {
        vec![
            self.name.clone(),
            self.partitions.to_string(),
            self.durability.clone(),
            self.retention_ms.map_or("-".into(), output::duration_ms),
            self.retention_bytes.map_or("-".into(), output::bytes),
            self.cleanup_policy.clone(),
            self.compression.clone(),
            self.id.clone(),
        ]
    }
}

/// # Errors
/// What the broker answers, or stdout cannot be written to.
pub(super) async fn run(
    options: &Options,
    at: &connection::Options,
    style: Style,
    out: &mut impl Write,
) -> Outcome {
    let client = at.connect().await?;
    let topics = at.ask(client.list_topics()).await?;
    let shown = topics
        .iter()
        .filter(|topic| options.internal || !topic.name.is_internal());
    let mut rows: Vec<Listed> = shown.map(Listed::of).collect();
    rows.sort_by(|a, b| a.name.cmp(&b.name));
    output::list(style, &rows, out)
}
