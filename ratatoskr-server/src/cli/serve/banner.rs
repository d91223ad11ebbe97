//! What is said when the broker is up: where it listens, where it keeps its data, and commands that
//! can be pasted as they stand.

use std::{fmt::Write as _, net::SocketAddr};

use super::doors::Doors;
use crate::config::Settings;

/// The banner for a terminal.
pub(super) fn banner(settings: &Settings, doors: &Doors) -> String {
    let native = doors.native.address;
    let kafka = doors.kafka_address();
    let version = env!("CARGO_PKG_VERSION");
    let data = if settings.memory {
        "in memory, gone when this process ends".to_owned()
    } else {
        settings.data_dir.display().to_string()
    };
    let standard = native.to_string() == "127.0.0.1:7660";
    let server = if standard {
        String::new()
    } else {
        format!(" --server {}", reachable(native))
    };
    let mut text = format!("ratatoskr {version}\n  native   {native}\n");
    if let Some(kafka) = kafka {
        let _ = writeln!(text, "  kafka    {kafka}");
    }
    let _ = writeln!(text, "  data     {data}");
    let is_open = |address: SocketAddr| !address.ip().is_loopback();
    if is_open(native) || kafka.is_some_and(is_open) {
        text.push_str(
            "  warning  anybody who reaches these addresses may read and write everything\n",
        );
    }
    let _ = write!(
        text,
        "\nTry, in another terminal:\n  \
           echo 'hello, world' | ratatoskr produce greetings{server}\n  \
           ratatoskr consume greetings{server}\n  \
           ratatoskr topic ls{server}\n"
    );
    text
}

/// An address that a client on this machine can use.
fn reachable(address: SocketAddr) -> SocketAddr {
    let mut address = address;
    if address.ip().is_unspecified() {
        let loopback: std::net::IpAddr = match address {
            SocketAddr::V4(_) => std::net::Ipv4Addr::LOCALHOST.into(),
            SocketAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
        };
        address.set_ip(loopback);
    }
    address
}
