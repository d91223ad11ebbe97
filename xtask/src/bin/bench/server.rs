//! Servers as processes, on loopback, killed when nobody holds them any more.

use std::{
    net::{Ipv4Addr, TcpListener},
    path::{Path, PathBuf},
    process::Stdio,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    net::TcpStream,
    process::{Child, ChildStderr, Command},
    sync::oneshot,
    time::{sleep, timeout},
};

use crate::program::without_settings;

/// How long a server may take to come up, the recovery of 10 GB included.
const START_MAX: Duration = Duration::from_mins(2);
/// How long it may take to end when it is asked to.
const END_MAX: Duration = Duration::from_mins(1);
/// How often it is looked whether somebody listens at a port.
const LOOK_EVERY: Duration = Duration::from_millis(10);
/// What Linux counts processor time in (`USER_HZ`).
const TICKS_PER_SECOND: f64 = 100.0;
/// As many sockets as the rows open.
const CONNECTIONS_MAX: &str = "20000";

/// Which clients this broker serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Doors {
    /// Its own.
    Native,
    /// Those of Kafka, too.
    NativeAndKafka,
}

/// A server that is up.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    /// Where it listens.
    pub(crate) address: String,
    /// Where this broker serves Kafka's clients, if it does.
    pub(crate) kafka: Option<String>,
    /// When it was started.
    pub(crate) started: Instant,
    /// How long it then took until it served.
    pub(crate) ready_after: Duration,
}

impl Server {
    /// Starts `ratatoskr serve` on a port of its own choice, and waits until it serves.
    ///
    /// # Errors
    /// It ends instead, or takes too long.
    pub(crate) async fn ratatoskr(
        program: &Path,
        data: &Path,
        settings: &str,
        doors: Doors,
    ) -> Result<Self> {
        let mut command = Command::new(program);
        command
            .arg("serve")
            .arg("--data-dir")
            .arg(data)
            .args(["--native-listen", "127.0.0.1:0"])
            .args(["--set", "log.format=json"]);
        for key in ["connections_max", "connections_per_address_max"] {
            command.args(["--set", &format!("native.{key}={CONNECTIONS_MAX}")]);
        }
        if serves_kafka(program).await? {
            command.arg("--kafka-listen").arg(match doors {
                Doors::Native => "none",
                Doors::NativeAndKafka => "127.0.0.1:0",
            });
        }
        command.args(settings.split_whitespace());
        without_settings(&mut command);
        let started = Instant::now();
        let mut child = spawn(&mut command, Stdio::piped())?;
        let stderr = child.stderr.take().context("stderr is a pipe")?;
        let (ready, is_ready) = oneshot::channel();
        tokio::spawn(listen_to(stderr, ready));
        let (address, kafka) = timeout(START_MAX, is_ready)
            .await
            .with_context(|| format!("the broker did not come up within {START_MAX:?}"))?
            .context("the broker ended while it started")?;
        Ok(Self {
            child,
            address,
            kafka,
            started,
            ready_after: started.elapsed(),
        })
    }

    /// Starts another server, which was told a free port, and waits until somebody listens there.
    ///
    /// # Errors
    /// It ends instead, or takes too long.
    pub(crate) async fn other(mut command: Command, port: u16) -> Result<Self> {
        let started = Instant::now();
        let mut child = spawn(&mut command, Stdio::null())?;
        let address = format!("127.0.0.1:{port}");
        let up = async {
            while TcpStream::connect(&address).await.is_err() {
                if let Some(status) = child.try_wait()? {
                    anyhow::bail!("the server ended with {status} while it started");
                }
                sleep(LOOK_EVERY).await;
            }
            Ok(())
        };
        timeout(START_MAX, up)
            .await
            .with_context(|| format!("the server did not come up within {START_MAX:?}"))??;
        Ok(Self {
            child,
            address,
            kafka: None,
            started,
            ready_after: started.elapsed(),
        })
    }

    /// SIGTERM, and waits for the process to be gone.
    ///
    /// # Errors
    /// It does not end as it should.
    pub(crate) async fn stop(mut self) -> Result<()> {
        let id = self.child.id().context("the server runs")?.to_string();
        let sent = Command::new("kill").args(["-TERM", &id]).status().await?;
        ensure!(sent.success(), "cannot send SIGTERM");
        let status = timeout(END_MAX, self.child.wait())
            .await
            .with_context(|| format!("the server did not end within {END_MAX:?}"))??;
        ensure!(status.success(), "the server ended with {status}");
        Ok(())
    }

    /// SIGKILL, and waits for the process to be gone.
    ///
    /// # Errors
    /// It cannot be killed.
    pub(crate) async fn kill(mut self) -> Result<()> {
        self.child.kill().await.context("kill")
    }

