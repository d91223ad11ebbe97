//! What each client needs, and how it is started.
//!
//! Everything is installed under `target/interop`, and again only where the list of what is needed
//! has changed.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use tokio::{process::Command, time::timeout};

use super::{
    broker::Broker,
    results::{Line, parse},
};

/// How long an installation may take: a registry that cannot be reached does not hold up the rest.
const INSTALL_MAX: Duration = Duration::from_mins(5);
/// How long a client's checks may take.
const CHECKS_MAX: Duration = Duration::from_mins(4);

/// A client of Kafka.
pub(crate) struct Client {
    /// What its topics begin with, and what `--only` takes.
    pub(crate) name: &'static str,
    /// How the table calls it.
    pub(crate) title: &'static str,
    pub(crate) is_quick: bool,
    language: Language,
    /// Where its sources are in `xtask/interop`, and in `target/interop` what is installed for it.
    directory: &'static str,
    program: &'static str,
}

#[derive(Clone, Copy)]
enum Language {
    Python,
    Node,
    Go,
    Java,
    Shell,
}

/// Every client, the quick ones first.
pub(crate) static CLIENTS: &[Client] = &[
    Client {
        name: "confluent",
        title: "confluent-kafka (librdkafka)",
        is_quick: true,
        language: Language::Python,
        directory: "python",
        program: "confluent.py",
    },
    Client {
        name: "kafka-python",
        title: "kafka-python",
        is_quick: true,
        language: Language::Python,
        directory: "python",
        program: "kafka_python.py",
    },
    Client {
        name: "aiokafka",
        title: "aiokafka",
        is_quick: false,
        language: Language::Python,
        directory: "python",
        program: "aio.py",
    },
    Client {
        name: "kafkajs",
        title: "kafkajs",
        is_quick: false,
        language: Language::Node,
        directory: "node",
        program: "kafkajs_client.js",
    },
    Client {
        name: "franz-go",
        title: "franz-go",
        is_quick: false,
        language: Language::Go,
        directory: "franz-go",
        program: "interop",
    },
    Client {
        name: "sarama",
        title: "sarama",
        is_quick: false,
        language: Language::Go,
        directory: "sarama",
        program: "interop",
    },
    Client {
        name: "java",
        title: "kafka-clients (Java)",
        is_quick: false,
        language: Language::Java,
        directory: "java",
        program: "Interop.java",
    },
    Client {
        name: "kcat",
        title: "kcat",
        is_quick: false,
        language: Language::Shell,
        directory: "shell",
        program: "kcat.sh",
    },
];

impl Client {
    /// The client's program, with all that it needs installed.
    ///
    /// # Errors
    /// Why it cannot run here.
    pub(crate) async fn command(&self, root: &Path) -> Result<Command> {
        let place = Place::new(root, self.directory)?;
        let program = place.sources.join(self.program);
        let command = match self.language {
            Language::Python => {
                let python = place.directory.join("environment/bin/python");
                let list = "requirements.txt";
                place
                    .install(
                        &[list],
                        &[
                            &["python3", "-m", "venv", "environment"],
                            &[
                                "environment/bin/python",
                                "-m",
                                "pip",
                                "install",
                                "--quiet",
                                "--disable-pip-version-check",
                                "--timeout",
                                "15",
                                "--retries",
                                "1",
                                "--requirement",
                                list,
                            ],
                        ],
                    )
                    .await?;
                with(python, [program])
            }
            Language::Node => {
                let npm = ["npm", "install", "--silent", "--no-fund", "--no-audit"];
                place.install(&["package.json"], &[&npm]).await?;
                // Modules are looked for from where the program is.
                fs::copy(&program, place.directory.join(self.program))?;
                with("node".into(), [place.directory.join(self.program)])
            }
            Language::Go => {
                let build: [&[&str]; 2] =
                    [&["go", "mod", "tidy"], &["go", "build", "-o", "interop"]];
                place.install(&["go.mod", "main.go"], &build).await?;
                with(place.directory.join(self.program), [])
            }
            Language::Java => {
                let copy = [
                    "mvn",
                    "-Dstyle.color=never",
                    "--quiet",
                    "--batch-mode",
                    "dependency:copy-dependencies",
                    "-DoutputDirectory=lib",
                ];
                place.install(&["pom.xml"], &[&copy]).await?;
                let classes = place.directory.join("lib/*");
                with("java".into(), ["--class-path".into(), classes, program])
            }
            Language::Shell => {
                let found = place.run(&["kcat", "-V"]).await;
                found.context("kcat is not installed")?;
                with("bash".into(), [program])
            }
        };
        Ok(command)
    }

    /// Runs the client's checks and gives what it says of each.
    ///
    /// # Errors
    /// It cannot be started, or does not end.
    pub(crate) async fn run(&self, mut command: Command, broker: &Broker) -> Result<Vec<Line>> {
        command
            .args([&broker.kafka, self.name])
            .stdin(Stdio::null())
            .stderr(Stdio::inherit())
            .kill_on_drop(true);
        let output = timeout(CHECKS_MAX, command.output())
            .await
            .with_context(|| format!("{} did not end within {CHECKS_MAX:?}", self.name))??;
        let lines = parse(&String::from_utf8_lossy(&output.stdout));
        ensure!(!lines.is_empty(), "{} made no check", self.name);
        ensure!(
            output.status.success(),
            "{} ended with {}",
            self.name,
            output.status
        );
        Ok(lines)
    }
}

fn with<const N: usize>(program: PathBuf, words: [PathBuf; N]) -> Command {
    let mut command = Command::new(program);
    command.args(words);
    command
}

/// Where clients are: their sources, and what is installed for them.
struct Place {
    sources: PathBuf,
    directory: PathBuf,
}

impl Place {
    fn new(root: &Path, directory: &str) -> Result<Self> {
        let sources = root.join("xtask/interop").join(directory);
        let directory = root.join("target/interop").join(directory);
        fs::create_dir_all(&directory)?;
        Ok(Self { sources, directory })
    }

    /// Copies the lists of what is needed and runs the commands that install it, unless that was done
    /// for the same lists before.
    async fn install(&self, lists: &[&str], commands: &[&[&str]]) -> Result<()> {
        let done = self.directory.join("installed");
        let mut needed = String::new();
        for list in lists {
            needed += &fs::read_to_string(self.sources.join(list)).context(list.to_string())?;
        }
        if fs::read_to_string(&done).is_ok_and(|installed| installed == needed) {
            return Ok(());
        }
        for list in lists {
            fs::copy(self.sources.join(list), self.directory.join(list))?;
        }
        for command in commands {
            self.run(command).await?;
        }
        Ok(fs::write(done, needed)?)
    }

    async fn run(&self, words: &[&str]) -> Result<()> {
        let (program, words) = words.split_first().context("no program")?;
        let mut command = Command::new(program);
        command
            .args(words)
            .current_dir(&self.directory)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .kill_on_drop(true);
        let status = timeout(INSTALL_MAX, command.status())
            .await
            .with_context(|| format!("`{program}` did not end within {INSTALL_MAX:?}"))?
            .with_context(|| format!("cannot start `{program}`"))?;
        ensure!(status.success(), "`{program}` ended with {status}");
        Ok(())
    }
}
