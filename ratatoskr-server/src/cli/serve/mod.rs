//! `ratatoskr serve`: the broker itself.
//!
//! It comes up in this order: configuration, log, port, data, broker, doors; and goes down in the
//! reverse one, within `shutdown.grace`. A second signal does not wait for that.

mod banner;
mod doors;
mod store;

use std::io::Write;

use ratatoskr_core::{Error, broker::ShutdownReport};

use crate::{
    cli::{
        exit::{Exit, Failure, Outcome},
        logs, node, signals,
    },
    config::Settings,
};
use doors::Doors;
use store::Store;
pub(crate) use store::failure as data_failure;

const EXAMPLES: &str = "\
Examples:
  $ ratatoskr
  $ ratatoskr serve --memory --native-listen 127.0.0.1:0
  $ ratatoskr serve --data-dir ./data --set topics.partitions_default=3
  $ ratatoskr serve --config ratatoskr.toml
  $ ratatoskr serve --print-config";

/// The node's configuration.
#[derive(Debug, clap::Args)]
#[group(skip)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Options {
    #[command(flatten)]
    node: node::Options,
    /// Print every setting with its value and who set it, and do nothing else
    #[arg(long)]
    print_config: bool,
}

/// Serves until a signal comes or the broker fences itself.
///
/// # Errors
/// What keeps the broker from coming up; [`Exit::Fenced`] where it could not go on.
pub(crate) async fn run(options: &Options, out: &mut impl Write) -> Outcome {
    let loaded = options.node.load()?;
    if options.print_config {
        write!(out, "{loaded}")?;
        return Ok(out.flush()?);
    }
    let settings = loaded.settings;
    doors::refuse_strangers(&settings)?;
    logs::start(&settings)?;
    let doors = Doors::listen(&settings).await?;
    let store = Store::open(&settings).await?;
    // Whoever reads that we are ready may send a signal at once.
    let asked = signals::asked_to_end();
    if logs::are_text(&settings) {
        eprintln!("{}", banner::banner(&settings, &doors));
    } else {
        let data_dir = (!settings.memory).then(|| settings.data_dir.display().to_string());
        let native = doors.native.address;
        let kafka = doors.kafka_address().map(tracing::field::display);
        tracing::info!(%native, kafka, data_dir, "ready");
    }
    serve(&settings, doors, &store, asked).await
}

async fn serve(
    settings: &Settings,
    doors: Doors,
    store: &Store,
    asked: impl Future<Output = std::io::Result<&'static str>>,
) -> Outcome {
    let broker = &store.broker;
    let open = doors.open(settings, store);
    let fenced = tokio::select! {
        signal = asked => {
            let signal = signal.map_err(|error| {
                Failure::new(Exit::Failure, "cannot wait for signals").because(error)
            })?;
            tracing::info!(signal, "shutting down");
            None
        }
        reason = broker.fenced() => Some(reason),
    };
    let down = async {
        open.close().await?;
        let report = broker.shutdown(settings.shutdown_grace).await;
        let closed = store.close().await;
        judge(report)?;
        closed
    };
    let down = tokio::select! {
        down = down => down,
        _ = signals::asked_to_end() => Err(
            Failure::new(Exit::Interrupted, "a second signal cut the shutdown short")
                .because("what was not acknowledged may or may not be in the log"),
        ),
    };
    match fenced {
        Some(reason) => Err(Failure::of(&Error::Fenced { reason })),
        None => down,
    }
}

/// What a shutdown left undone.
fn judge(report: Result<ShutdownReport, Error>) -> Outcome {
    let report = report.map_err(|error| Failure::of(&error))?;
    if report.is_clean() {
        return Ok(());
    }
    if report.timed_out {
        let cut = report.batches_unsettled;
        return Err(Failure::new(
            Exit::Partial,
            "shutdown.grace was over before everything was done",
        )
        .because(format!("the outcome of {cut} batches is unknown")));
    }
    let problems = report.problems.iter();
    let reasons: Vec<&str> = problems.map(|problem| problem.reason.as_str()).collect();
    Err(Failure::new(Exit::Failure, "not everything could be flushed").because(reasons.join("; ")))
}
