//! Running a verb and looking at what it leaves behind.

use std::{
    io::Write as _,
    path::Path,
    process::{Command, Stdio},
};

use crate::server::Server;

/// What a verb left behind.
#[derive(Debug)]
pub(crate) struct Done {
    /// Its exit code; -1 where a signal ended it.
    pub(crate) code: i32,
    /// What it wrote to stdout.
    pub(crate) stdout: Vec<u8>,
    /// What it wrote to stderr.
    pub(crate) stderr: String,
}

impl Done {
    /// Stdout as text, where the verb succeeded.
    #[track_caller]
    pub(crate) fn text(self) -> String {
        String::from_utf8(self.bytes()).expect("stdout is UTF-8")
    }

    /// Stdout, where the verb succeeded.
    #[track_caller]
    pub(crate) fn bytes(self) -> Vec<u8> {
        assert_eq!(self.code, 0, "stderr: {}", self.stderr);
        self.stdout
    }

    /// Stderr, where the verb ended with this code.
    #[track_caller]
    pub(crate) fn failure(self, code: i32) -> String {
        assert_eq!(self.code, code, "stderr: {}", self.stderr);
        self.stderr
    }
}

/// The program without the environment of whoever runs the tests.
pub(crate) fn ratatoskr() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ratatoskr"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("RATATOSKR_") {
            command.env_remove(name);
        }
    }
    command.env("NO_COLOR", "1");
    command
}

/// Runs the program with these words, split at blanks, and no stdin.
pub(crate) fn run(words: &str) -> Done {
    run_with(words, b"")
}

/// The same with this on stdin.
pub(crate) fn run_with(words: &str, stdin: &[u8]) -> Done {
    finish(ratatoskr().args(words.split_whitespace()), stdin)
}

impl Server {
    /// Runs a client verb against this server.
    pub(crate) fn run(&self, words: &str) -> Done {
        self.run_with(words, b"")
    }

    /// The same with this on stdin.
    pub(crate) fn run_with(&self, words: &str, stdin: &[u8]) -> Done {
        finish(self.client().args(words.split_whitespace()), stdin)
    }

    /// The program, set to talk to this server.
    pub(crate) fn client(&self) -> Command {
        let mut command = ratatoskr();
        command.env("RATATOSKR_SERVER", self.address.to_string());
        command
    }
}

/// A line for `sh` in this directory, with `ratatoskr` in its path.
pub(crate) fn shell(line: &str, directory: &Path) -> Command {
    let program = Path::new(env!("CARGO_BIN_EXE_ratatoskr"));
    let own = program.parent().expect("the program lies in a directory");
    let path = std::env::var_os("PATH").unwrap_or_default();
    let paths = std::iter::once(own.to_path_buf()).chain(std::env::split_paths(&path));
    let mut command = Command::new("sh");
    command
        .args(["-c", line])
        .current_dir(directory)
        .env("PATH", std::env::join_paths(paths).expect("a path"))
        .env("NO_COLOR", "1");
    command
}

/// Says what is not tested here and why, past the harness, which shows nothing of tests that pass.
pub(crate) fn skipped(what: &str) {
    let _ = writeln!(std::io::stderr(), "SKIPPED: {what}");
}

/// Feeds stdin and collects the rest.
pub(crate) fn finish(command: &mut Command, stdin: &[u8]) -> Done {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let mut input = child.stdin.take().expect("stdin is a pipe");
    let stdin = stdin.to_vec();
    // A thread, since a verb that writes before it has read everything would wait for us for ever.
    // A verb that ends early closes the pipe, which is its right.
    let feeder = std::thread::spawn(move || drop(input.write_all(&stdin)));
    let output = child.wait_with_output().expect("the program ends");
    feeder.join().expect("stdin was fed");
    Done {
        code: output.status.code().unwrap_or(-1),
        stdout: output.stdout,
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}
