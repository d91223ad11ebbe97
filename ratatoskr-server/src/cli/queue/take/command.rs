//! Running a command for each record that is taken.

use std::{
    io,
    process::{ExitStatus, Stdio},
    sync::Arc,
    time::Duration,
};

use ratatoskr_client::{Error, Nack, QueueBuilder, Stopper, Work};
use ratatoskr_core::{record::ConsumedRecord, sync::Mutex};
use tokio::{io::AsyncWriteExt as _, process::Command, sync::watch, time::timeout};

use super::Options;
use crate::cli::{
    connection,
    exit::{Exit, Failure, Outcome},
    format::Format,
    signals::{asked_to_end, unless_interrupted},
};

/// The record is to come again: `EX_TEMPFAIL` of sysexits.h.
const TEMPORARY_FAILURE: i32 = 75;
/// A shell ends with these where it cannot run a command (POSIX, 2.8.2).
const NOT_EXECUTABLE: i32 = 126;
const NOT_FOUND: i32 = 127;
/// A shell ends with more than this where a signal ended its command.
const SIGNALS: i32 = 128;

/// # Errors
/// Records cannot be taken, or the command cannot be run; [`Exit::Partial`] where not all of the
/// records are done.
pub(super) async fn run(
    options: &Options,
    at: &connection::Options,
    queue: QueueBuilder,
    format: Format,
    line: &str,
) -> Outcome {
    let tally = Arc::new(Mutex::new(Tally::default()));
    let refused = {
        let (tally, at) = (Arc::clone(&tally), at.clone());
        move |record: &ConsumedRecord, error: &Error| {
            tally.lock().refused();
            let (topic, partition, offset) = (&record.topic, record.partition, record.offset);
            eprintln!("{topic}/{partition}:{offset} was not settled:");
            at.failed(error).report();
        }
    };
    let queue = at.ask(queue.on_refused(refused).open()).await?;
    let worker = Arc::new(Worker {
        line: line.to_owned(),
        format,
        count: options.count.unwrap_or(u64::MAX),
        stopper: queue.stopper(),
        busy: watch::Sender::new(false),
        tally: Arc::clone(&tally),
    });
    let handler = {
        let worker = Arc::clone(&worker);
        move |work| Arc::clone(&worker).work(work)
    };
    let mut working = Box::pin(at.ask(queue.for_each_concurrent(1, handler)));
    let mut interrupted = false;
    let ended = tokio::select! {
        ended = &mut working => ended,
        () = idle(&worker.busy, options.wait) => {
            worker.stopper.stop();
            unless_interrupted(working).await
        }
        _ = asked_to_end() => {
            // The command may end in its own time, unless we are asked again.
            interrupted = true;
            worker.stopper.stop();
            unless_interrupted(working).await
        }
    };
    let tally = std::mem::take(&mut *tally.lock());
    let refused = match tally.refused {
        0 => String::new(),
        refused => format!(", {refused} not settled"),
    };
    eprintln!(
        "{} records done, {} to come again, {} to the dead letters{refused}",
        tally.done, tally.retried, tally.rejected
    );
    if let Some(failure) = tally.failure {
        return Err(failure);
    }
    ended?;
    if interrupted {
        return Err(Failure::silent(Exit::Interrupted));
    }
    if tally.retried + tally.rejected + tally.refused > 0 {
        return Err(Failure::new(
            Exit::Partial,
            "not all of the records are done",
        ));
    }
    Ok(())
}

/// Waits until no command has run for so long.
async fn idle(busy: &watch::Sender<bool>, wait: Option<Duration>) {
    let Some(wait) = wait else {
        return std::future::pending().await;
    };
    let mut busy = busy.subscribe();
    // The sender outlives this, so waiting for it cannot fail.
    while busy.wait_for(|busy| !busy).await.is_ok() {
        if timeout(wait, busy.wait_for(|busy| *busy)).await.is_err() {
            return;
        }
    }
}

/// Runs the command.
#[derive(Debug)]
struct Worker {
    line: String,
    format: Format,
    /// Commands to run at most.
    count: u64,
    stopper: Stopper,
    /// Whether a command runs.
    busy: watch::Sender<bool>,
    tally: Arc<Mutex<Tally>>,
}

/// What has become of the records.
#[derive(Debug, Default)]
struct Tally {
    done: u64,
    retried: u64,
    rejected: u64,
    /// The broker did not keep what the command said of them.
    refused: u64,
    /// What the last command said.
    last: Option<Said>,
    /// The command cannot be run.
    failure: Option<Failure>,
}

/// What a command says of its record.
#[derive(Clone, Copy, Debug)]
enum Said {
    Done,
    Again,
    DeadLetter,
}

