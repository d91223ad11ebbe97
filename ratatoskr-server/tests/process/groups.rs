//! `ratatoskr group` and `consume -g` from outside.

use std::{
    io::{BufRead as _, BufReader},
    process::Stdio,
};

use crate::server::Server;

fn json(text: &str) -> Vec<serde_json::Value> {
    text.lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect()
}

/// A server with a topic of six records, of which a group has read two.
fn prepared() -> Server {
    let server = Server::in_memory();
    server.run("topic create t --partitions 1").text();
    server.run_with("produce t", b"0\n1\n2\n3\n4\n5\n").bytes();
    let read = server.run("consume t -g billing -n 2 -f %v\\n").text();
    assert_eq!(read, "0\n1\n");
    server
}

#[test]
fn a_group_goes_on_where_it_left_off() {
    let server = prepared();
    let read = server.run("consume t -g billing -n 1 -f %v\\n").text();
    assert_eq!(read, "2\n");
    let rest = server
        .run("consume t -g billing --until-end -f %v\\n")
        .text();
    assert_eq!(rest, "3\n4\n5\n");
    assert_eq!(server.run("consume t -g billing --until-end").text(), "");
    let other = server.run("consume t -g audit -o 4 --until-end -f %v\\n");
    assert_eq!(other.text(), "4\n5\n");
}

#[test]
fn topics_are_read_by_a_pattern() {
    let server = prepared();
    server.run_with("produce orders-eu", b"e\n").bytes();
    server.run_with("produce orders-us", b"u\n").bytes();
    let words = |options: &str| {
        let read = server.run(&format!("consume ^orders-.* {options} --until-end"));
        let text = read.text();
        let mut lines: Vec<_> = text.lines().map(str::to_owned).collect();
        lines.sort_unstable();
        lines
    };
    assert_eq!(words("-f %v\\n"), ["e", "u"]);
    assert_eq!(words("-f %v\\n -g shipping"), ["e", "u"]);
    assert_eq!(words("-f %v\\n -g shipping").len(), 0);
    server.run_with("produce orders-asia", b"a\n").bytes();
    assert_eq!(words("-f %v\\n -g shipping"), ["a"]);
    let mut member = server.client();
    member.args(["consume", "^orders-.*", "-g", "audit", "-f", "%v\\n"]);
    let member = member.stdout(Stdio::piped()).spawn();
    let mut member = member.expect("the program starts");
    let out = BufReader::new(member.stdout.take().expect("stdout is a pipe"));
    assert_eq!(out.lines().take(3).count(), 3);
    let described = json(&server.run("group describe audit").text());
    assert_eq!(described[0]["members"][0]["pattern"], "^orders-.*");
    member.kill().expect("it is killed");
    member.wait().expect("it ends");

    let error = server.run("consume ^nothing --until-end").failure(3);
    assert!(error.contains("no topic matches"), "{error}");
    let error = server.run("consume ^( -g shipping").failure(2);
    assert!(error.contains("is not a pattern of topics"), "{error}");
}

#[test]
fn groups_are_listed_described_and_measured() {
    let server = prepared();
    let listed = json(&server.run("group ls").text());
    assert_eq!(listed.len(), 1);
    assert_eq!(listed[0]["group"], "billing");
    assert_eq!(listed[0]["state"], "empty");
    assert_eq!(listed[0]["members"], 0);
    let table = server.run("group ls --output table").text();
    assert_eq!(table, "GROUP    STATE  MEMBERS\nbilling  empty        0\n");

    let described = json(&server.run("group describe billing").text());
    assert_eq!(described[0]["kind"], "consumer");
    assert_eq!(described[0]["members"].as_array().map(Vec::len), Some(0));

    let lag = json(&server.run("group lag billing").text());
    assert_eq!(
        (&lag[0]["committed"], &lag[0]["end"]),
        (&2.into(), &6.into())
    );
    assert_eq!(lag[0]["lag_records"], 4);
    assert!(lag[0]["lag_ms"].is_u64());
    let rounds = server.run("group lag billing --watch --every 1 --rounds 2");
    assert_eq!(json(&rounds.text()).len(), 2);
}

#[test]
fn a_group_is_set_back_and_a_dry_run_changes_nothing() {
    let server = prepared();
    let plan = json(&server.run("group seek billing --to start --dry-run").text());
    assert_eq!((&plan[0]["from"], &plan[0]["to"]), (&2.into(), &0.into()));
    assert_eq!(plan[0]["dry_run"], true);
    let committed = || json(&server.run("group lag billing").text())[0]["committed"].clone();
    assert_eq!(committed(), 2);
    for (to, expected) in [("start", 0), ("end", 6), ("3", 3), ("@-1h", 0), ("99", 6)] {
        server.run(&format!("group seek billing --to {to}")).text();
        assert_eq!(committed(), expected, "{to}");
    }
    server.run("group seek fresh t --to 5").text();
    let read = server.run("consume t -g fresh --until-end -f %v\\n").text();
    assert_eq!(read, "5\n");
}

