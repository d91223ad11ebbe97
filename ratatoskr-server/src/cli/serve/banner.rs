//! What is said when the broker is up: where it listens, where it keeps its data, and commands that
//! can be pasted as they stand.

use std::{fmt::Write as _, net::SocketAddr};

use crate::config::Settings;

/// The banner for a terminal.
pub(crate) fn banner(settings: &Settings, native: SocketAddr) -> String {
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
    let mut text = format!("ratatoskr {version}\n  native   {native}\n  data     {data}\n");
    if settings.insecure && !native.ip().is_loopback() {
        text.push_str(
            "  warning  anybody who reaches this address may read and write everything\n",
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
