//! A broker as a process of its own, on a free port.

use std::{collections::VecDeque, fs, path::Path, process::Stdio};

use ratatoskr_client::Client;
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process,
};

use crate::cli::{
    bench::memory::{Resident, resident_bytes},
    connection,
    exit::{Exit, Failure, Outcome},
};

/// Lines of a broker that did not come up that are told: its error, why, and what to try.
const LINES_TOLD: usize = 3;

/// A running broker; killed when it is dropped.
pub(super) struct Child {
    process: process::Child,
    address: String,
}

/// What a process holds.
pub(super) struct Usage {
    pub(super) resident_bytes: f64,
    pub(super) open_descriptors: f64,
}

/// A measured broker serves nobody but us.
const NO_KAFKA: &[(&str, &str)] = if cfg!(feature = "kafka") {
    &[("RATATOSKR_KAFKA__LISTEN", "none")]
} else {
    &[]
};

impl Child {
    /// Starts this program as a broker and waits until it says that it is ready. What of its logs it
    /// reads first is `verify`: `tail` or `all`.
    ///
    /// # Errors
    /// It ended instead; the reason has what it said.
    pub(super) async fn start(data: &Path, verify: &str) -> Outcome<Self> {
        let program = std::env::current_exe().map_err(|error| cannot(&error))?;
        let mut process = process::Command::new(program)
            .args(["serve", "--native-listen", "127.0.0.1:0", "--data-dir"])
            .arg(data)
            .args(["--storage-verify", verify])
            .env("RATATOSKR_LOG__FORMAT", "json")
            .envs(NO_KAFKA.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| cannot(&error))?;
        let stderr = process
            .stderr
            .take()
            .ok_or_else(|| cannot(&"it has no stderr"))?;
        let mut lines = BufReader::new(stderr).lines();
        let mut said = VecDeque::new();
        while let Some(line) = lines.next_line().await.map_err(|error| cannot(&error))? {
            if let Some(address) = ready(&line) {
                // It must never wait for somebody who reads its log.
                tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
                return Ok(Self { process, address });
            }
            said.push_back(line.trim().to_owned());
            if said.len() > LINES_TOLD {
                said.pop_front();
            }
        }
        Err(cannot(&Vec::from(said).join("; ")))
    }

    /// Connects to it.
    ///
    /// # Errors
    /// What the client answers.
    pub(super) async fn connect(&self, at: &connection::Options) -> Outcome<Client> {
        at.to(&self.address).connect().await
    }

    /// Ends it without any warning.
    ///
    /// # Errors
    /// It cannot be killed.
    pub(super) async fn kill(mut self) -> Outcome {
        self.process.kill().await.map_err(|error| {
            Failure::new(Exit::Failure, "cannot kill the broker of the benchmark").because(error)
        })
    }

    /// What it holds now.
    ///
    /// # Errors
    /// The system does not tell.
    pub(super) fn usage(&self) -> Outcome<Usage> {
        let id = self.process.id().unwrap_or_default().to_string();
        let count = || {
            let descriptors = fs::read_dir(Path::new("/proc").join(&id).join("fd")).ok()?;
            u32::try_from(descriptors.count()).ok()
        };
        let open_descriptors = count().ok_or_else(|| {
            Failure::new(Exit::Failure, "cannot tell what the broker holds")
                .because("/proc has no such process, or may not be read")
        })?;
        Ok(Usage {
            resident_bytes: resident_bytes(&id, Resident::All)?,
            open_descriptors: f64::from(open_descriptors),
        })
    }
}

/// Writes what is in the page cache and forgets it, so that everything is read from the disk again.
/// Whether it could be done: where not, that is told on stderr.
pub(super) fn drop_page_cache() -> bool {
    rustix::fs::sync();
    let dropped = fs::write("/proc/sys/vm/drop_caches", "3");
    if let Err(error) = &dropped {
        eprintln!(
            "SKIPPED: the page cache is kept, so the restart finds it warm: \
             /proc/sys/vm/drop_caches: {error}"
        );
    }
    dropped.is_ok()
}

fn cannot(why: &dyn std::fmt::Display) -> Failure {
    Failure::new(
        Exit::Failure,
        "the broker of the benchmark does not come up",
    )
    .because(why)
    .next("ratatoskr serve --data-dir DIR, to see what it says")
}

/// The address in the log line that says that the broker is ready.
fn ready(line: &str) -> Option<String> {
    let line: serde_json::Value = serde_json::from_str(line).ok()?;
    (line["message"] == "ready").then(|| Some(line["native"].as_str()?.to_owned()))?
}
