//! A broker as a process of its own, on a port of its own.

use std::{
    io::{BufRead as _, BufReader},
    net::SocketAddr,
    path::Path,
    process::{Child, ChildStderr, Command, Stdio},
    sync::{Arc, Mutex},
};

use crate::command::ratatoskr;

/// A running broker; killed when it is dropped.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    /// Where the native protocol listens.
    pub(crate) address: SocketAddr,
    /// Where Kafka's protocol listens, if it does.
    pub(crate) kafka: Option<SocketAddr>,
    log: Arc<Mutex<String>>,
}

impl Server {
    /// A broker that keeps nothing on disk.
    pub(crate) fn in_memory() -> Self {
        Self::start(command(None).arg("--memory"))
    }

    /// A broker on this data directory.
    pub(crate) fn on_disk(directory: &Path) -> Self {
        Self::start(&mut command(Some(directory)))
    }

    /// Starts `command` and waits until it says that it is ready.
    pub(crate) fn start(command: &mut Command) -> Self {
        match Self::try_start(command) {
            Ok(server) => server,
            Err((code, log)) => panic!("the broker ended with {code:?}: {log}"),
        }
    }

    /// The same, or the exit code and the log of a broker that did not come up.
    pub(crate) fn try_start(command: &mut Command) -> Result<Self, (Option<i32>, String)> {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let mut lines = BufReader::new(child.stderr.take().expect("stderr is a pipe"));
        let mut log = String::new();
        let (address, kafka) = loop {
            let before = log.len();
            if lines.read_line(&mut log).expect("stderr is readable") == 0 {
                let status = child.wait().expect("it has ended");
                return Err((status.code(), log));
            }
            if let Some(addresses) = ready(&log[before..]) {
                break addresses;
            }
        };
        let log = Arc::new(Mutex::new(log));
        drain(lines, &log);
        Ok(Self {
            child,
            address,
            kafka,
            log,
        })
    }

    /// Waits for its end and gives its exit code.
    pub(crate) fn wait(mut self) -> Option<i32> {
        self.child.wait().expect("it ends").code()
    }

    /// Sends a signal by its name.
    #[cfg(unix)]
    pub(crate) fn signal(&self, name: &str) {
        signal(&self.child, name);
    }

    /// Ends it without any warning.
    pub(crate) fn kill(mut self) {
        self.child.kill().expect("it can be killed");
        self.child.wait().expect("it ends");
    }

    /// Everything it has logged so far.
    pub(crate) fn log(&self) -> String {
        self.log
            .lock()
            .expect("no test panics with the log")
            .clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// `ratatoskr serve` on a free port, with a log that programs can read.
pub(crate) fn command(data_dir: Option<&Path>) -> Command {
    let mut command = ratatoskr();
    command
        .arg("serve")
        .env("RATATOSKR_NATIVE__LISTEN", "127.0.0.1:0")
        .env("RATATOSKR_KAFKA__LISTEN", "127.0.0.1:0")
        .env("RATATOSKR_LOG__FORMAT", "json");
    if let Some(directory) = data_dir {
        command.arg("--data-dir").arg(directory);
    }
    command
}

/// Sends a signal to a process by its name.
#[cfg(unix)]
pub(crate) fn signal(to: &Child, name: &str) {
    let pid = to.id().to_string();
    let sent = Command::new("kill").args(["-s", name, &pid]).status();
    assert!(
        sent.is_ok_and(|status| status.success()),
        "SIG{name} is sent"
    );
}

/// The addresses for native and for Kafka clients in the log line that says that the broker is ready.
fn ready(line: &str) -> Option<(SocketAddr, Option<SocketAddr>)> {
    let line: serde_json::Value = serde_json::from_str(line).ok()?;
    let address = |door: &str| line[door].as_str()?.parse().ok();
    (line["message"] == "ready").then(|| Some((address("native")?, address("kafka"))))?
}

/// Keeps reading the log, so that the broker never waits for us.
fn drain(mut lines: BufReader<ChildStderr>, log: &Arc<Mutex<String>>) {
    let log = Arc::clone(log);
    std::thread::spawn(move || {
        let mut line = String::new();
        while lines.read_line(&mut line).is_ok_and(|bytes| bytes > 0) {
            if let Ok(mut log) = log.lock() {
                log.push_str(&line);
            }
            line.clear();
        }
    });
}
