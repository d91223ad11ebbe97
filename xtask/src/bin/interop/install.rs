//! What a client needs, installed from its language's package registry.
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

/// How long an installation may take: a registry that cannot be reached does not hold up the rest.
/// Libraries in C take their time to build.
const INSTALL_MAX: Duration = Duration::from_mins(10);
/// Takes what a `pom.xml` names, and what that needs.
const MAVEN: &[&str] = &[
    "mvn",
    "-Dstyle.color=never",
    "--quiet",
    "--batch-mode",
    "dependency:copy-dependencies",
    "-DoutputDirectory=lib",
];
/// The clients in Rust, which are one package.
const RUST: &[&str] = &[
    "Cargo.toml",
    "src/lib.rs",
    "src/bin/rdkafka_client.rs",
    "src/bin/rskafka_client.rs",
];

/// What a client is written in, and so how it is installed and started.
#[derive(Clone, Copy)]
pub(crate) enum Language {
    Python,
    Node,
    Go,
    Java,
    /// A shell script that runs tools in Java.
    JavaTools,
    Rust,
    /// A shell script that runs kcat.
    Shell,
}

impl Language {
    /// The program of these sources, with all that it needs installed.
    ///
    /// # Errors
    /// Why it cannot run here.
    pub(crate) async fn command(self, place: &Place, program: &str) -> Result<Command> {
        let source = place.sources.join(program);
        let command = match self {
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
                with(python, [source])
            }
            Language::Node => {
                let npm = ["npm", "install", "--silent", "--no-fund", "--no-audit"];
                place.install(&["package.json"], &[&npm]).await?;
                // Modules are looked for from where the program is.
                fs::copy(&source, place.directory.join(program))?;
                with("node".into(), [place.directory.join(program)])
            }
            Language::Go => {
                let build: [&[&str]; 2] =
                    [&["go", "mod", "tidy"], &["go", "build", "-o", "interop"]];
                place.install(&["go.mod", "main.go"], &build).await?;
                with(place.directory.join(program), [])
            }
            Language::Java => {
                place.install(&["pom.xml"], &[MAVEN]).await?;
                let classes = place.directory.join("lib/*");
                let heap = "-Xmx256m".into();
                with(
                    "java".into(),
                    [heap, "--class-path".into(), classes, source],
                )
            }
            Language::JavaTools => {
                place.install(&["pom.xml"], &[MAVEN]).await?;
                let mut script = with("bash".into(), [source]);
                script.env("CLASSPATH", place.directory.join("lib/*"));
                script
            }
            Language::Rust => {
                let build = ["cargo", "build", "--quiet", "--target-dir", "target"];
                place.install(RUST, &[&build]).await?;
                with(place.directory.join("target/debug").join(program), [])
            }
            Language::Shell => {
                let found = place.run(&["kcat", "-V"]).await;
                found.context("kcat is not installed")?;
                with("bash".into(), [source])
            }
        };
        Ok(command)
    }
}

fn with<const N: usize>(program: PathBuf, words: [PathBuf; N]) -> Command {
    let mut command = Command::new(program);
    command.args(words);
    command
}

/// Where clients are: their sources, and what is installed for them.
pub(crate) struct Place {
    sources: PathBuf,
    directory: PathBuf,
}

impl Place {
    /// # Errors
    /// The directory cannot be made.
    pub(crate) fn new(root: &Path, directory: &str) -> Result<Self> {
        let sources = root.join("xtask/interop").join(directory);
        let directory = root.join("target/interop").join(directory);
        fs::create_dir_all(&directory)?;
        Ok(Self { sources, directory })
    }

    /// Where the client's own files are.
    pub(crate) fn sources(&self) -> &Path {
        &self.sources
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
            let copy = self.directory.join(list);
            fs::create_dir_all(copy.parent().context("no directory")?)?;
            fs::copy(self.sources.join(list), copy)?;
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
