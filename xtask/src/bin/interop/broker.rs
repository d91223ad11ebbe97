//! The broker's process, and its command line as the other door to what clients send.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    process::{Child, ChildStderr, Command},
    sync::oneshot,
    time::timeout,
};

/// How long the broker, or a command of its own, may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// What the clients read that did not come from a Kafka client.
const NATIVE_TOPIC: &str = "native";
const NATIVE_RECORDS: usize = 20;
/// Keys that every client sends, and the partitions of the topic.
const KEYS: usize = 30;

/// A broker as people start it, durable, on ports and a data directory of its own.
pub(crate) struct Broker {
    child: Child,
    program: PathBuf,
    data: PathBuf,
    addresses: Addresses,
}

/// Where a broker listens.
struct Addresses {
    native: String,
    kafka: String,
}

impl Broker {
    /// Starts the program beside this one on an empty data directory, and waits until it serves.
    ///
    /// # Errors
    /// It ends instead, or takes too long.
    pub(crate) async fn start(data: &Path) -> Result<Self> {
        if data.exists() {
            std::fs::remove_dir_all(data).context("what an earlier run left")?;
        }
        let here = std::env::current_exe().context("where this program is")?;
        let program = here.with_file_name("ratatoskr");
        let free = "127.0.0.1:0".to_owned();
        let wanted = Addresses {
            native: free.clone(),
            kafka: free,
        };
        let (child, addresses) = spawn(&program, data, &wanted).await?;
        Ok(Self {
            child,
            program,
            data: data.to_owned(),
            addresses,
        })
    }

    /// Where it serves Kafka clients, before a restart and after it.
    pub(crate) fn kafka(&self) -> &str {
        &self.addresses.kafka
    }

    /// Kills the process (SIGKILL) and starts it again on what it left, at the same addresses.
    ///
    /// # Errors
    /// It does not come up again.
    pub(crate) async fn kill_and_restart(&mut self) -> Result<()> {
        self.child.kill().await.context("cannot kill the broker")?;
        (self.child, self.addresses) = spawn(&self.program, &self.data, &self.addresses).await?;
        Ok(())
    }

    /// Fills the topic that clients read although no Kafka client wrote it.
    ///
    /// # Errors
    /// The command line fails.
    pub(crate) async fn fill_native_topic(&self) -> Result<()> {
        let records = lines(NATIVE_RECORDS, |n| format!("native-{n}"));
        self.command_line(&["produce", NATIVE_TOPIC], &records)
            .await?;
        Ok(())
    }

    /// Sends the keys that a client sent once more, by the native door: each must be in one partition.
    ///
    /// # Errors
    /// A key is in two, or records are missing.
    pub(crate) async fn check_keys(&self, topic: &str) -> Result<()> {
        let records = lines(KEYS, |n| format!("key-{n}\tv"));
        self.command_line(&["produce", topic, "-f", "%k\\t%v\\n"], &records)
            .await?;
        let all = ["consume", topic, "--until-end", "-f", "%k %p\\n"];
        let all = self.command_line(&all, "").await?;
        let mut partitions: HashMap<&str, Vec<&str>> = HashMap::new();
        for (key, partition) in all.lines().filter_map(|line| line.split_once(' ')) {
            partitions.entry(key).or_default().push(partition);
        }
        ensure!(
            partitions.len() == KEYS,
            "{} keys arrived",
            partitions.len()
        );
        for (key, found) in partitions {
            let same = found.len() == 2 && found[0] == found[1];
            ensure!(same, "{key} is in partitions {found:?}");
        }
        Ok(())
    }

    async fn command_line(&self, words: &[&str], input: &str) -> Result<String> {
        let mut command = Command::new(&self.program);
        command
            .args(words)
            .args(["--server", &self.addresses.native])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true);
        let mut child = command.spawn().context("the command line")?;
        let mut stdin = child.stdin.take().context("stdin is a pipe")?;
        let asked = async {
            stdin.write_all(input.as_bytes()).await?;
            drop(stdin);
            child.wait_with_output().await
        };
        let output = timeout(PATIENCE, asked)
            .await
            .context("the command line hangs")??;
        ensure!(
            output.status.success(),
            "{words:?} ended with {}",
            output.status
        );
        Ok(String::from_utf8(output.stdout)?)
    }

    /// SIGTERM, and waits for the process to be gone.
    ///
    /// # Errors
    /// It does not end as it should.
    pub(crate) async fn stop(mut self) -> Result<()> {
        let id = self.child.id().context("the broker runs")?.to_string();
        let sent = Command::new("kill").args(["-TERM", &id]).status().await?;
        ensure!(sent.success(), "cannot send SIGTERM");
        let status = timeout(PATIENCE, self.child.wait())
            .await
            .context("the broker did not end")??;
        ensure!(status.success(), "the broker ended with {status}");
        Ok(())
    }
}

/// Starts the program and waits until it says where it serves.
async fn spawn(program: &Path, data: &Path, wanted: &Addresses) -> Result<(Child, Addresses)> {
    let mut command = Command::new(program);
    command
        .args(["serve", "--set", "log.format=json", "--data-dir"])
        .arg(data)
        .args(["--native-listen", &wanted.native])
        .args(["--kafka-listen", &wanted.kafka])
        // Groups are small here, and nobody should wait for members that never come.
        .args(["--set", "groups.initial_rebalance_delay=200ms"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    without_settings(&mut command);
    let mut child = command
        .spawn()
        .with_context(|| format!("cannot start {}", program.display()))?;
    let stderr = child.stderr.take().context("stderr is a pipe")?;
    let (ready, is_ready) = oneshot::channel();
    tokio::spawn(listen_to(stderr, ready));
    let addresses = timeout(PATIENCE, is_ready)
        .await
        .context("the broker did not come up")?
        .context("the broker ended while it started")?;
    Ok((child, addresses))
}

/// So many lines.
fn lines(count: usize, line: impl Fn(usize) -> String) -> String {
    let lines: Vec<_> = (0..count).map(line).collect();
    lines.join("\n") + "\n"
}

/// Settings of the one who runs this must not reach the broker.
fn without_settings(command: &mut Command) {
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("RATATOSKR_") {
            command.env_remove(name);
        }
    }
}

/// Reads what the broker says, so that it never has to wait, and tells where it listens.
async fn listen_to(stderr: ChildStderr, ready: oneshot::Sender<Addresses>) {
    let mut ready = Some(ready);
    let mut lines = BufReader::new(stderr).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        if let Some(addresses) = addresses_in(&line)
            && let Some(ready) = ready.take()
        {
            // Nobody waits where the run was given up.
            let _ = ready.send(addresses);
        } else if !line.contains("\"INFO\"") {
            eprintln!("{line}");
        }
    }
}

/// The addresses in the line that says that the broker serves.
fn addresses_in(line: &str) -> Option<Addresses> {
    let line: Value = serde_json::from_str(line).ok()?;
    let address = |door: &str| line[door].as_str().map(ToOwned::to_owned);
    if line["message"] != "ready" {
        return None;
    }
    Some(Addresses {
        native: address("native")?,
        kafka: address("kafka")?,
    })
}
