//! Programs that measure, and say what they found as JSON on stdout.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use tokio::{process::Command, time::timeout};

/// How long a program may take: filling a log of 10 GB is the longest of what they do.
const TIME_MAX: Duration = Duration::from_mins(10);
/// Characters of a program's last words that are kept.
const WORDS_MAX: usize = 400;

/// The programs beside this one.
#[derive(Clone, Debug)]
pub(crate) struct Programs {
    directory: PathBuf,
}

impl Programs {
    /// Those that were built together with this one.
    ///
    /// # Errors
    /// This program does not know where it lies.
    pub(crate) fn beside_this() -> Result<Self> {
        let this = std::env::current_exe().context("this program's place")?;
        let directory = this.parent().context("this program lies in a directory")?;
        Ok(Self {
            directory: directory.to_owned(),
        })
    }

    /// The path of one of them.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// The last row that a floor program prints.
    ///
    /// # Errors
    /// See [`answer`].
    pub(crate) async fn floor(
        &self,
        words: &[String],
        directory: &Path,
        time: Duration,
    ) -> Result<Value> {
        let mut command = Command::new(self.path("floors"));
        command
            .args(words)
            .arg("--dir")
            .arg(directory)
            .args(["--repetitions", "1"])
            .args(["--duration-ms", &time.as_millis().to_string()]);
        answer(&mut command).await
    }

    /// What `ratatoskr` answers to a client's command line.
    ///
    /// # Errors
    /// See [`answer`]; some of what was sent or read was not as it should be.
    pub(crate) async fn ratatoskr(&self, words: &[String], server: Option<&str>) -> Result<Value> {
        let command = Command::new(self.path("ratatoskr"));
        self.client(command, words, server).await
    }

    /// The same, of a client that has the processors only while nobody else wants them, as if it ran on
    /// another machine: its own work takes nothing from the broker and its neighbours here.
    ///
    /// # Errors
    /// See [`Self::ratatoskr`].
    pub(crate) async fn ratatoskr_elsewhere(
        &self,
        words: &[String],
        server: Option<&str>,
    ) -> Result<Value> {
        let mut command = Command::new("chrt");
        command.args(["--idle", "0"]).arg(self.path("ratatoskr"));
        self.client(command, words, server).await
    }

    async fn client(
        &self,
        mut command: Command,
        words: &[String],
        server: Option<&str>,
    ) -> Result<Value> {
        command.args(words).args(["--output", "json"]);
        if let Some(server) = server {
            command.args(["--server", server]);
        }
        without_settings(&mut command);
        sound(answer(&mut command).await?)
    }

    /// What the common client answers about a target that listens at `address`.
    ///
    /// # Errors
    /// See [`Self::ratatoskr`].
    pub(crate) async fn peer(
        &self,
        target: &str,
        words: &[String],
        address: &str,
    ) -> Result<Value> {
        let mut command = Command::new(self.path("peer"));
        command.arg(target).args(words).args(["--address", address]);
        without_settings(&mut command);
        sound(answer(&mut command).await?)
    }
}

/// A benchmark's answer, if it says that everything went as it should.
fn sound(answer: Value) -> Result<Value> {
    let failed = answer["failed"].as_u64().unwrap_or(0);
    ensure!(failed == 0, "{failed} records were not acknowledged");
    ensure!(
        answer["verified"] != Value::Bool(false),
        "what was read is not what was sent"
    );
    Ok(answer)
}

/// The environment's own settings must not change what is measured.
pub(crate) fn without_settings(command: &mut Command) {
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("RATATOSKR_") {
            command.env_remove(name);
        }
    }
}

/// Runs a program and parses what it printed, or the last line of that.
///
/// # Errors
/// It cannot be started, fails, takes too long, or says nothing that is JSON.
///
/// # Cancel safety
/// The program is killed where the future is dropped.
async fn answer(command: &mut Command) -> Result<Value> {
    let line = shown(command);
    parse(&printed(command).await?).with_context(|| format!("`{line}`"))
}

/// Runs a program and gives what it printed.
///
/// # Errors
/// It cannot be started, fails, or takes too long.
///
/// # Cancel safety
/// The program is killed where the future is dropped.
pub(crate) async fn printed(command: &mut Command) -> Result<String> {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    let line = shown(command);
    let output = timeout(TIME_MAX, command.output())
        .await
        .with_context(|| format!("`{line}` took longer than {TIME_MAX:?}"))?
        .with_context(|| format!("cannot start `{line}`"))?;
    let words = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        let words: String = words.trim().chars().take(WORDS_MAX).collect();
        bail!("`{line}` ended with {}: {words}", output.status);
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn parse(text: &str) -> Result<Value> {
    let last = text.trim().lines().last().unwrap_or_default();
    serde_json::from_str(text)
        .or_else(|_| serde_json::from_str(last))
        .context("the answer is not JSON")
}

fn shown(command: &Command) -> String {
    let command = command.as_std();
    let name = Path::new(command.get_program()).file_name();
    let words = command.get_args().map(|word| word.to_string_lossy());
    name.map(|name| name.to_string_lossy())
        .into_iter()
        .chain(words)
        .collect::<Vec<_>>()
        .join(" ")
}

/// The number at a path with dots.
pub(crate) fn number(answer: &Value, path: &str) -> Option<f64> {
    // A name may hold a dot of its own, as `p99.9_us` does.
    if let Some(value) = answer.get(path) {
        return value.as_f64();
    }
    let (first, rest) = path.split_once('.')?;
    number(answer.get(first)?, rest)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn numbers_are_found_by_path() {
        let answer = json!({"a": 1, "b": {"c": 2.5, "p99.9": {"median": 3}}, "d": "text"});
        for (path, expected) in [
            ("a", Some(1.0)),
            ("b.c", Some(2.5)),
            ("b.p99.9.median", None),
            ("b.x", None),
            ("d", None),
        ] {
            assert_eq!(number(&answer, path), expected, "{path}");
        }
        assert_eq!(number(&answer["b"], "p99.9"), None);
        assert_eq!(number(&json!({"p99.9": 4}), "p99.9"), Some(4.0));
    }

    #[test]
    fn an_answer_is_one_object_or_the_last_line() {
        assert_eq!(parse("{\n \"a\": 1\n}\n").unwrap(), json!({"a": 1}));
        assert_eq!(parse("{\"a\":1}\n{\"a\":2}\n").unwrap(), json!({"a": 2}));
        assert!(parse("").is_err());
    }

    #[test]
    fn an_answer_with_losses_does_not_count() {
        assert!(sound(json!({"failed": 0, "verified": true})).is_ok());
        assert!(sound(json!({"verified": null})).is_ok());
        assert!(sound(json!({"failed": 1})).is_err());
        assert!(sound(json!({"failed": 0, "verified": false})).is_err());
    }

    #[tokio::test]
    async fn a_program_that_fails_is_told_with_its_last_words() {
        let mut command = Command::new("sh");
        let failed = answer(command.args(["-c", "echo no such thing >&2; exit 3"])).await;
        let told = failed.unwrap_err().to_string();
        assert!(
            told.contains("no such thing") && told.contains("exit status: 3"),
            "{told}"
        );
        let mut command = Command::new("sh");
        let said = answer(command.args(["-c", "echo '{\"a\":1}'"])).await;
        assert_eq!(said.unwrap(), json!({"a": 1}));
    }
}
