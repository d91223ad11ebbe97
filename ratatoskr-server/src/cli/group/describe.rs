//! `ratatoskr group describe`.

use std::io::Write;

use ratatoskr_client::{GroupId, GroupKind, MemberDescription, TopicPartitions};
use serde::Serialize;

use super::ls::{kind, state};
use crate::cli::{
    connection,
    exit::Outcome,
    output::{self, Row, Style},
};

const EXAMPLES: &str = "\
Examples:
  $ ratatoskr group describe billing
  $ ratatoskr group describe billing --output json";

/// Which one.
#[derive(Debug, clap::Args)]
#[group(skip)]
#[command(after_help = EXAMPLES)]
pub(super) struct Options {
    /// Its name
    group: GroupId,
}

#[derive(Debug, Serialize)]
struct Described {
    group: String,
    kind: &'static str,
    state: &'static str,
    epoch: i32,
    /// How the broker assigns partitions, or the leader of a classic group.
    assignor: String,
    members: Vec<Member>,
}

#[derive(Debug, Serialize)]
struct Member {
    #[serde(rename = "member")]
    id: String,
    instance: Option<String>,
    client: String,
    epoch: i32,
    topics: Vec<String>,
    pattern: Option<String>,
    assigned: Vec<Partitions>,
    revoking: Vec<Partitions>,
    target: Vec<Partitions>,
}

#[derive(Debug, Serialize)]
struct Partitions {
    topic: String,
    partitions: Vec<u32>,
}

impl From<&MemberDescription> for Member {
    fn from(member: &MemberDescription) -> Self {
        Self {
            id: member.member.to_string(),
            instance: member.instance.as_ref().map(ToString::to_string),
            client: member.client.clone(),
            epoch: member.epoch.get(),
            topics: member.topics.iter().map(ToString::to_string).collect(),
            pattern: member.pattern.as_ref().map(ToString::to_string),
            assigned: partitions(&member.assigned),
            revoking: partitions(&member.revoking),
            target: partitions(&member.target),
        }
    }
}

fn partitions(topics: &[TopicPartitions]) -> Vec<Partitions> {
    let topics = topics.iter();
    topics
        .map(|topic| Partitions {
            topic: topic.topic.to_string(),
            partitions: topic.partitions.iter().map(|index| index.get()).collect(),
        })
        .collect()
}

/// `orders[0 1] clicks[3]`, or `-`.
fn short(topics: &[Partitions]) -> String {
    let topics: Vec<_> = topics
        .iter()
        .map(|topic| {
            let numbers: Vec<_> = topic.partitions.iter().map(ToString::to_string).collect();
            format!("{}[{}]", topic.topic, numbers.join(" "))
        })
        .collect();
    if topics.is_empty() {
        "-".to_owned()
    } else {
        topics.join(" ")
    }
}

impl Member {
    /// Topics and pattern, as `consume` takes them.
    fn wanted(&self) -> String {
        let names = self.topics.iter().cloned();
        let pattern = self.pattern.iter().map(|pattern| {
            let mark = if pattern.starts_with('^') { "" } else { "^" };
            format!("{mark}{pattern}")
        });
        names.chain(pattern).collect::<Vec<_>>().join(" ")
    }
}

impl Row for Member {
    const COLUMNS: &'static [&'static str] = &[
        "MEMBER", "CLIENT", "READS", "GIVES UP", "TARGET", "EPOCH", "INSTANCE", "TOPICS",
    ];
    const NARROW: usize = 4;

    fn cells(&self) -> Vec<String> {
        vec![
            self.id.clone(),
            self.client.clone(),
            short(&self.assigned),
            short(&self.revoking),
            short(&self.target),
            self.epoch.to_string(),
            self.instance.clone().unwrap_or_else(|| "-".to_owned()),
            self.wanted(),
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
    let group = at.ask(client.describe_group(&options.group)).await?;
    let described = Described {
        group: group.group.to_string(),
        kind: kind(group.kind),
        state: state(group.state),
        epoch: group.epoch.get(),
        assignor: match group.kind {
            GroupKind::Classic => group.protocol.clone(),
            _ => group.assignor.name().to_owned(),
        },
        members: group.members.iter().map(Member::from).collect(),
    };
    output::one(style, &described, out, |out, wide| {
        writeln!(
            out,
            "{}  {}, {}, epoch {}, {}\n",
            described.group,
            described.kind,
            described.state,
            described.epoch,
            if described.assignor.is_empty() {
                "-"
            } else {
                &described.assignor
            }
        )?;
        let columns = if wide {
            Member::COLUMNS.len()
        } else {
            Member::NARROW
        };
        output::table(&described.members, columns, out)?;
        Ok(())
    })
}
