//! `ratatoskr serve`: the broker itself.
//!
//! It comes up in this order: configuration, log, port, data, broker, doors; and goes down in the
//! reverse one, within `shutdown.grace`. A second signal does not wait for that.

mod banner;
mod store;

use std::{io::Write, net::SocketAddr};

use ratatoskr_core::{Error, broker::ShutdownReport};
use ratatoskr_server::native::{self, NativeLimits};
use tokio::{net::TcpListener, sync::oneshot};

use crate::{
    cli::{
        exit::{Exit, Failure, Outcome},
        logs, node, signals,
    },
    config::Settings,
};
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
    refuse_strangers(&settings)?;
    logs::start(&settings)?;
    let (listener, address) = listen(settings.native_listen).await?;
    let store = Store::open(&settings).await?;
    if logs::are_text(&settings) {
        eprintln!("{}", banner::banner(&settings, address));
    } else {
        let data_dir = (!settings.memory).then(|| settings.data_dir.display().to_string());
        tracing::info!(native = %address, data_dir, "ready");
    }
    serve(&settings, listener, &store).await
}

/// Nobody has to log in yet, so only this machine may reach the broker unless somebody insists.
fn refuse_strangers(settings: &Settings) -> Outcome {
    let address = settings.native_listen;
    if address.ip().is_loopback() || settings.insecure {
        return Ok(());
    }
    Err(Failure::usage(format!(
        "native.listen = {address} would let anybody on the network read and write everything"
    ))
    .because("nobody has to log in, and the address is not a loopback address")
    .next("127.0.0.1, or --insecure if the network is to be trusted"))
}

async fn listen(wanted: SocketAddr) -> Outcome<(TcpListener, SocketAddr)> {
    let refused = |error: std::io::Error| {
        let exit = match error.kind() {
            std::io::ErrorKind::AddrInUse => Exit::Conflict,
            _ => Exit::Failure,
        };
        Failure::new(exit, format!("cannot listen on {wanted} (native.listen)"))
            .because(error)
            .next(format!("ratatoskr serve --native-listen {}:0", wanted.ip()))
    };
    let listener = TcpListener::bind(wanted).await.map_err(refused)?;
    let address = listener.local_addr().map_err(refused)?;
    Ok((listener, address))
}

async fn serve(settings: &Settings, listener: TcpListener, store: &Store) -> Outcome {
    let broker = &store.broker;
    let limits = NativeLimits {
        connections_max: settings.connections_max,
        connections_per_address_max: settings.connections_per_address_max,
        drain_deadline: settings.shutdown_grace,
        ..NativeLimits::default()
    };
    let (close, closed) = oneshot::channel::<()>();
    let door = tokio::spawn(native::serve(listener, broker.clone(), limits, async {
        // Either way it is time to close.
        let _ = closed.await;
    }));
    let fenced = tokio::select! {
        signal = signals::asked_to_end() => {
            let signal = signal.map_err(|error| {
                Failure::new(Exit::Failure, "cannot wait for signals").because(error)
            })?;
            tracing::info!(signal, "shutting down");
            None
        }
        reason = broker.fenced() => Some(reason),
    };
    drop(close);
    let down = async {
        if let Err(error) = door.await {
            return Err(Failure::new(Exit::Failure, "the native door failed").because(error));
        }
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
