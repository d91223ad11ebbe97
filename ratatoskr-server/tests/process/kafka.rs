//! The door for Kafka clients: served by default, and the same cluster after a restart.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
};

use crate::server::Server;

/// Where the broker serves Kafka clients, by the line that says that it is ready.
fn kafka_address(server: &Server) -> SocketAddr {
    let log = server.log();
    let mut lines = log
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok());
    let ready = lines.find(|line: &serde_json::Value| line["message"] == "ready");
    let ready = ready.expect("the broker is ready");
    ready["kafka"]
        .as_str()
        .expect("an address")
        .parse()
        .expect("an address")
}

/// Asks for the metadata of no topic (Metadata, version 2), and gives the response.
fn metadata(address: SocketAddr) -> Vec<u8> {
    let mut stream = TcpStream::connect(address).expect("a connection");
    // Length; key 3, version 2, correlation id, no client id; an array of no topics.
    let request = b"\0\0\0\x0e\0\x03\0\x02\0\0\0\x07\xff\xff\0\0\0\0";
    stream.write_all(request).expect("it is sent");
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
