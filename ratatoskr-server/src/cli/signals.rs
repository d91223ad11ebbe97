//! Signals that end the program.

use std::future::Future;

use crate::cli::exit::{Exit, Failure, Outcome};

/// Hears the user (Ctrl-C) and the system (SIGTERM) from the call on, not only from the first poll,
/// so that nothing that is begun after it can be ended in the middle by a signal. Ends with the name
/// of what came.
///
/// # Errors
/// Signals cannot be heard on this system.
pub(crate) fn asked_to_end() -> impl Future<Output = std::io::Result<&'static str>> {
    #[cfg(unix)]
    let (interrupt, terminate) = {
        use tokio::signal::unix::{SignalKind, signal};
        (
            signal(SignalKind::interrupt()),
            signal(SignalKind::terminate()),
        )
    };
    #[cfg(windows)]
    let ctrl_c = tokio::signal::windows::ctrl_c();
    async move {
        #[cfg(unix)]
        {
            let (mut interrupt, mut terminate) = (interrupt?, terminate?);
            tokio::select! {
                _ = interrupt.recv() => Ok("SIGINT"),
                _ = terminate.recv() => Ok("SIGTERM"),
            }
        }
        #[cfg(windows)]
        {
            ctrl_c?.recv().await;
            Ok("Ctrl-C")
        }
    }
}

/// Runs a client verb until it ends or the user has had enough.
///
/// # Errors
/// What the verb answers, or [`Exit::Interrupted`].
pub(crate) async fn unless_interrupted<T>(verb: impl Future<Output = Outcome<T>>) -> Outcome<T> {
    let asked = asked_to_end();
    tokio::select! {
        outcome = verb => outcome,
        _ = asked => Err(Failure::silent(Exit::Interrupted)),
    }
}

#[cfg(all(test, unix))]
mod tests {
    use std::process::Command;

    use super::*;

    /// A command that a verb runs may be faster than the verb's next poll.
    #[tokio::test]
    async fn a_signal_before_the_first_poll_is_heard() {
        let asked = asked_to_end();
        let pid = std::process::id().to_string();
        let sent = Command::new("kill").args(["-TERM", &pid]).status();
        assert!(sent.expect("kill runs").success());
        assert_eq!(asked.await.expect("signals can be heard"), "SIGTERM");
    }
}