impl Worker {
    async fn work(self: Arc<Self>, work: Work) -> Result<(), Nack> {
        self.busy.send_replace(true);
        let ended = self.call(&work).await;
        let settled = {
            let mut tally = self.tally.lock();
            let settled = tally.settle(&self.line, ended);
            let run = tally.done + tally.retried + tally.rejected + tally.refused;
            if run >= self.count || tally.failure.is_some() {
                self.stopper.stop();
            }
            settled
        };
        self.busy.send_replace(false);
        settled
    }

    async fn call(&self, work: &Work) -> io::Result<ExitStatus> {
        let mut text = Vec::new();
        self.format.print(&work.record, &mut text)?;
        let mut child = self.command(work).spawn()?;
        let stdin = child.stdin.take();
        // A command need not read, and what it started may hold its stdin after its end.
        let feed = async {
            if let Some(mut stdin) = stdin {
                let _ = stdin.write_all(&text).await;
            }
            std::future::pending().await
        };
        tokio::select! {
            ended = child.wait() => ended,
            ended = feed => ended,
        }
    }

    fn command(&self, work: &Work) -> Command {
        let mut command = Command::new("sh");
        command
            .args(["-c", &self.line])
            .stdin(Stdio::piped())
            .kill_on_drop(true)
            .env("RECORD_TOPIC", work.record.topic.as_str())
            .env("RECORD_PARTITION", work.record.partition.to_string())
            .env("RECORD_OFFSET", work.record.offset.to_string())
            .env("RECORD_DELIVERY_COUNT", work.delivery_count.to_string())
            .env("RECORD_TOKEN", work.token.to_string())
            .env_remove("RECORD_KEY");
        let key = work.record.record.key.as_deref();
        if let Some(Ok(key)) = key.map(str::from_utf8)
            && !key.contains('\0')
        {
            command.env("RECORD_KEY", key);
        }
        command
    }
}

impl Tally {
    fn says(&mut self, said: Said) {
        self.last = Some(said);
        *self.count(said) += 1;
    }

    fn count(&mut self, said: Said) -> &mut u64 {
        match said {
            Said::Done => &mut self.done,
            Said::Again => &mut self.retried,
            Said::DeadLetter => &mut self.rejected,
        }
    }

    /// What the last command said was not kept: one record is worked off at a time.
    fn refused(&mut self) {
        self.refused += 1;
        if let Some(said) = self.last.take() {
            *self.count(said) -= 1;
        }
    }

    /// What becomes of a record whose command ended like this.
    fn settle(&mut self, line: &str, ended: io::Result<ExitStatus>) -> Result<(), Nack> {
        self.last = None;
        let cannot_run = |why: String| {
            Failure::new(Exit::Failure, format!("cannot run {line:?}"))
                .because(why)
                .next("the command by itself: sh -c COMMAND")
        };
        let status = match ended {
            Ok(status) => status,
            Err(error) => {
                self.failure = Some(cannot_run(error.to_string()));
                return Err(Nack::release());
            }
        };
        match status.code() {
            Some(0) => {
                self.says(Said::Done);
                Ok(())
            }
            Some(NOT_EXECUTABLE | NOT_FOUND) => {
                self.failure = Some(cannot_run(status.to_string()));
                Err(Nack::release())
            }
            Some(code) if code != TEMPORARY_FAILURE && code <= SIGNALS => {
                self.says(Said::DeadLetter);
                Err(Nack::reject(format!("{line}: {status}")))
            }
            _ => {
                self.says(Said::Again);
                Err(Nack::retry(format!("{line}: {status}")))
            }
        }
    }
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::process::ExitStatusExt as _;

    use super::*;

    #[test]
    fn the_exit_status_says_what_becomes_of_a_record() {
        let exited = |code| ExitStatus::from_raw(code << 8);
        let again = |cause: &str| Err(Nack::retry(format!("work: {cause}")));
        let bad = |cause: &str| Err(Nack::reject(format!("work: {cause}")));
        for (status, expected, goes_on) in [
            (exited(0), Ok(()), true),
            (exited(1), bad("exit status: 1"), true),
            (exited(128), bad("exit status: 128"), true),
            (exited(75), again("exit status: 75"), true),
            (exited(130), again("exit status: 130"), true),
            (ExitStatus::from_raw(9), again("signal: 9 (SIGKILL)"), true),
            (exited(126), Err(Nack::release()), false),
            (exited(127), Err(Nack::release()), false),
        ] {
            let mut tally = Tally::default();
            assert_eq!(tally.settle("work", Ok(status)), expected, "{status}");
            assert_eq!(tally.failure.is_none(), goes_on, "{status}");
        }
    }
}
