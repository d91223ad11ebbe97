//! `produce` and `consume` as parts of a pipeline: every byte survives, and every end is heard.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    process::Stdio,
};

use crate::{
    command::{finish, shell},
    server::{Server, signal},
};

/// Bytes that a careless program would change: no UTF-8, CR, empty lines, no end of line at the end.
const AWKWARD: &[u8] =
    b"plain\n\r\n\n\xff\xfe\x00 nul and no UTF-8\ntab\tand CR\r\n\n  blanks  \nno end";

#[test]
fn a_file_survives_byte_for_byte() {
    let server = Server::in_memory();
    server.run_with("produce whole -f %v", AWKWARD).bytes();
    let read = server.run("consume whole --until-end -f %v").bytes();
    assert_eq!(read, AWKWARD);
}

#[test]
fn lines_survive_byte_for_byte() {
    let server = Server::in_memory();
    server.run_with("produce lines", AWKWARD).bytes();
    let read = server.run("consume lines --until-end").bytes();
    assert_eq!(read, [AWKWARD, b"\n"].concat());
    let count = server.run("consume lines --until-end -f %o,").text();
    assert_eq!(count, "0,1,2,3,4,5,6,7,");
}

#[test]
fn json_survives_a_second_topic() {
    let server = Server::in_memory();
    server
        .run_with("produce a -H kind=odd -k key", AWKWARD)
        .bytes();
    let first = server.run("consume a --until-end -f json").bytes();
    server.run_with("produce b -f json", &first).bytes();
    let second = server.run("consume b --until-end -f json").text();
    let first = String::from_utf8(first).expect("JSON is UTF-8");
    assert_eq!(second, first.replace("\"topic\":\"a\"", "\"topic\":\"b\""));
    assert_eq!(first.lines().count(), 8);
}

#[test]
fn keys_and_headers_are_read_and_printed() {
    let server = Server::in_memory();
    server
        .run_with("produce t -f %k|%h|%v\\n", b"k1|a\\=1|one\nk2||two\n")
        .bytes();
    let read = server.run("consume t --until-end -f [%k][%h][%v]").text();
    assert_eq!(read, "[k1][a\\=1][one][k2][][two]");
    server
        .run_with("produce u -k fixed -H a=1 -H b=2", b"x\n")
        .bytes();
    let read = server.run("consume u --until-end -f [%k][%h][%v]").text();
    assert_eq!(read, "[fixed][a=1,b=2][x]");
}

#[test]
fn reading_starts_and_stops_where_it_is_told_to() {
    let server = Server::in_memory();
    let lines: Vec<String> = (0..10).map(|n| format!("{}|{n}", 1_000 + n)).collect();
    let input = lines.join("\n");
    server
        .run_with("produce t -f %T|%v\\n", input.as_bytes())
        .bytes();
    for (options, expected) in [
        ("-o start -n 2", "0 1 "),
        ("-o 7 --until-end", "7 8 9 "),
        ("-o -3 --until-end", "7 8 9 "),
        ("-o -99 -n 1", "0 "),
        ("-o @1008 --until-end", "8 9 "),
        ("-o @99999 --until-end", ""),
        ("-o end --until-end", ""),
        ("-o 4 -n 3", "4 5 6 "),
        ("--until-end --filter value~[36]", "3 6 "),
        ("-n 2 --filter value!=0", "1 2 "),
        ("-n 0", ""),
    ] {
        let words = format!("consume t -f %v\\x20 {options}");
        assert_eq!(server.run(&words).text(), expected, "{options}");
    }
    server.run("consume t -o 11 --until-end").failure(3);
}

#[test]
fn several_topics_are_read_as_one() {
    let server = Server::in_memory();
    server.run_with("produce a", b"1\n2\n").bytes();
    server.run_with("produce b", b"3\n").bytes();
    let read = server.run("consume a b --until-end -f %t%v\\n").text();
    let mut lines: Vec<&str> = read.lines().collect();
    lines.sort_unstable();
    assert_eq!(lines, ["a1", "a2", "b3"]);
}

