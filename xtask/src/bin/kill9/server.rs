//! The real broker as a process: started, killed without warning, started again in the same place.

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use tokio::{
    fs::File,
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    process::{Child, ChildStderr, Command},
    task::JoinHandle,
    time::timeout,
};

/// How long a broker may take to come up, recovery included.
const START_MAX: Duration = Duration::from_mins(1);
/// How long a broker may take to end when it is asked to.
const END_MAX: Duration = Duration::from_secs(30);
/// The port is chosen from these: below the range from which systems take ports for outgoing
/// connections, where a client that tries to reach a dead broker could connect to itself.
const PORTS: std::ops::Range<u16> = 12_000..32_000;

/// What all lives of a broker have in common.
#[derive(Clone, Debug)]
pub(crate) struct Site {
    /// The program.
    pub(crate) program: PathBuf,
    /// Data and logs lie in here.
    pub(crate) directory: PathBuf,
    /// Where it listens, in every life.
    pub(crate) address: SocketAddr,
    /// Where it listens for Kafka's clients.
    pub(crate) kafka: SocketAddr,
}

/// A broker that runs.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    log: JoinHandle<Result<()>>,
    log_path: PathBuf,
}

impl Site {
    /// In a directory that nobody else uses, at ports that nobody listens on.
    ///
    /// # Errors
    /// No ports were free.
    pub(crate) fn new(
        program: &Path,
        directory: &Path,
        random: &mut fastrand::Rng,
    ) -> Result<Self> {
        let free = |port: &u16| std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok();
        let mut ports = std::iter::repeat_with(|| random.u16(PORTS))
            .take(1_000)
            .filter(free);
        let native = ports.next().context("no port is free")?;
        let kafka = ports.find(|port| *port != native);
        let kafka = kafka.context("no second port is free")?;
        Ok(Self {
            program: program.to_owned(),
            directory: directory.to_owned(),
            address: (Ipv4Addr::LOCALHOST, native).into(),
            kafka: (Ipv4Addr::LOCALHOST, kafka).into(),
        })
    }

    /// What a client connects to.
    pub(crate) fn url(&self) -> String {
        format!("ratatoskr://{}", self.address)
    }

    /// Starts the broker's `life`th life without waiting for it to come up.
    ///
    /// # Errors
    /// The program cannot be started.
    pub(crate) async fn start(&self, life: u64) -> Result<Starting> {
        let log_path = self.directory.join(format!("life-{life}.log"));
        let mut command = Command::new(&self.program);
        command
            .arg("serve")
            .arg("--data-dir")
            .arg(self.directory.join("data"))
            .args(["--native-listen", &self.address.to_string()])
            .args(["--kafka-listen", &self.kafka.to_string()])
            .args(["--set", "log.format=json"])
            // The lives are too short for members to wait long for one another.
            .args(["--set", "groups.initial_rebalance_delay=50ms"])
            // Compaction is to be at work whenever the broker is killed.
            .args(["--set", "topics.compaction_interval=50ms"])
            // So are checkpoints, and snapshots, from which producers are known again.
            .args(["--set", "storage.checkpoint_interval=500ms"])
            .args(["--set", "storage.unsynced_bytes_max=1MiB"])
            .args(["--set", "storage.snapshot_bytes=16KiB"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("RATATOSKR_") {
                command.env_remove(name);
            }
        }
        let mut child = command
            .spawn()
            .with_context(|| format!("cannot start {}", self.program.display()))?;
        let stderr = child.stderr.take().context("stderr is a pipe")?;
        let file = File::create(&log_path).await.context("log file")?;
        let (ready, is_ready) = tokio::sync::oneshot::channel();
        let server = Server {
            child,
            log: tokio::spawn(copy(stderr, file, ready)),
            log_path,
        };
        Ok(Starting { server, is_ready })
    }
}

/// A broker that may not have come up yet.
#[derive(Debug)]
pub(crate) struct Starting {
    server: Server,
    is_ready: tokio::sync::oneshot::Receiver<()>,
}

impl Starting {
    /// Waits until the broker says that it serves.
    ///
    /// # Errors
    /// It ends instead, or takes too long.
    pub(crate) async fn ready(self) -> Result<Server> {
        match timeout(START_MAX, self.is_ready).await {
            Ok(Ok(())) => Ok(self.server),
            Ok(Err(_)) => bail!(
                "the broker ended while it started: {}",
                self.server.last_words()
            ),
            Err(_) => bail!("the broker did not come up within {START_MAX:?}"),
        }
    }

