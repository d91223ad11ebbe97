//! `ratatoskr consume -g`: reading as a member of a consumer group.
//!
//! A record is on its way to whoever reads our output before it counts as processed, so what is
//! committed was printed, and a command that dies prints some records again the next time.

use std::{collections::BTreeMap, io::Write, time::Duration};

use futures_util::FutureExt as _;
use ratatoskr_client::{Client, Error as ClientError, GroupConsumer, StartAt};
use ratatoskr_core::{
    Error,
    groups::{GroupError, GroupState},
    name::{GroupId, TopicName},
    offset::{Offset, PartitionIndex},
    time::Clock as _,
};
use ratatoskr_storage::SystemClock;

use super::{Options, leaves_out_records, topics};
use crate::cli::{
    exit::{Exit, Failure, Outcome},
    progress::Progress,
    signals::asked_to_end,
    start::Start,
};

/// How often what was printed is committed.
const COMMIT_EVERY: Duration = Duration::from_secs(1);
/// How long nothing must come before it is asked whether that was all.
const IDLE: Duration = Duration::from_millis(100);

/// # Errors
/// A topic is not there, the group does not take the member, reading fails, or stdout cannot be
/// written to; [`Exit::Partial`] where records had to be left out, [`Exit::Interrupted`].
pub(super) async fn read(options: &Options, group: &GroupId, out: &mut impl Write) -> Outcome {
    let at = &options.connection;
    let client = at.connect().await?;
    let ends = ends(options, &client).await?;
    let builder = client.group_consumer(group.clone()).start(start(options)?);
    let mut builder = builder.commit_every(COMMIT_EVERY);
    for topic in topics::names(&options.topics) {
        builder = builder.topic(topic);
    }
    if let Some(pattern) = topics::pattern(&options.topics)? {
        builder = builder.matching(pattern);
    }
    // Who has joined leaves before it ends.
    let asked = asked_to_end();
    let mut consumer = at.ask(builder.open()).await?;
    let printed = tokio::select! {
        printed = print(options, &client, group, &mut consumer, &ends, out) => printed,
        _ = asked => {
            // Whatever was handed out is printed: nothing waits in between.
            let committed = at.ask(consumer.commit()).await;
            committed.and(Err(Failure::silent(Exit::Interrupted)))
        }
    };
    let closed = at.ask(consumer.close()).await;
    printed.and(closed)
}

/// Where reading begins where the group has committed nothing.
fn start(options: &Options) -> Outcome<StartAt> {
    Ok(match options.offset {
        Start::First => StartAt::Start,
        Start::End => StartAt::End,
        Start::At(offset) => StartAt::Offset(offset),
        Start::Time(moment) => StartAt::Timestamp(moment.timestamp(SystemClock::new().now())),
        Start::Back(_) => {
            return Err(Failure::usage(
                "-o -N: a group begins at start, end, an offset or a time",
            ));
        }
    })
}

type Ends = BTreeMap<(TopicName, PartitionIndex), Offset>;

/// Where the partitions end now; what is named has to be there.
async fn ends(options: &Options, client: &Client) -> Outcome<Ends> {
    let mut ends = Ends::new();
    let at = &options.connection;
    let topics = if options.until_end {
        topics::now(&options.topics, at, client).await?
    } else {
        topics::names(&options.topics).cloned().collect()
    };
    for topic in topics {
        let described = at.ask(client.describe_topic(&topic)).await?;
        let partitions = described.partitions.into_iter();
        ends.extend(partitions.map(|partition| {
            let end = partition.bounds.high_watermark;
            ((topic.clone(), partition.index), end)
        }));
    }
    Ok(ends)
}

async fn print(
    options: &Options,
    client: &Client,
    group: &GroupId,
    consumer: &mut GroupConsumer,
    ends: &Ends,
    out: &mut impl Write,
) -> Outcome {
    let at = &options.connection;
    let format = options.format()?;
    let progress = Progress::records(None);
    let mut left = options.count.unwrap_or(u64::MAX);
    let mut omitted = 0_u64;
    while left > 0 {
        let item = match consumer.next().now_or_never() {
            Some(item) => item,
            None if options.until_end => match tokio::time::timeout(IDLE, consumer.next()).await {
                Ok(item) => item,
                Err(_) if is_done(options, client, group, consumer, ends).await? => break,
                Err(_) => continue,
            },
            None => consumer.next().await,
        };
        match item {
            None => break,
            Some(Ok(record)) => {
                progress.advance(1);
                if options.wants(&record) {
                    format.print(&record, out)?;
                    out.flush()?;
                    left -= 1;
                }
            }
            Some(Err(error)) if leaves_out_records(&error) => {
                at.failed(&error).report();
                omitted += 1;
            }
            // The member has joined anew, and goes on from what was committed.
            Some(Err(error)) if joins_anew(&error) => {
                at.failed(&error).report();
            }
            Some(Err(error)) => return Err(at.failed(&error)),
        }
    }
    // All that was handed out is printed.
    at.ask(consumer.commit()).await?;
    if omitted > 0 {
        return Err(Failure::new(
            Exit::Partial,
            "some records could not be read",
        ));
    }
    Ok(())
}

/// Whether the group has come, in all partitions of this member, to where they ended at first.
async fn is_done(
    options: &Options,
    client: &Client,
    group: &GroupId,
    consumer: &GroupConsumer,
    ends: &Ends,
) -> Outcome<bool> {
    let at = &options.connection;
    at.ask(consumer.commit()).await?;
    let described = at.ask(client.describe_group(group)).await?;
    if described.state != GroupState::Stable {
        return Ok(false);
    }
    let lags = at.ask(client.group_lag(group)).await?;
    let mut own = lags
        .into_iter()
        .filter(|lag| lag.member.as_ref() == Some(consumer.member()));
    Ok(own.all(|lag| {
        let end = ends.get(&(lag.topic, lag.partition));
        lag.committed >= end.copied()
    }))
}

fn joins_anew(error: &ClientError) -> bool {
    matches!(
        error,
        ClientError::Broker(Error::Group(
            GroupError::UnknownMember { .. }
                | GroupError::FencedMember { .. }
                | GroupError::NotAssigned { .. }
        ))
    )
}
