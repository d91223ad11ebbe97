//! The door for Kafka clients: served by default, and the same cluster after a restart.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
};

use crate::server::{Server, command};

/// Where the broker serves Kafka clients.
fn kafka_address(server: &Server) -> SocketAddr {
    server.kafka.expect("it serves Kafka clients")
}

/// Asks for the metadata of no topic (Metadata, version 2), and gives the response.
fn metadata(address: SocketAddr) -> Vec<u8> {
    ask(address, 3, 2, &0_i32.to_be_bytes())
}

/// Sends a request of this key and version, and gives the response.
fn ask(address: SocketAddr, key: i16, version: i16, body: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(address).expect("a connection");
    // Key, version, correlation id, no client id.
    let key_and_version = [key.to_be_bytes(), version.to_be_bytes()].concat();
    let request = [&key_and_version[..], b"\0\0\0\x07\xff\xff", body].concat();
    let bytes = u32::try_from(request.len()).expect("a short request");
    let request = [&bytes.to_be_bytes()[..], &request].concat();
    stream.write_all(&request).expect("it is sent");
    let mut length = [0; 4];
    stream.read_exact(&mut length).expect("an answer");
    let mut response = vec![0; u32::from_be_bytes(length) as usize];
    stream.read_exact(&mut response).expect("all of it");
    response
}

/// The cluster's id in a response that names one broker without a rack.
fn cluster_id(response: &[u8]) -> String {
    let host_bytes = usize::from(u16::from_be_bytes([response[12], response[13]]));
    // Correlation id, count, node; host, port, rack.
    let at = 14 + host_bytes + 4 + 2;
    let bytes = usize::from(u16::from_be_bytes([response[at], response[at + 1]]));
    String::from_utf8(response[at + 2..at + 2 + bytes].to_vec()).expect("text")
}

#[test]
fn a_cluster_keeps_its_id_as_long_as_its_data() {
    let data = tempfile::tempdir().expect("a directory");
    let mut ids = Vec::new();
    for _ in 0..2 {
        let server = Server::on_disk(data.path());
        let address = kafka_address(&server);
        let response = metadata(address);
        assert_eq!(response[..4], 7_i32.to_be_bytes());
        // Clients are told the address that they came to.
        let host = address.ip().to_string();
        assert_eq!(response[14..14 + host.len()], *host.as_bytes());
        ids.push(cluster_id(&response));
        server.kill();
    }
    assert_eq!(ids[0].len(), 22, "{ids:?}");
    assert_eq!(ids[0], ids[1]);
    let other = Server::in_memory();
    assert_ne!(cluster_id(&metadata(kafka_address(&other))), ids[0]);
}

/// Text of a request before the flexible versions.
fn text(text: &str) -> Vec<u8> {
    let bytes = u16::try_from(text.len()).expect("a short text");
    [&bytes.to_be_bytes()[..], text.as_bytes()].concat()
}

/// Bytes of a request before the flexible versions.
fn blob(blob: &[u8]) -> Vec<u8> {
    let bytes = u32::try_from(blob.len()).expect("short bytes");
    [&bytes.to_be_bytes()[..], blob].concat()
}

/// The only member of a group, which reads partition 0 of topic `t`, on a broker that keeps nobody
/// waiting: its id, after `JoinGroup` and `SyncGroup`, both in version 0.
fn only_member(address: SocketAddr, group: &str) -> String {
    let one = 1_i32.to_be_bytes();
    let subscription = [&b"\0\0\0\0\0\x01"[..], &text("t"), &blob(b"")].concat();
    let session_ms = 10_000_i32.to_be_bytes();
    let join = [
        text(group),
        session_ms.to_vec(),
        text(""),
        text("consumer"),
        one.to_vec(),
    ];
    let join = [join.concat(), text("range"), blob(&subscription)].concat();
    let joined = ask(address, 11, 0, &join);
    // Correlation id; error, generation, `range`, leader, which is the member.
    assert_eq!(joined[4..10], [0, 0, 0, 0, 0, 1], "{joined:?}");
    let at = 10 + text("range").len();
    let bytes = usize::from(u16::from_be_bytes([joined[at], joined[at + 1]]));
    let id = String::from_utf8(joined[at + 2..at + 2 + bytes].to_vec()).expect("text");
    let partition = [&one[..], &0_i32.to_be_bytes()].concat();
    let assignment = [&b"\0\0\0\0\0\x01"[..], &text("t"), &partition, &blob(b"")].concat();
    let sync = [
        text(group),
        one.to_vec(),
        text(&id),
        one.to_vec(),
        text(&id),
        blob(&assignment),
    ];
    let synced = ask(address, 14, 0, &sync.concat());
    assert_eq!(synced[4..], [&b"\0\0"[..], &blob(&assignment)].concat());
    id
}

#[test]
fn the_command_line_handles_groups_of_kafka_clients_which_survive_a_kill() {
    let data = tempfile::tempdir().expect("a directory");
    let start = || {
        let delay = ["--set", "groups.initial_rebalance_delay=0s"];
        Server::start(command(Some(data.path())).args(delay))
    };
    let server = start();
    server.run("topic create t --partitions 1").text();
    server.run_with("produce t", b"0\n1\n").bytes();
    let id = only_member(kafka_address(&server), "billing");
    let json = |words: &str, server: &Server| -> serde_json::Value {
        serde_json::from_str(&server.run(words).text()).expect("JSON")
    };
    let listed = json("group ls", &server);
    assert_eq!(
        (&listed["kind"], &listed["state"], &listed["members"]),
        (&"classic".into(), &"stable".into(), &1.into())
    );
    // One of the other protocol is refused, and so is a seek below the members' feet.
    let refused = server.run("consume t -g billing -n 1").failure(4);
    assert!(refused.contains("another protocol"), "{refused}");
    server.run("group seek billing --to start").failure(4);
    server.kill();

    let server = start();
    let described = json("group describe billing", &server);
    assert_eq!(described["assignor"], "range");
    assert_eq!(described["members"][0]["member"], id);
    assert_eq!(described["members"][0]["topics"][0], "t");
    assert_eq!(described["members"][0]["assigned"][0]["partitions"][0], 0);
    assert_eq!(json("group lag billing", &server)["member"], id);
    let one = 1_i32.to_be_bytes().to_vec();
    let beat = [text("billing"), one, text(&id)].concat();
    let answer = ask(kafka_address(&server), 12, 0, &beat);
    assert_eq!(answer[4..], [0, 0]);
    let leave = [text("billing"), text(&id)].concat();
    let answer = ask(kafka_address(&server), 13, 0, &leave);
    assert_eq!(answer[4..], [0, 0]);
    // Now the other protocol may have it, and go on from where it is set to.
    server.run("group seek billing t --to 1").text();
    let read = server.run("consume t -g billing -n 1 -f %v\\n").text();
    assert_eq!(read, "1\n");
    server.run("group rm billing -y").text();
    assert_eq!(server.run("group ls").text(), "");
}
