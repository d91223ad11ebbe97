//! Opening a connection: the client says which versions it speaks, the server picks one.
//!
//! Hello frames (request, response, and an error before one was agreed on) have version 0, and
//! their layout never changes, so that two peers of any age can at least refuse each other.

use serde::{Deserialize, Serialize};

use super::{Body, Kind};

/// The version of hello frames.
pub const HELLO_VERSION: u8 = 0;
/// The oldest version that this code speaks.
pub const VERSION_MIN: u8 = 1;
/// The newest version that this code speaks.
pub const VERSION_MAX: u8 = 1;

/// The client's first frame.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// The oldest version it speaks.
    pub version_min: u8,
    /// The newest version it speaks.
    pub version_max: u8,
    /// Its name and version, for logs and lists of connections.
    pub client: String,
}

impl Body for Hello {
    const KIND: Kind = Kind::Hello;
}

/// The server's answer to a [`Hello`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Welcome {
    /// What all further frames have as their version.
    pub version: u8,
    /// Its name and version.
    pub server: String,
    /// The largest frame it takes, in bytes.
    pub frame_bytes_max: u32,
    /// After this many milliseconds without a frame it closes the connection.
    pub idle_ms: u64,
}

/// The version both peers speak; `None` where there is none.
pub fn negotiate(offered_min: u8, offered_max: u8) -> Option<u8> {
    let version = offered_max.min(VERSION_MAX);
    (version >= offered_min.max(VERSION_MIN)).then_some(version)
}

/// Asks whether the peer is there; the response has no body of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ping {}

impl Body for Ping {
    const KIND: Kind = Kind::Ping;
}

/// The server takes no further request on this connection: it answers those it has, then closes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Goodbye {
    /// Why, for people.
    pub reason: String,
    /// The correlation of the last request taken. A client numbers its requests upwards, so those
    /// above this one were surely not carried out.
    pub last_correlation: u64,
}

impl Body for Goodbye {
    const KIND: Kind = Kind::Goodbye;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_common_version_is_picked() {
        assert_eq!(negotiate(1, 1), Some(1));
        assert_eq!(negotiate(0, 9), Some(VERSION_MAX));
        assert_eq!(negotiate(VERSION_MAX + 1, 9), None);
        assert_eq!(negotiate(0, VERSION_MIN - 1), None);
        assert_eq!(negotiate(9, 1), None, "an empty range has no version");
    }
}