    /// Kills the broker, up or not.
    ///
    /// # Errors
    /// It had ended by itself.
    pub(crate) async fn kill(self) -> Result<()> {
        self.server.kill().await
    }
}

impl Server {
    /// SIGKILL, and waits for the process to be gone.
    ///
    /// # Errors
    /// It had ended by itself.
    pub(crate) async fn kill(mut self) -> Result<()> {
        if let Some(status) = self.child.try_wait()? {
            bail!(
                "the broker ended by itself, {status}: {}",
                self.last_words()
            );
        }
        self.child.kill().await.context("kill")?;
        self.log.await?
    }

    /// SIGTERM.
    ///
    /// # Errors
    /// It had ended by itself.
    pub(crate) async fn ask_to_end(&mut self) -> Result<()> {
        if let Some(status) = self.child.try_wait()? {
            bail!(
                "the broker ended by itself, {status}: {}",
                self.last_words()
            );
        }
        let id = self.child.id().context("the broker runs")?.to_string();
        let sent = Command::new("kill").args(["-TERM", &id]).status().await?;
        ensure!(sent.success(), "cannot send SIGTERM");
        Ok(())
    }

    /// SIGKILL to a broker that was asked to end, and may have done so.
    ///
    /// # Errors
    /// It ended with another status than 0.
    pub(crate) async fn kill_ending(mut self) -> Result<()> {
        if let Some(status) = self.child.try_wait()? {
            return self.ended(status).await;
        }
        self.child.kill().await.context("kill")?;
        self.log.await?
    }

    /// Asks it to end, and waits for that.
    ///
    /// # Errors
    /// It ended before, ends with another status than 0, or takes too long.
    pub(crate) async fn stop(mut self) -> Result<()> {
        self.ask_to_end().await?;
        let ended = timeout(END_MAX, self.child.wait()).await;
        let status =
            ended.with_context(|| format!("the broker did not end within {END_MAX:?}"))??;
        self.ended(status).await
    }

    async fn ended(self, status: ExitStatus) -> Result<()> {
        ensure!(
            status.success(),
            "the broker ended with {status}: {}",
            self.last_words()
        );
        self.log.await?
    }

    /// The last line of its log.
    fn last_words(&self) -> String {
        let log = std::fs::read_to_string(&self.log_path).unwrap_or_default();
        log.lines().last().unwrap_or("it said nothing").to_owned()
    }
}

/// Keeps what the broker says, and looks for the line that says that it serves.
async fn copy(
    stderr: ChildStderr,
    mut file: File,
    ready: tokio::sync::oneshot::Sender<()>,
) -> Result<()> {
    let mut lines = BufReader::new(stderr).lines();
    let mut ready = Some(ready);
    while let Some(line) = lines.next_line().await? {
        file.write_all(line.as_bytes()).await?;
        file.write_all(b"\n").await?;
        if is_ready(&line)
            && let Some(ready) = ready.take()
        {
            // Nobody waits where the broker is killed as soon as it is started.
            let _ = ready.send(());
        }
    }
    file.flush().await?;
    Ok(())
}

fn is_ready(line: &str) -> bool {
    serde_json::from_str::<serde_json::Value>(line).is_ok_and(|line| line["message"] == "ready")
}

#[cfg(test)]
mod tests {
    use super::is_ready;

    #[test]
    fn the_line_that_says_ready_is_known() {
        assert!(is_ready(
            r#"{"level":"INFO","message":"ready","native":"127.0.0.1:1"}"#
        ));
        assert!(!is_ready(r#"{"level":"INFO","message":"recovering"}"#));
        assert!(!is_ready("ready"));
    }
}
