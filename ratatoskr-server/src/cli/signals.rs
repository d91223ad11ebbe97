//! Signals that end the program.

use std::future::Future;

use crate::cli::exit::{Exit, Failure, Outcome};

/// Ends when the user (Ctrl-C) or the system (SIGTERM) asks this process to, with the name of what
/// came. Each call waits for the next one.
///
/// # Errors
/// Signals cannot be heard on this system.
pub(crate) async fn asked_to_end() -> std::io::Result<&'static str> {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        tokio::select! {
            _ = interrupt.recv() => Ok("SIGINT"),
            _ = terminate.recv() => Ok("SIGTERM"),
        }
    }
    #[cfg(not(unix))]
    {
        tokio::signal::ctrl_c().await?;
        Ok("Ctrl-C")
    }
}

/// Runs a client verb until it ends or the user has had enough.
///
/// # Errors
/// What the verb answers, or [`Exit::Interrupted`].
pub(crate) async fn unless_interrupted<T>(verb: impl Future<Output = Outcome<T>>) -> Outcome<T> {
    tokio::select! {
        outcome = verb => outcome,
        _ = asked_to_end() => Err(Failure::silent(Exit::Interrupted)),
    }
}
