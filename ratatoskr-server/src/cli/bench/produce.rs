//! `ratatoskr bench produce`: records or batches until they are acknowledged.

use std::{
    io::Write,
    num::{NonZeroU32, NonZeroU64},
    sync::Arc,
    time::Instant,
};

use ratatoskr_client::{Acks, Client};
use ratatoskr_core::config::Compression;
use ratatoskr_server::load::{Payloads, Plan, Report, Sink, Tally, drive};
use tokio::task::JoinSet;

use super::{
    pacing,
    sinks::{Batches, Making, Records},
    target::{self, Targets},
    verdict,
};
use crate::cli::{
    connection,
    exit::{Exit, Failure, Outcome},
    output::Style,
    progress::Progress,
};

const EXAMPLES: &str = "\
Examples:
  $ ratatoskr bench produce --records 20000 --size 1024 --producers 2
  $ ratatoskr bench produce --records 1000 --in-flight 1
  $ ratatoskr bench produce --rate 10000 --seconds 0.5 --warm-up 0.2 --compression lz4
  $ ratatoskr bench produce --batch 100 --in-flight 16 --topics 3 --partitions 2 --durability os
  $ ratatoskr bench produce --single --records 1000 --output json
  $ ratatoskr bench produce --topic keyed --keys 100 --records 2000";

/// What to send, and how.
#[derive(Clone, Debug, clap::Args)]
#[group(skip)]
#[command(after_help = EXAMPLES)]
pub(super) struct Options {
    #[command(flatten)]
    target: target::Options,
    #[command(flatten)]
    pacing: pacing::Options,
    #[command(flatten)]
    shape: Shape,
}

/// What the sends are.
#[derive(Clone, Debug, clap::Args)]
#[group(skip)]
pub(super) struct Shape {
    /// Bytes of a record's value, at least 24
    #[arg(long, value_name = "BYTES", default_value_t = 100)]
    size: usize,
    /// Producers, each with a connection of its own
    #[arg(long, value_name = "COUNT", default_value = "1")]
    producers: NonZeroU32,
    /// Make every send a batch of exactly this many records
    #[arg(long, value_name = "RECORDS", conflicts_with_all = ["single", "acks"])]
    batch: Option<NonZeroU32>,
    /// Make every record a batch and a request of its own
    #[arg(long, conflicts_with = "acks")]
    single: bool,
    /// Give records these many keys, in turn, which say where they go
    #[arg(long, value_name = "COUNT", conflicts_with_all = ["single", "batch"])]
    keys: Option<NonZeroU32>,
    /// When a record counts as sent: none, one or all
    #[arg(long, value_name = "ACKS", default_value = "all", value_parser = acks)]
    acks: Acks,
    /// Compress batches: none, gzip, snappy, lz4 or zstd
    #[arg(long, value_name = "CODEC", default_value_t = Compression::None)]
    compression: Compression,
}

/// # Errors
/// What the broker answers; [`Exit::Partial`] where some records
/// were not acknowledged.
pub(super) async fn run(
    options: &Options,
    at: &connection::Options,
    style: Style,
    out: &mut impl Write,
) -> Outcome {
    let targets = options.target.create(&at.connect().await?, at).await?;
    let progress = Progress::records(options.pacing.amount().records());
    let producers = options.shape.connect(at).await?;
    let load = Load::open(&options.shape, &targets, producers, at).await?;
    let start = Instant::now();
    let tally = load
        .run(|sender| options.plan(start, sender), progress)
        .await?;
    let report = options.describe(&targets, tally.report("produce"));
    verdict::print(&report, style, out)?;
    verdict::all_acknowledged(&tally)
}

impl Options {
    fn plan(&self, start: Instant, sender: u32) -> Plan {
        let per_send = self.shape.records_per_send();
        let amount = self.pacing.amount();
        amount.plan(
            self.pacing.pace(),
            per_send,
            start,
            sender,
            self.shape.producers,
        )
    }

    fn describe(&self, targets: &Targets, report: Report) -> Report {
        self.shape
            .describe(self.pacing.describe(targets.describe(report)))
    }
}

impl Shape {
    /// The batch of exactly this many records that each send is, if it is one.
    fn batch(&self) -> Option<NonZeroU32> {
        self.batch.or(self.single.then_some(NonZeroU32::MIN))
    }

    /// How many producers there are.
    pub(super) const fn producers(&self) -> NonZeroU32 {
        self.producers
    }

    /// A connection for each producer.
    ///
    /// # Errors
    /// What the broker answers.
    pub(super) async fn connect(&self, at: &connection::Options) -> Outcome<Vec<Client>> {
        let mut clients = Vec::new();
        for _ in 0..self.producers.get() {
            clients.push(at.connect().await?);
        }
        Ok(clients)
    }