#[test]
fn a_reader_that_has_seen_enough_is_no_error() {
    let server = Server::in_memory();
    let many: Vec<String> = (0..50_000).map(|n| format!("record {n}")).collect();
    server
        .run_with("produce many", many.join("\n").as_bytes())
        .bytes();
    let directory = tempfile::tempdir().expect("a directory");
    let line = "ratatoskr consume many > fifo; echo $? > code";
    std::process::Command::new("mkfifo")
        .arg(directory.path().join("fifo"))
        .status()
        .expect("mkfifo runs");
    let mut consumer = shell(line, directory.path())
        .env("RATATOSKR_SERVER", server.address.to_string())
        .stderr(Stdio::piped())
        .spawn()
        .expect("sh starts");
    let fifo = std::fs::File::open(directory.path().join("fifo")).expect("the pipe opens");
    let mut first = String::new();
    let mut lines = BufReader::new(fifo);
    lines.read_line(&mut first).expect("a line");
    drop(lines);
    consumer.wait().expect("it ends");
    let mut said = String::new();
    let mut stderr = consumer.stderr.take().expect("stderr is a pipe");
    stderr
        .read_to_string(&mut said)
        .expect("stderr is readable");
    let code = std::fs::read_to_string(directory.path().join("code")).expect("a code");
    assert_eq!(
        (first.as_str(), code.as_str(), said.as_str()),
        ("record 0\n", "0\n", "")
    );
}

#[test]
fn a_line_that_is_typed_arrives_before_the_next_one_is() {
    let server = Server::in_memory();
    server.run("topic create typed").text();
    let mut consumer = server
        .client()
        .args(["consume", "typed"])
        .stdout(Stdio::piped())
        .spawn()
        .expect("it starts");
    let mut producer = server
        .client()
        .args(["produce", "typed"])
        .stdin(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("it starts");
    let mut keyboard = producer.stdin.take().expect("stdin is a pipe");
    let mut screen = BufReader::new(consumer.stdout.take().expect("stdout is a pipe"));
    for word in ["one\n", "two\n", "three\n"] {
        keyboard.write_all(word.as_bytes()).expect("it listens");
        let mut seen = String::new();
        screen.read_line(&mut seen).expect("it prints");
        assert_eq!(seen, word);
    }
    drop(keyboard);
    assert!(producer.wait().expect("it ends").success());
    consumer.kill().expect("it is killed");
    consumer.wait().expect("it ends");
}

#[cfg(unix)]
#[test]
fn ctrl_c_ends_a_verb_with_130() {
    let server = Server::in_memory();
    server.run_with("produce t", b"seen\n").bytes();
    let mut consumer = server
        .client()
        .args(["consume", "t"])
        .stdout(Stdio::piped())
        .spawn()
        .expect("it starts");
    let mut screen = BufReader::new(consumer.stdout.take().expect("stdout is a pipe"));
    let mut seen = String::new();
    screen.read_line(&mut seen).expect("it prints");
    signal(&consumer, "INT");
    assert_eq!(consumer.wait().expect("it ends").code(), Some(130));
}

#[test]
fn what_was_sent_before_a_wrong_line_is_told() {
    let server = Server::in_memory();
    let done = server.run_with("produce t -f %k:%v\\n", b"a:1\nb:2\nno colon\nc:3\n");
    let error = done.failure(7);
    assert!(
        error.contains("stdin: record 3 of the input: no \":\" after %k"),
        "{error}"
    );
    assert!(error.contains("2 records"), "{error}");
    assert_eq!(server.run("consume t --until-end -f %k").text(), "ab");
    server
        .run_with("produce t -f %k:%v\\n", b"no colon\n")
        .failure(2);
}

#[test]
fn count_and_rate_bound_what_is_sent() {
    let server = Server::in_memory();
    let done = server.run_with("produce t --count 3 --rate 100000", b"1\n2\n3\n4\n5\n");
    assert!(done.stderr.contains("3 records"), "{}", done.stderr);
    done.bytes();
    assert_eq!(server.run("consume t --until-end -f %v").text(), "123");
}

#[test]
fn several_files_are_read_in_turn_and_a_missing_one_stops_all() {
    let server = Server::in_memory();
    let directory = tempfile::tempdir().expect("a directory");
    std::fs::write(directory.path().join("a"), "1\n2").expect("a file");
    std::fs::write(directory.path().join("b"), "3\n").expect("a file");
    let produce = |files: &str| {
        let line = format!("ratatoskr produce t {files}");
        let mut command = shell(&line, directory.path());
        command.env("RATATOSKR_SERVER", server.address.to_string());
        finish(&mut command, b"stdin\n")
    };
    let error = produce("a missing").failure(3);
    assert!(error.contains("cannot read missing"), "{error}");
    produce("a - b").bytes();
    let read = server.run("consume t --until-end -f %v|").text();
    assert_eq!(read, "1|2|stdin|3|");
}
