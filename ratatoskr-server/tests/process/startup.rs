//! A broker that comes up, goes down, or refuses to: each refusal has its exit code, and a message
//! that says what, why and what to do.

use std::{fs, net::TcpListener, path::Path};

use crate::{
    command::{finish, run, shell, skipped},
    server::{Server, command},
};

/// The exit code and stderr of a broker that must not come up.
#[track_caller]
fn refused(command: &mut std::process::Command) -> (i32, String) {
    match Server::try_start(command) {
        Ok(server) => panic!("the broker came up: {}", server.log()),
        Err((code, log)) => (code.unwrap_or(-1), log),
    }
}

fn directory() -> tempfile::TempDir {
    tempfile::tempdir().expect("a directory")
}

#[test]
fn a_taken_port_is_named_with_a_way_out() {
    let holder = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = holder.local_addr().expect("its address").to_string();
    let mut serve = command(None);
    serve.args(["--memory", "--native-listen", &address]);
    let (code, log) = refused(&mut serve);
    assert_eq!(code, 4, "{log}");
    assert!(
        log.contains(&format!("cannot listen on {address} (native.listen)")),
        "{log}"
    );
    assert!(
        log.contains("try: ratatoskr serve --native-listen 127.0.0.1:0"),
        "{log}"
    );
}

#[cfg(feature = "kafka")]
#[test]
fn a_port_for_kafka_clients_that_is_taken_is_named_with_a_way_out() {
    let holder = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = holder.local_addr().expect("its address").to_string();
    let mut serve = command(None);
    serve.args(["--memory", "--kafka-listen", &address]);
    let (code, log) = refused(&mut serve);
    assert_eq!(code, 4, "{log}");
    for part in [
        format!("cannot listen on {address} (kafka.listen)"),
        "try: ratatoskr serve --kafka-listen 127.0.0.1:0".to_owned(),
    ] {
        assert!(log.contains(&part), "{log}");
    }
    // Whoever needs no Kafka clients needs no port for them.
    let without = Server::start(command(None).args(["--memory", "--kafka-listen", "none"]));
    assert!(!without.log().contains("\"kafka\""), "{}", without.log());
}

#[test]
fn a_second_broker_on_one_directory_is_refused_and_the_first_goes_on() {
    let data = directory();
    let first = Server::on_disk(data.path());
    let (code, log) = refused(&mut command(Some(data.path())));
    assert_eq!(code, 4, "{log}");
    assert!(log.contains("is in use by another process"), "{log}");
    first.run_with("produce t", b"still here\n").bytes();
    assert_eq!(first.run("consume t --until-end").text(), "still here\n");
}

#[test]
fn a_directory_that_cannot_be_made_is_named() {
    let data = directory();
    let file = data.path().join("file");
    fs::write(&file, "not a directory").expect("a file");
    let (code, log) = refused(&mut command(Some(&file.join("below"))));
    assert_eq!(code, 1, "{log}");
    assert!(log.contains("cannot open the data directory"), "{log}");
}

#[cfg(unix)]
#[test]
fn a_directory_that_may_not_be_read_is_named() {
    use std::os::unix::fs::PermissionsExt as _;

    let data = directory();
    fs::set_permissions(data.path(), fs::Permissions::from_mode(0o000)).expect("it is ours");
    if fs::read_dir(data.path()).is_ok() {
        skipped("a directory that may not be read, since this user may read everything");
        return;
    }
    let (code, log) = refused(&mut command(Some(data.path())));
    assert_eq!(code, 1, "{log}");
    assert!(log.contains("ls -ld"), "{log}");
}

#[test]
fn an_address_for_strangers_needs_a_word() {
    let mut serve = command(None);
    serve.args(["--memory", "--native-listen", "0.0.0.0:0"]);
    let (code, log) = refused(&mut serve);
    assert_eq!(code, 2, "{log}");
    assert!(log.contains("--insecure"), "{log}");
    let insecure = Server::try_start(serve.arg("--insecure"));
    assert!(insecure.is_ok(), "{insecure:?}");
    if cfg!(feature = "kafka") {
        let mut serve = command(None);
        let (code, log) = refused(serve.args(["--memory", "--kafka-listen", "0.0.0.0:0"]));
        assert_eq!(code, 2, "{log}");
        assert!(log.contains("kafka.listen = 0.0.0.0:0"), "{log}");
    }
}

#[test]
fn a_wrong_configuration_says_what_would_be_right() {
    let data = directory();
    let file = data.path().join("ratatoskr.toml");
    for (text, code, expected) in [
        (
            "native.listn = \"127.0.0.1:0\"",
            2,
            "did you mean `native.listen`?",
        ),
        ("native.listen = 7660", 2, "expected ADDRESS:PORT"),
        ("native = = 1", 2, "line 1"),
    ] {
        fs::write(&file, text).expect("a file");
        for verb in ["serve", "check config"] {
            let error = run(&format!("{verb} --config {}", file.display())).failure(code);
            assert!(error.contains(expected), "{verb}: {text}: {error}");
        }
    }
    run("serve --config /nowhere/at/all.toml").failure(3);
    run("serve --set nonsense").failure(2);
}

#[test]
fn what_is_set_where_is_shown() {
    let data = directory();
    let file = data.path().join("ratatoskr.toml");
    fs::write(&file, "[log]\nlevel = \"debug\"\n").expect("a file");
    let line = format!(
        "RATATOSKR_NATIVE__LISTEN=127.0.0.1:1 ratatoskr --config {} --memory --print-config",
        file.display()
    );
    let shown = finish(&mut shell(&line, data.path()), b"").text();
    for expected in [
        "native.listen = \"127.0.0.1:1\"  # environment RATATOSKR_NATIVE__LISTEN".to_owned(),
        format!("log.level = \"debug\"  # file {}", file.display()),
        "memory = true  # flag --memory".to_owned(),
        "topics.auto_create = true  # built-in".to_owned(),
    ] {
        assert!(shown.contains(&expected), "{expected}: {shown}");
    }
}

#[cfg(unix)]
#[test]
fn a_signal_drains_and_ends_with_success() {
    for signal in ["TERM", "INT"] {
        let data = directory();
        let server = Server::on_disk(data.path());
        server.run_with("produce t", b"kept\n").bytes();
        server.signal(signal);
        assert_eq!(server.wait(), Some(0), "SIG{signal}");
        let again = Server::on_disk(data.path());
        assert_eq!(again.run("consume t --until-end").text(), "kept\n");
    }
}

#[test]
fn a_newer_format_is_refused_and_left_as_it_is() {
    let data = directory();
    Server::on_disk(data.path()).kill();
    let marker = format_marker(data.path());
    let newer = fs::read_to_string(&marker)
        .expect("text")
        .replace("format 1\n", "format 999\n");
    fs::write(&marker, &newer).expect("it is ours");
    let (code, log) = refused(&mut command(Some(data.path())));
    assert_eq!(code, 1, "{log}");
    assert!(log.contains("newer"), "{log}");
    assert_eq!(fs::read_to_string(&marker).expect("text"), newer);
}

/// The file that names the version of a data directory.
fn format_marker(directory: &Path) -> std::path::PathBuf {
    directory.join("FORMAT")
}