    /// The same client for each producer.
    pub(super) fn clones_of(&self, client: &Client) -> Vec<Client> {
        vec![client.clone(); self.producers.get() as usize]
    }

    /// Records in each send.
    pub(super) fn records_per_send(&self) -> NonZeroU64 {
        self.batch().map_or(NonZeroU64::MIN, NonZeroU64::from)
    }

    /// The report with what is to be said of the sends.
    pub(super) fn describe(&self, report: Report) -> Report {
        let report = report
            .with("size", self.size)
            .with("producers", self.producers)
            .with("compression", self.compression);
        let report = match self.keys {
            Some(keys) => report.with("keys", keys),
            None => report,
        };
        match self.batch() {
            Some(records) => report.with("batch", records),
            None => report.with("acks", name(self.acks)),
        }
    }
}

/// Producers that are connected and have not begun.
pub(super) struct Load {
    run: u64,
    sinks: Vec<Either>,
}

enum Either {
    Records(Records),
    Batches(Batches),
}

impl Load {
    /// Opens a producer over each client.
    ///
    /// # Errors
    /// What the broker answers.
    pub(super) async fn open(
        shape: &Shape,
        targets: &Targets,
        clients: Vec<Client>,
        at: &connection::Options,
    ) -> Outcome<Self> {
        let run = fastrand::u64(..);
        let mut sinks = Vec::new();
        for (number, client) in (0..).zip(clients) {
            let payloads = Payloads::new(run, number, shape.size);
            let turn = number as usize;
            sinks.push(if let Some(records) = shape.batch() {
                Either::Batches(Batches {
                    client,
                    places: targets.places(),
                    payloads,
                    compression: shape.compression,
                    records: records.get(),
                    turn,
                })
            } else {
                Either::Records(Records {
                    producers: producers(shape, targets, &client, at).await?,
                    making: Making::new(payloads, shape.keys),
                    turn,
                })
            });
        }
        Ok(Self { run, sinks })
    }

    /// One producer of batches for each of these, of this run.
    pub(super) fn of_batches(run: u64, sinks: Vec<Batches>) -> Self {
        let sinks = sinks.into_iter().map(Either::Batches).collect();
        Self { run, sinks }
    }

    /// What the records say which run they are of.
    pub(super) const fn run_id(&self) -> u64 {
        self.run
    }

    /// Starts all together, each with its plan, and waits for the last.
    ///
    /// # Errors
    /// A producer that ended early; sends that failed are in the tally.
    pub(super) async fn run(
        self,
        plan: impl Fn(u32) -> Plan,
        progress: Progress,
    ) -> Outcome<Tally> {
        let progress = Arc::new(progress);
        let mut tasks = JoinSet::new();
        for (number, sink) in (0..).zip(self.sinks) {
            let (plan, progress) = (plan(number), Arc::clone(&progress));
            match sink {
                Either::Records(sink) => tasks.spawn(one(plan, sink, progress)),
                Either::Batches(sink) => tasks.spawn(one(plan, sink, progress)),
            };
        }
        let mut sum = Tally::new(plan(0).measured_from());
        while let Some(tally) = tasks.join_next().await {
            sum.add(tally.map_err(verdict::ended_early)??);
        }
        Ok(sum)
    }
}

async fn producers(
    shape: &Shape,
    targets: &Targets,
    client: &Client,
    at: &connection::Options,
) -> Outcome<Vec<ratatoskr_client::Producer>> {
    let mut producers = Vec::new();
    for topic in &targets.topics {
        let producer = client
            .producer(&topic.name)
            .compression(shape.compression)
            .acks(shape.acks);
        producers.push(at.ask(producer.open()).await?);
    }
    Ok(producers)
}

/// The work of one producer.
async fn one(plan: Plan, mut sink: impl Sink, progress: Arc<Progress>) -> Outcome<Tally> {
    let tally = drive(&plan, &mut sink, |records| progress.advance(records)).await;
    tally.map_err(|error| Failure::new(Exit::Failure, "cannot keep time").because(error))
}

fn acks(text: &str) -> Result<Acks, String> {
    match text {
        "none" => Ok(Acks::None),
        "one" => Ok(Acks::One),
        "all" => Ok(Acks::All),
        _ => Err("expected none, one or all".to_owned()),
    }
}

const fn name(acks: Acks) -> &'static str {
    match acks {
        Acks::None => "none",
        Acks::One => "one",
        Acks::All => "all",
    }
}