#[test]
fn a_group_is_deleted_when_it_is_said_so() {
    let server = prepared();
    let error = server.run("group rm billing").failure(2);
    assert!(error.contains("nobody is there to ask"), "{error}");
    server.run("group rm billing -y").text();
    assert_eq!(server.run("group ls").text(), "");
}

#[test]
fn each_failure_has_its_code() {
    let server = prepared();
    for (words, code, expected) in [
        ("group describe nobody", 3, "unknown_group"),
        ("group lag nobody", 3, "unknown_group"),
        ("group rm nobody -y", 3, "unknown_group"),
        ("group seek nobody --to start", 3, "unknown_group"),
        ("group seek billing nowhere --to start", 3, "unknown_topic"),
        ("group seek billing --to -3", 2, "--to"),
        ("group seek billing --to never", 2, "expected start, end"),
        ("consume t -g billing -o -3", 2, "-o -N"),
        ("consume nowhere -g billing", 3, "unknown_topic"),
    ] {
        let error = server.run(words).failure(code);
        assert!(error.contains(expected), "{words}: {error}");
    }
}

#[test]
fn a_group_survives_a_kill() {
    let directory = tempfile::tempdir().expect("a directory");
    let server = Server::on_disk(directory.path());
    server.run("topic create t --partitions 1").text();
    server.run_with("produce t", b"0\n1\n2\n").bytes();
    server.run("consume t -g billing -n 2").text();
    server.kill();
    let server = Server::on_disk(directory.path());
    let read = server
        .run("consume t -g billing --until-end -f %v\\n")
        .text();
    assert_eq!(read, "2\n");
}

/// A live group refuses what would surprise its members, and an interrupted member leaves at once.
#[cfg(unix)]
#[test]
fn a_member_that_is_interrupted_commits_and_leaves() {
    let server = prepared();
    let mut member = server.client();
    member.args(["consume", "t", "-g", "billing", "-f", "%v\\n"]);
    let mut member = member
        .stdout(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let out = BufReader::new(member.stdout.take().expect("stdout is a pipe"));
    let lines: Vec<_> = out.lines().take(4).map(Result::unwrap).collect();
    assert_eq!(lines, ["2", "3", "4", "5"]);
    let described = json(&server.run("group describe billing").text());
    assert_eq!(described[0]["state"], "stable");
    for words in ["group seek billing --to start", "group rm billing -y"] {
        let error = server.run(words).failure(4);
        assert!(error.contains("group_not_empty"), "{error}");
    }
    crate::server::signal(&member, "INT");
    assert_eq!(member.wait().expect("it ends").code(), Some(130));
    let described = json(&server.run("group describe billing").text());
    assert_eq!(described[0]["state"], "empty");
    let lag = json(&server.run("group lag billing").text());
    assert_eq!(lag[0]["lag_records"], 0);
}

/// A member that hangs past its session is expelled, and finds out: what it wants to commit then is
/// refused, and it joins anew.
#[cfg(unix)]
#[test]
fn a_member_that_was_expelled_commits_nothing_and_joins_anew() {
    let mut serve = crate::server::command(None);
    serve.args(["--memory", "--set", "groups.session_timeout=1s"]);
    let server = Server::start(serve.args(["--set", "groups.heartbeat_interval=100ms"]));
    server.run("topic create t --partitions 1").text();
    server.run_with("produce t", b"0\n1\n").bytes();
    let mut member = server.client();
    member.args(["consume", "t", "-g", "billing", "-f", "%v\\n"]);
    let member = member.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut member = member.spawn().expect("the program starts");
    let out = BufReader::new(member.stdout.take().expect("stdout is a pipe"));
    let mut lines = out.lines().map(Result::unwrap);
    assert_eq!(lines.next().as_deref(), Some("0"));
    assert_eq!(lines.next().as_deref(), Some("1"));
    crate::server::signal(&member, "STOP");
    crate::queues::until(&server, "group describe billing", |described| {
        described[0]["state"] == "empty"
    });
    // Somebody else goes on, and sets the group to where it should be.
    server.run_with("produce t", b"2\n").bytes();
    server.run("group seek billing t --to end").text();
    let committed = || json(&server.run("group lag billing").text())[0]["committed"].clone();
    assert_eq!(committed(), 3);

    crate::server::signal(&member, "CONT");
    crate::queues::until(&server, "group describe billing", |described| {
        described[0]["state"] == "stable"
    });
    assert_eq!(committed(), 3);
    server.run_with("produce t", b"3\n").bytes();
    // What it had taken ahead it may print again; then it is where the group is.
    assert!(lines.any(|line| line == "3"));
    crate::server::signal(&member, "INT");
    let ended = member.wait_with_output().expect("it ends");
    assert_eq!(ended.status.code(), Some(130));
    let error = String::from_utf8_lossy(&ended.stderr);
    assert!(error.contains("error[unknown_member]"), "{error}");
    assert_eq!(committed(), 4);
}
