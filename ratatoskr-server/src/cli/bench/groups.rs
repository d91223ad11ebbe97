//! `ratatoskr bench groups`: many consumer groups that read the same topic, each for itself.

use std::{
    collections::BTreeMap,
    io::Write,
    num::{NonZeroU32, NonZeroU64},
    sync::Arc,
    time::Instant,
};

use ratatoskr_client::{Client, GroupConsumer, GroupId};
use ratatoskr_core::{broker::TopicDescription, name::TopicName};
use ratatoskr_server::load::{Latencies, Report};
use tokio::task::JoinSet;

use super::{consume::Read, verdict};
use crate::cli::{
    connection,
    exit::{Exit, Failure, Outcome},
    output::Style,
    progress::Progress,
};

const EXAMPLES: &str = "\
Examples:
  $ ratatoskr bench produce --records 500 && ratatoskr bench groups --groups 20 --commit-every 100
  $ ratatoskr bench produce --records 500 && ratatoskr bench groups --groups 5 --output json

Groups have a connection each. For more than 1,000 of them, start the broker with
--set native.connections_per_address_max=N, and raise the limit of open files (ulimit -n).";

/// Records that a group holds ahead of what it has taken, at most.
const BUFFER_RECORDS: u32 = 10_000;
/// Bytes that it holds ahead, so that a thousand of them fit into memory.
const BUFFER_BYTES: u32 = 256 << 10;

/// Who reads, and what.
#[derive(Clone, Debug, clap::Args)]
#[group(skip)]
#[command(after_help = EXAMPLES)]
pub(super) struct Options {
    /// The topic, which `bench produce` filled
    #[arg(long, default_value = "bench")]
    topic: TopicName,
    /// Groups of one member each, with a connection of its own; they are there afterwards
    #[arg(long, value_name = "COUNT", default_value = "1000")]
    groups: NonZeroU32,
    /// Commit after so many records, and wait until that lasts
    #[arg(long, value_name = "RECORDS", default_value = "1000")]
    commit_every: NonZeroU64,
}

/// Lets every group read and commit everything up to what is the end now.
///
/// # Errors
/// What the broker answers; a record that was not as it was sent or came twice, or a commit that is
/// not what was read.
pub(super) async fn run(
    options: &Options,
    at: &connection::Options,
    style: Style,
    out: &mut impl Write,
) -> Outcome {
    let client = at.connect().await?;
    let topic = Arc::new(at.ask(client.describe_topic(&options.topic)).await?);
    let each: u64 = topic.partitions.iter().map(|p| p.bounds.records()).sum();
    let all = each * u64::from(options.groups.get());
    let run = fastrand::u64(..);
    let opening = Instant::now();
    let mut members = Vec::new();
    for number in 0..options.groups.get() {
        members.push(Member::join(options, run, number, &topic, at).await?);
    }
    let opened = opening.elapsed();
    let progress = Arc::new(Progress::records(Some(all)));
    let start = Instant::now();
    let mut tasks = JoinSet::new();
    for member in members {
        let progress = Arc::clone(&progress);
        tasks.spawn(member.read(each, options.commit_every, progress));
    }
    let (mut sum, mut commits, mut strays) = (Read::default(), Latencies::default(), 0);
    while let Some(group) = tasks.join_next().await {
        let group = group.map_err(verdict::ended_early)??;
        sum.add(&group.read);
        commits.add(&group.commits);
        strays += u64::from(!group.committed_all);
    }
    let took = start.elapsed();
    drop(progress);
    let missing = all.saturating_sub(sum.verifier.good);
    let good = sum.verifier.is_satisfied() && missing == 0 && strays == 0;
    let mut report = Report::new("groups", sum.records, sum.bytes, took)
        .with("topics", 1)
        .with("partitions", topic.partitions.len())
        .with("durability", topic.config.durability)
        .with("groups", options.groups)
        .with("commit_every", options.commit_every)
        .with_figure("joined_after_ms", opened.as_secs_f64() * 1e3)
        .verified(good);
    report.latency_us = commits.percentiles();
    verdict::print(&report, style, out)?;
    verdict::all_as_sent(&sum.verifier, missing)?;
    if strays > 0 {
        let what = format!("{strays} groups have not committed what they read");
        return Err(Failure::new(Exit::Failure, what).next("ratatoskr group lag GROUP"));
    }
    Ok(())
}

/// The only member of a group.
struct Member {
    client: Client,
    at: connection::Options,
    group: GroupId,
    topic: Arc<TopicDescription>,
    consumer: GroupConsumer,
}

/// What a group did.
struct Done {
    read: Read,
    /// From each commit to its answer.
    commits: Latencies,
    /// Whether the group's committed offsets are where it stopped reading.
    committed_all: bool,
}

impl Member {
    async fn join(
        options: &Options,
        run: u64,
        number: u32,
        topic: &Arc<TopicDescription>,
        at: &connection::Options,
    ) -> Outcome<Self> {
        let client = at.connect().await?;
        let group = GroupId::parse(&format!("bench-{run:016x}-{number}"))
            .map_err(|error| Failure::usage(error.to_string()))?;
        let consumer = client
            .consumer(&options.topic)
            .buffer(BUFFER_RECORDS, BUFFER_BYTES)
            .group(group.clone())
            .commit_manually();
        Ok(Self {
            consumer: at.ask(consumer.open()).await?,
            client,
            at: at.clone(),
            group,
            topic: Arc::clone(topic),
        })
    }

    async fn read(
        mut self,
        records: u64,
        commit_every: NonZeroU64,
        progress: Arc<Progress>,
    ) -> Outcome<Done> {
        let mut read = Read::default();
        let mut commits = Latencies::default();
        let mut next = BTreeMap::new();
        while read.records < records {
            let record = match self.consumer.next().await {
                Some(record) => record.map_err(|error| self.at.failed(&error))?,
                None => break,
            };
            let value = record.record.value.unwrap_or_default();
            read.verifier.take(record.partition.get(), &value);
            read.bytes += value.len() as u64;
            read.records += 1;
            next.insert(record.partition, record.offset.plus(1));
            if read.records % commit_every == 0 || read.records == records {
                let begun = Instant::now();
                self.at.ask(self.consumer.commit()).await?;
                commits.record(begun.elapsed());
                progress.advance(commit_every.get());
            }
        }
        let wanted = next.keys().map(|index| (self.topic.name.clone(), *index));
        let wanted: Vec<_> = wanted.collect();
        let fetched = self.client.fetch_offsets(&self.group, Some(wanted));
        let fetched = self.at.ask(fetched).await?;
        let committed = fetched.into_iter().filter_map(|offset| {
            let committed = offset.committed?;
            Some((offset.partition, committed.offset))
        });
        let committed_all = committed.collect::<BTreeMap<_, _>>() == next;
        self.at.ask(self.consumer.close()).await?;
        Ok(Done {
            read,
            commits,
            committed_all,
        })
    }
}
