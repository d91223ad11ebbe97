//! Every command that a `--help` shows works as it stands.

use std::{collections::BTreeMap, fs, path::Path, process::Stdio};

use crate::{
    command::{finish, ratatoskr, shell, skipped},
    queues::until,
    server::Server,
};

/// The verbs under `words` with the help of each, found by asking the program itself.
fn helps(words: &str, found: &mut BTreeMap<String, String>) {
    let mut command = ratatoskr();
    command.args(words.split_whitespace()).arg("--help");
    let help = finish(&mut command, b"").text();
    let verbs = help
        .split_once("Verbs:\n")
        .map(|(_, rest)| rest.split("\n\n").next().unwrap_or_default().to_owned())
        .unwrap_or_default();
    for line in verbs.lines() {
        // A verb stands two blanks from the margin; what it says goes on further in.
        if let Some(line) = line.strip_prefix("  ")
            && !line.starts_with(' ')
            && let Some(verb) = line.split_whitespace().next()
            && verb != "help"
        {
            helps(format!("{words} {verb}").trim(), found);
        }
    }
    found.insert(words.to_owned(), help);
}

fn examples(help: &str) -> impl Iterator<Item = &str> {
    help.lines().filter_map(|line| line.strip_prefix("  $ "))
}

/// What the examples are about: topics with records in them, and files.
fn prepare(server: &Server, directory: &Path) {
    drop(Server::on_disk(&directory.join("data")));
    for topic in ["orders", "greetings", "numbers"] {
        server
            .run(&format!("topic create {topic} --partitions 1"))
            .text();
        let lines = b"one\ntwo\nthree\nfour\nfive\nsix\n";
        server.run_with(&format!("produce {topic}"), lines).bytes();
    }
    server.run("topic create clean").text();
    for group in ["billing", "audit"] {
        let words = format!("consume orders -g {group} -n 2");
        server.run(&words).text();
    }
    server.run("queue create billing").text();
    let mut reject = server.client();
    reject.args(["queue", "take", "mailing-list", "orders", "-n", "2"]);
    finish(reject.args(["--exec", "grep -q nothing"]), b"").failure(7);
    until(server, "dlq ls", |topics| !topics.is_empty());
    fs::write(directory.join("orders.log"), "first\nsecond\n").expect("a file");
    fs::write(directory.join("orders.tsv"), "k1\tfirst\nk2\tsecond\n").expect("a file");
    fs::write(directory.join("orders.ndjson"), "{\"value\":\"first\"}\n").expect("a file");
    fs::write(directory.join("photo.jpg"), [0xff, 0xd8, 0, b'\n']).expect("a file");
    fs::write(
        directory.join("ratatoskr.toml"),
        "native.listen = \"127.0.0.1:0\"\n",
    )
    .expect("a file");
}

#[test]
fn every_help_has_examples() {
    let mut found = BTreeMap::new();
    helps("", &mut found);
    let without: Vec<&String> = found
        .iter()
        .filter(|(_, help)| examples(help).next().is_none())
        .map(|(verb, _)| verb)
        .collect();
    assert!(found.len() > 15, "{} verbs", found.len());
    assert!(without.is_empty(), "without examples: {without:?}");
}

#[test]
fn every_example_of_a_help_works_as_it_stands() {
    let mut found = BTreeMap::new();
    helps("", &mut found);
    for (verb, help) in found {
        // The examples of one help are tried one after another, as a reader would.
        let directory = tempfile::tempdir().expect("a directory");
        let server = Server::on_disk(&directory.path().join("broker"));
        prepare(&server, directory.path());
        for example in examples(&help) {
            // A broker takes the place of its shell, so that it ends when it is told to.
            let exec = if serves(example) { "exec " } else { "" };
            let mut command = shell(&format!("{exec}{example}"), directory.path());
            command
                .env("RATATOSKR_SERVER", server.address.to_string())
                .env("XDG_DATA_HOME", directory.path());
            if serves(example) {
                starts(example, &mut command);
            } else {
                let done = finish(&mut command, b"a line\nanother line\n");
                assert_eq!(done.code, 0, "{verb}: {example}: {}", done.stderr);
            }
        }
    }
}

/// Whether the example is a broker, which does not end by itself.
fn serves(example: &str) -> bool {
    let mut words = example.split_whitespace().skip(1);
    let verb = words.next().unwrap_or("serve");
    (verb == "serve" || verb.starts_with('-')) && !example.contains("--print-config")
}

/// The broker of an example comes up; its port is made a free one, its log readable.
fn starts(example: &str, command: &mut std::process::Command) {
    command
        .env("RATATOSKR_NATIVE__LISTEN", "127.0.0.1:0")
        .env("RATATOSKR_KAFKA__LISTEN", "127.0.0.1:0")
        .env("RATATOSKR_LOG__FORMAT", "json")
        .stdin(Stdio::null());
    let server = Server::try_start(command);
    assert!(server.is_ok(), "{example}: {server:?}");
}

/// The commands in each shell block of a page that is not about building.
fn blocks(page: &str) -> Vec<Vec<&str>> {
    let blocks = page.split("```sh\n").skip(1);
    blocks
        .map(|block| block.split("```").next().unwrap_or_default())
        .map(|block| {
            let lines = block.lines().filter(|line| !line.is_empty());
            lines
                .filter(|line| !line.starts_with("cargo ") && !line.starts_with("export "))
                .collect()
        })
        .filter(|block: &Vec<&str>| !block.is_empty())
        .collect()
}

/// Whether this machine has the program of this command.
fn has_program(command: &str, directory: &Path) -> bool {
    let program = command.split(' ').next().unwrap_or_default();
    finish(&mut shell(&format!("command -v {program}"), directory), b"").code == 0
}

#[test]
fn the_tour_of_the_readme_works_as_it_stands() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let readme = fs::read_to_string(root.join("README.md")).expect("a README");
    let tour = blocks(&readme);
    assert!(tour.len() >= 4, "{tour:?}");
    let directory = tempfile::tempdir().expect("a directory");
    let server = Server::on_disk(directory.path());
    for block in tour {
        if let Some(command) = block.iter().find(|command| !has_program(command, &root)) {
            skipped(&format!(
                "`{command}` in the tour of the README, which this machine has no program for"
            ));
            continue;
        }
        for command in block {
            let command = at_kafka_port(command, &server);
            let mut shell = shell(&command, &root);
            shell.env("RATATOSKR_SERVER", server.address.to_string());
            let done = finish(&mut shell, b"");
            assert_eq!(done.code, 0, "{command}: {}", done.stderr);
        }
    }
}

/// The command with the port at which this server serves Kafka clients in place of the usual one.
fn at_kafka_port(command: &str, server: &Server) -> String {
    match server.kafka {
        Some(address) => command.replace("127.0.0.1:9092", &address.to_string()),
        None => command.to_owned(),
    }
}
