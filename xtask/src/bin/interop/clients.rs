//! The clients, and how each is run.

use std::{path::Path, process::Stdio, time::Duration};

use anyhow::{Context, Result, ensure};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    process::{Child, Command},
    time::timeout,
};

use super::{
    broker::Broker,
    install::{Language, Place},
    results::{Line, parse},
    version::Version,
};

/// How long a client's checks may take.
const CHECKS_MAX: Duration = Duration::from_mins(6);
/// What a client prints that wants the broker killed and started again; it gets a line when that is done.
const RESTART: &str = "restart";

/// A client of Kafka.
pub(crate) struct Client {
    /// What its topics begin with, and what `--only` takes.
    pub(crate) name: &'static str,
    /// How the table calls it.
    pub(crate) title: &'static str,
    version: Version,
    pub(crate) is_quick: bool,
    /// Whether it does a work of its own, and so has checks of its own, in a table of their own.
    pub(crate) is_application: bool,
    language: Language,
    /// Where its sources are in `xtask/interop`, and in `target/interop` what is installed for it.
    directory: &'static str,
    program: &'static str,
}

/// Every client, the quick ones first.
pub(crate) static CLIENTS: &[Client] = &[
    Client {
        name: "confluent",
        title: "confluent-kafka (librdkafka)",
        version: Version::Pinned("requirements.txt", "confluent-kafka"),
        is_quick: true,
        is_application: false,
        language: Language::Python,
        directory: "python",
        program: "confluent.py",
    },
    Client {
        name: "kafka-python",
        title: "kafka-python",
        version: Version::Pinned("requirements.txt", "kafka-python"),
        is_quick: true,
        is_application: false,
        language: Language::Python,
        directory: "python",
        program: "kafka_python.py",
    },
    Client {
        name: "aiokafka",
        title: "aiokafka",
        version: Version::Pinned("requirements.txt", "aiokafka"),
        is_quick: false,
        is_application: false,
        language: Language::Python,
        directory: "python",
        program: "aio.py",
    },
    Client {
        name: "kafkajs",
        title: "kafkajs",
        version: Version::Pinned("package.json", "\"kafkajs\""),
        is_quick: false,
        is_application: false,
        language: Language::Node,
        directory: "node",
        program: "kafkajs_client.js",
    },
    Client {
        name: "franz-go",
        title: "franz-go",
        version: Version::Pinned("go.mod", "franz-go v"),
        is_quick: false,
        is_application: false,
        language: Language::Go,
        directory: "franz-go",
        program: "interop",
    },
    Client {
        name: "sarama",
        title: "sarama",
        version: Version::Pinned("go.mod", "sarama"),
        is_quick: false,
        is_application: false,
        language: Language::Go,
        directory: "sarama",
        program: "interop",
    },
    Client {
        name: "java",
        title: "kafka-clients (Java)",
        version: Version::Pinned("pom.xml", "kafka-clients"),
        is_quick: false,
        is_application: false,
        language: Language::Java,
        directory: "java",
        program: "Interop.java",
    },
    Client {
        name: "kcat",
        title: "kcat",
        version: Version::Said("kcat", "Version"),
        is_quick: false,
        is_application: false,
        language: Language::Shell,
        directory: "shell",
        program: "kcat.sh",
    },
    Client {
        name: "rdkafka",
        title: "rdkafka",
        version: Version::Pinned("Cargo.toml", "rdkafka"),
        is_quick: false,
        is_application: false,
        language: Language::Rust,
        directory: "rust",
        program: "rdkafka_client",
    },
    Client {
        name: "rskafka",
        title: "rskafka",
        version: Version::Pinned("Cargo.toml", "rskafka"),
        is_quick: false,
        is_application: false,
        language: Language::Rust,
        directory: "rust",
        program: "rskafka_client",
    },
    Client {
        name: "console",
        title: "Kafka's console tools",
        version: Version::Pinned("pom.xml", "kafka-tools"),
        is_quick: false,
        is_application: false,
        language: Language::JavaTools,
        directory: "console",
        program: "console.sh",
    },
    Client {
        name: "streams",
        title: "Kafka Streams",
        version: Version::Pinned("pom.xml", "kafka-streams"),
        is_quick: false,
        is_application: true,
        language: Language::Java,
        directory: "streams",
        program: "WordCount.java",
    },
    Client {
        name: "connect",
        title: "Kafka Connect",
        version: Version::Pinned("pom.xml", "connect-runtime"),
        is_quick: false,
        is_application: true,
        language: Language::Java,
        directory: "connect",
        program: "FileToFile.java",
    },
];

impl Client {
    /// Its version, for example `4.1.0`.
    ///
    /// # Errors
    /// It cannot be found out.
    pub(crate) fn version(&self, root: &Path) -> Result<String> {
        self.version
            .read(Place::new(root, self.directory)?.sources())
    }

    /// The client's program, with all that it needs installed.
    ///
    /// # Errors
    /// Why it cannot run here.
    pub(crate) async fn command(&self, root: &Path) -> Result<Command> {
        let place = Place::new(root, self.directory)?;
        self.language.command(&place, self.program).await
    }

    /// Runs the client's checks and gives what it says of each.
    ///
    /// # Errors
    /// It cannot be started, or does not end.
    pub(crate) async fn run(&self, mut command: Command, broker: &mut Broker) -> Result<Vec<Line>> {
        command
            .args([broker.kafka(), self.name])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .kill_on_drop(true);
        let child = command.spawn().context("cannot start it")?;
        let lines = timeout(CHECKS_MAX, converse(child, broker))
            .await
            .with_context(|| format!("{} did not end within {CHECKS_MAX:?}", self.name))?
            .with_context(|| self.name)?;
        ensure!(!lines.is_empty(), "{} made no check", self.name);
        Ok(lines)
    }
}

/// Listens to the client until it ends, and restarts the broker when it asks for that.
async fn converse(mut child: Child, broker: &mut Broker) -> Result<Vec<Line>> {
    let mut stdin = child.stdin.take().context("stdin is a pipe")?;
    let stdout = child.stdout.take().context("stdout is a pipe")?;
    let mut said = BufReader::new(stdout).lines();
    let mut lines = Vec::new();
    while let Some(line) = said.next_line().await? {
        if line == RESTART {
            broker.kill_and_restart().await?;
            println!("  (the broker was killed and started again)");
            stdin.write_all(b"restarted\n").await?;
        } else {
            lines.extend(parse(&line));
        }
    }
    let status = child.wait().await?;
    ensure!(status.success(), "it ended with {status}");
    Ok(lines)
}
