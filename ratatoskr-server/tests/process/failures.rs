//! What goes wrong between a verb and a broker: each has its exit code, and a message that says what,
//! why and what to do.

use std::net::TcpListener;

use crate::{
    command::{run, run_with},
    server::Server,
};

#[test]
fn a_broker_that_is_not_there_is_unreachable() {
    let port = {
        let free = TcpListener::bind("127.0.0.1:0").expect("a port");
        free.local_addr().expect("its address").port()
    };
    for verb in [
        "topic ls",
        "consume t",
        "produce t",
        "check server",
        "bench produce",
    ] {
        let words = format!("{verb} --server 127.0.0.1:{port} --timeout 2");
        let error = run_with(&words, b"x\n").failure(6);
        assert!(
            error.contains(&format!("127.0.0.1:{port}")),
            "{verb}: {error}"
        );
        assert!(error.contains("try: "), "{verb}: {error}");
    }
}

#[test]
fn something_else_that_listens_is_no_broker() {
    let stranger = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = stranger.local_addr().expect("its address");
    // It takes the connection and never says a word.
    run(&format!("topic ls --server {address} --timeout 1")).failure(6);
}

#[test]
fn wrong_words_on_the_command_line_are_usage_errors() {
    for words in [
        "nonsense",
        "topic",
        "produce",
        "produce a/b",
        "produce t -f %q",
        "produce t -f %k%v",
        "produce t -H nothing",
        "produce t --rate 0",
        "produce t --compression brotli",
        "consume",
        "consume t -o middle",
        "consume t --filter colour=red",
        "consume t -f %",
        "topic ls --output xml",
    ] {
        run(words).failure(2);
    }
    run("explain no_such_code").failure(3);
}

#[test]
fn unknown_things_are_not_found() {
    let server = Server::in_memory();
    let error = server.run("consume nowhere --until-end").failure(3);
    assert!(error.contains("error[unknown_topic]"), "{error}");
    assert!(
        error.contains("try: ratatoskr topic create nowhere"),
        "{error}"
    );
    server.run("topic describe nowhere").failure(3);
}

#[test]
fn a_record_that_is_too_large_is_refused_and_the_rest_goes_on() {
    let server = Server::in_memory();
    server.run("topic create t batch_bytes_max=1KiB").text();
    let error = server.run_with("produce t", &[b'x'; 5_000]).failure(1);
    assert!(error.contains("batch_too_large"), "{error}");
    server.run_with("produce t", b"small\n").bytes();
    assert_eq!(server.run("consume t --until-end").text(), "small\n");
}
