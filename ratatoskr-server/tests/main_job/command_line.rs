//! The main job through the command line: the real program on both sides.

use std::{
    io::{BufRead, BufReader, Write},
    process::{Child, Command, Stdio},
};

use ratatoskr_core::{
    bytes::Bytes,
    config::Compression,
    name::TopicName,
    offset::{Offset, PartitionIndex},
    record::{ConsumedRecord, Record},
};
use tempfile::TempDir;

use crate::{
    backend::End,
    check::{check, check_restarted},
    corpus,
    door::{Door, PARTITIONS, Place, Restart},
};

/// A broker in a process of its own, worked by other processes.
struct CommandLine {
    broker: Child,
    address: String,
    /// Where it keeps its data, if on disk.
    directory: Option<TempDir>,
}

impl CommandLine {
    fn over_memory() -> Self {
        Self::start(None)
    }

    fn on_disk() -> Self {
        Self::start(Some(tempfile::tempdir().expect("a directory")))
    }

    fn start(directory: Option<TempDir>) -> Self {
        let mut command = program();
        command.args(["serve", "--native-listen", "127.0.0.1:0"]);
        command.args(["--kafka-listen", "127.0.0.1:0"]);
        command.args(["--set", "log.format=json"]);
        match &directory {
            Some(directory) => command.arg("--data-dir").arg(directory.path()),
            None => command.arg("--memory"),
        };
        let mut broker = command
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the broker starts");
        let mut log = BufReader::new(broker.stderr.take().expect("stderr is a pipe")).lines();
        let ready = log.by_ref().find_map(|line| {
            let line: serde_json::Value = serde_json::from_str(&line.ok()?).ok()?;
            let address = line["native"].as_str()?;
            (line["message"] == "ready").then(|| address.to_owned())
        });
        // What else it says must not fill the pipe.
        std::thread::spawn(move || log.for_each(drop));
        Self {
            broker,
            address: ready.expect("the broker says where it listens"),
            directory,
        }
    }

    /// Runs a verb that must succeed; what it writes to stdout.
    fn run(&self, words: &[&str], stdin: &[u8]) -> Vec<u8> {
        let mut verb = program()
            .args(words)
            .args(["--server", &self.address])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the verb starts");
        let mut input = verb.stdin.take().expect("stdin is a pipe");
        std::thread::scope(|scope| {
            scope.spawn(move || input.write_all(stdin));
            let output = verb.wait_with_output().expect("the verb ends");
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{words:?}: {said}");
            output.stdout
        })
    }
}

/// The program without the environment of whoever runs the tests.
fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ratatoskr"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("RATATOSKR_") {
            command.env_remove(name);
        }
    }
    command
}

impl Door for CommandLine {
    async fn send(
        &mut self,
        topic: &TopicName,
        compression: Compression,
        records: &[Record],
    ) -> Option<Vec<Place>> {
        let topic = topic.as_str();
        let partitions = PARTITIONS.to_string();
        let settings = ["segment_bytes=32KiB", "batch_bytes_max=4MiB"];
        let words = ["topic", "create", topic, "--partitions", &partitions];
        self.run(&[&words[..], &settings].concat(), b"");
        let keyed = records.iter().all(|record| record.key.is_some());
        let mut lines = Vec::new();
        for Record { key, value, .. } in records {
            if let Some(key) = key {
                lines.extend_from_slice(key);
                lines.push(b'\t');
            }
            lines.extend_from_slice(value.as_deref().expect("a line"));
            lines.push(b'\n');
        }
        let format = if keyed { r"%k\t%v\n" } else { r"%v\n" };
        let codec = compression.name();
        self.run(
            &["produce", topic, "-f", format, "--compression", codec],
            &lines,
        );
        None
    }

    async fn read(&mut self, topic: &TopicName, count: usize) -> Vec<ConsumedRecord> {
        let (name, count) = (topic.as_str(), count.to_string());
        let format = r"%p %o %k\t%v\n";
        let output = self.run(&["consume", name, "-n", &count, "-f", format], b"");
        let lines = output.strip_suffix(b"\n").expect("a last line end");
        lines
            .split(|byte| *byte == b'\n')
            .map(|line| consumed(topic, line))
            .collect()
    }

    async fn codecs(&mut self, _topic: &TopicName) -> Option<Vec<Compression>> {
        None
    }
}

/// A line as [`CommandLine::read`] has it printed. A record without a key shows as an empty one.
fn consumed(topic: &TopicName, line: &[u8]) -> ConsumedRecord {
    let tab = line.iter().position(|byte| *byte == b'\t');
    let (place, value) = line.split_at(tab.expect("a tab"));
    let place = std::str::from_utf8(place).expect("keys are text");
    let mut words = place.splitn(3, ' ');
    let mut next = || words.next().expect("three words");
    let partition = PartitionIndex::new(next().parse().expect("a partition"));
    let offset = Offset::new(next().parse().expect("an offset"));
    let key = next();
    let mut record = Record::new(Bytes::copy_from_slice(&value[1..]));
    if !key.is_empty() {
        record = record.with_key(key.to_owned());
    }
    ConsumedRecord {
        topic: topic.clone(),
        partition,
        offset,
        record,
    }
}

impl Restart for CommandLine {
    /// The end without notice is SIGKILL.
    async fn restart(mut self, end: End) -> Self {
        match end {
            End::WithoutNotice => self.broker.kill().expect("it can be killed"),
            End::InOrder => {
                let id = self.broker.id().to_string();
                let sent = Command::new("kill").args(["-TERM", &id]).status();
                assert!(sent.expect("kill runs").success());
            }
        }
        let status = self.broker.wait().expect("it ends");
        assert_eq!(status.success(), matches!(end, End::InOrder), "{status}");
        Self::start(self.directory.take())
    }
}

impl Drop for CommandLine {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.broker.kill();
        let _ = self.broker.wait();
    }
}

#[tokio::test]
async fn command_line_over_memory() {
    check(CommandLine::over_memory()).await;
}

#[tokio::test]
async fn command_line_on_disk_after_a_restart() {
    check_restarted(CommandLine::on_disk(), End::InOrder).await;
}

#[tokio::test]
async fn command_line_on_disk_after_a_kill() {
    check_restarted(CommandLine::on_disk(), End::WithoutNotice).await;
}

#[test]
fn a_file_goes_in_and_comes_out_as_it_is() {
    let broker = CommandLine::on_disk();
    for corpus in corpus::all() {
        broker.run(&["produce", corpus.name], &corpus.bytes);
        let mut printed = broker.run(&["consume", corpus.name, "--until-end"], b"");
        if !corpus.bytes.ends_with(b"\n") {
            assert_eq!(printed.pop(), Some(b'\n'), "each record is a line");
        }
        assert!(printed == corpus.bytes, "{}", corpus.name);
    }
}