    /// Processor time that it has used, in seconds.
    ///
    /// # Errors
    /// It has ended.
    pub(crate) fn processor_seconds(&self) -> Result<f64> {
        let id = self.child.id().context("the server runs")?;
        let stat = std::fs::read_to_string(format!("/proc/{id}/stat"));
        let ticks = processor_ticks(&stat.context("the server's processor time")?);
        Ok(ticks.context("the server's processor time is not told")? / TICKS_PER_SECOND)
    }

    /// Memory that it has resident, in bytes.
    ///
    /// # Errors
    /// It has ended.
    pub(crate) fn resident_bytes(&self) -> Result<f64> {
        let id = self.child.id().context("the server runs")?;
        let path = PathBuf::from(format!("/proc/{id}/status"));
        let status = std::fs::read_to_string(path).context("the server's memory")?;
        resident_bytes(&status).context("the server's memory is not told")
    }
}

/// A port that was free a moment ago.
///
/// # Errors
/// There is none.
pub(crate) fn free_port() -> Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    Ok(listener.local_addr()?.port())
}

/// Whether this revision of the program has a door for Kafka clients, which would take a fixed port.
async fn serves_kafka(program: &Path) -> Result<bool> {
    let mut command = Command::new(program);
    command.args(["serve", "--memory", "--print-config"]);
    without_settings(&mut command);
    let printed = command.output().await.context("cannot start the broker")?;
    let config = String::from_utf8_lossy(&printed.stdout);
    Ok(config.lines().any(|line| line.starts_with("kafka.listen")))
}

fn spawn(command: &mut Command, stderr: Stdio) -> Result<Child> {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(stderr)
        .kill_on_drop(true);
    let program = command.as_std().get_program().to_owned();
    command
        .spawn()
        .with_context(|| format!("cannot start {}", program.display()))
}

/// Reads what the broker says, so that it never has to wait, and tells where it listens.
async fn listen_to(stderr: ChildStderr, ready: oneshot::Sender<Addresses>) {
    let mut ready = Some(ready);
    let mut lines = BufReader::new(stderr).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        if let Some(addresses) = addresses_in(&line) {
            if let Some(ready) = ready.take() {
                // Nobody waits where the run was given up.
                let _ = ready.send(addresses);
            }
        } else if !line.contains("\"INFO\"") {
            eprintln!("{line}");
        }
    }
}

/// Where the broker serves its own clients, and those of Kafka.
type Addresses = (String, Option<String>);

fn addresses_in(line: &str) -> Option<Addresses> {
    let line: Value = serde_json::from_str(line).ok()?;
    let address = |door: &str| line[door].as_str().map(ToOwned::to_owned);
    (line["message"] == "ready").then(|| Some((address("native")?, address("kafka"))))?
}

/// `utime` and `stime` of a process's stat. The name before them, in brackets, may hold spaces.
fn processor_ticks(stat: &str) -> Option<f64> {
    let (_, after_name) = stat.rsplit_once(')')?;
    let mut times = after_name.split_whitespace().skip(11);
    let mut next = || times.next()?.parse::<f64>().ok();
    Some(next()? + next()?)
}

/// `VmRSS` of a process's status, which is in KiB.
fn resident_bytes(status: &str) -> Option<f64> {
    let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
    let kib: f64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kib * 1024.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_that_says_ready_has_the_addresses() {
        let native = || "127.0.0.1:41".to_owned();
        let one = r#"{"message":"ready","native":"127.0.0.1:41"}"#;
        let both = r#"{"message":"ready","native":"127.0.0.1:41","kafka":"127.0.0.1:42"}"#;
        for (line, expected) in [
            (one, Some((native(), None))),
            (both, Some((native(), Some("127.0.0.1:42".to_owned())))),
            (r#"{"message":"recovering"}"#, None),
            ("ready", None),
        ] {
            assert_eq!(addresses_in(line), expected);
        }
    }

    #[test]
    fn processor_time_is_read() {
        let stat = "42 (a (b) c) S 1 42 42 0 -1 4194560 9 0 0 0 250 50 7 7 20 0 9 0 99";
        assert_eq!(processor_ticks(stat), Some(300.0));
        assert_eq!(processor_ticks("42 (a) S 1"), None);
    }

    #[test]
    fn resident_memory_is_read() {
        let status = "Name:\tratatoskr\nVmHWM:\t    9000 kB\nVmRSS:\t    1024 kB\n";
        assert_eq!(resident_bytes(status), Some(1_048_576.0));
        assert_eq!(resident_bytes("Name:\tx\n"), None);
    }
}
