//! The table of settings.

mod groups;
mod queues;

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use ratatoskr_core::config::{parse_bytes, parse_duration};

use super::{LogFormat, Settings, Verify};

/// A setting.
pub(crate) struct Key {
    /// Its name in a file (`native.listen` is `listen` in the table `native`). In the environment
    /// it is upper case after `RATATOSKR_`, with `__` for the dot.
    pub(crate) name: &'static str,
    /// What it is for, in one line.
    pub(crate) about: &'static str,
    /// Its value where nobody names one; the data directory is found out when it is needed.
    pub(crate) default: &'static str,
    /// What it takes, for the error.
    pub(super) expected: &'static str,
    /// Sets it from text; `None` where the text is not what it takes.
    pub(super) set: fn(&mut Settings, &str) -> Option<()>,
}

impl Key {
    /// The environment variable that sets it.
    pub(crate) fn variable(&self) -> String {
        let name = self.name.to_uppercase().replace('.', "__");
        format!("{}{name}", super::layers::PREFIX)
    }
}

/// Every setting, in the order in which they are shown.
pub(crate) fn keys() -> impl Iterator<Item = &'static Key> {
    NODE.iter().chain(groups::KEYS).chain(queues::KEYS)
}

/// Two settings that must be right together.
pub(super) struct Pair {
    /// The one that is blamed.
    pub(super) name: &'static str,
    /// What it takes, for the error.
    pub(super) expected: &'static str,
    pub(super) holds: fn(&Settings) -> bool,
}

/// What is looked at once all settings are known.
pub(super) const PAIRS: &[Pair] = &[
    groups::HEARTBEATS_IN_TIME,
    groups::SESSIONS_BETWEEN,
    queues::BACKOFF_GROWS,
];

/// The settings of the node itself and of its topics.
const NODE: &[Key] = &[
    Key {
        name: "data_dir",
        about: "where everything durable is kept",
        default: "",
        expected: "a path",
        set: |to, text| {
            put(
                &mut to.data_dir,
                (!text.is_empty()).then(|| PathBuf::from(text)),
            )
        },
    },
    Key {
        name: "memory",
        about: "keep everything in memory and nothing on disk",
        default: "false",
        expected: "true or false",
        set: |to, text| put(&mut to.memory, text.parse().ok()),
    },
    Key {
        name: "storage.verify",
        about: "what of the logs is read at the start: what lies beyond the last checkpoint, or all",
        default: "tail",
        expected: "tail or all",
        set: |to, text| {
            let verify = match text {
                "tail" => Verify::Tail,
                "all" => Verify::All,
                _ => return None,
            };
            put(&mut to.storage_verify, Some(verify))
        },
    },
    Key {
        name: "storage.checkpoint_interval",
        about: "how often what was appended is synced and noted down at least; a start reads what came later",
        default: "10s",
        expected: "a duration from 100ms, for example 10s",
        set: |to, text| {
            let interval = lasting(text, Duration::from_millis(100));
            put(&mut to.checkpoint_interval, interval)
        },
    },
    Key {
        name: "storage.unsynced_bytes_max",
        about: "bytes appended after which that is done sooner",
        default: "64MiB",
        expected: "a size from 1MiB, for example 64MiB",
        set: |to, text| {
            let bytes = sized(text, 1 << 20);
            put(&mut to.unsynced_bytes_max, bytes)
        },
    },
    Key {
        name: "storage.snapshot_bytes",
        about: "bytes appended to a partition between snapshots of its producers; its first use reads what came later",
        default: "16MiB",
        expected: "a size from 4KiB, for example 16MiB",
        set: |to, text| {
            let bytes = sized(text, 4 << 10);
            put(&mut to.snapshot_bytes, bytes)
        },
    },
    Key {
        name: "insecure",
        about: "listen off loopback although nobody has to log in",
        default: "false",
        expected: "true or false",
        set: |to, text| put(&mut to.insecure, text.parse().ok()),
    },
    Key {
        name: "native.listen",
        about: "address of the native protocol; port 0 takes a free one",
        default: "127.0.0.1:7660",
        expected: "ADDRESS:PORT, for example 127.0.0.1:7660 or [::1]:0",
        set: |to, text| put(&mut to.native_listen, address(text)),
    },
    Key {
        name: "native.connections_max",
        about: "most connections at a time",
        default: "10000",
        expected: "a number from 1",
        set: |to, text| put(&mut to.connections_max, positive(text)),
    },
    Key {
        name: "native.connections_per_address_max",
        about: "most connections at a time from one address",
        default: "1000",
        expected: "a number from 1",
        set: |to, text| put(&mut to.connections_per_address_max, positive(text)),
    },
    #[cfg(feature = "kafka")]
    Key {
        name: "kafka.listen",
        about: "address for Kafka clients; port 0 takes a free one, none serves none",
        default: "127.0.0.1:9092",
        expected: "ADDRESS:PORT, for example 127.0.0.1:9092 or [::1]:0, or none",
        set: |to, text| {
            let address = match text {
                "none" => Some(None),
                text => address(text).map(Some),
            };
            put(&mut to.kafka.listen, address)
        },
    },
    #[cfg(feature = "kafka")]
    Key {
        name: "kafka.advertised_listener",
        about: "where Kafka clients are told to connect; none for the address they came to",
        default: "none",
        expected: "HOST:PORT, for example broker.example.org:9092, or none",
        set: |to, text| {
            let advertised = match text {
                "none" => Some(None),
                text => host_and_port(text).map(Some),
            };
            put(&mut to.kafka.advertised, advertised)
        },
    },
    #[cfg(feature = "kafka")]
    Key {
        name: "kafka.connections_max",
        about: "most connections of Kafka clients at a time",
        default: "10000",
        expected: "a number from 1",
        set: |to, text| put(&mut to.kafka.connections_max, positive(text)),
    },
    #[cfg(feature = "kafka")]
    Key {
        name: "kafka.connections_per_address_max",
        about: "most connections of Kafka clients at a time from one address",
        default: "1000",
        expected: "a number from 1",
        set: |to, text| put(&mut to.kafka.connections_per_address_max, positive(text)),
    },
    #[cfg(feature = "kafka")]
    Key {
        name: "kafka.request_bytes_max",
        about: "largest request of a Kafka client",
        default: "100MiB",
        expected: "a size from 1KiB to 1GiB, for example 100MiB",
        set: |to, text| {
            let bytes = parse_bytes(text).filter(|bytes| (1 << 10..=1 << 30).contains(bytes));
            put(
                &mut to.kafka.request_bytes_max,
                bytes.and_then(|bytes| bytes.try_into().ok()),
            )
        },
    },
    Key {
        name: "topics.auto_create",
        about: "create a topic when somebody produces to it",
        default: "true",
        expected: "true or false",
        set: |to, text| put(&mut to.auto_create_topics, text.parse().ok()),
    },
    Key {
        name: "topics.partitions_default",
        about: "partitions of a topic for which nobody said how many",
        default: "1",
        expected: "a number from 1 to 10000",
        set: |to, text| {
            let max = ratatoskr_core::limits::PARTITIONS_PER_TOPIC_MAX;
            let number = text.parse().ok().filter(|n| (1..=max).contains(n));
            put(&mut to.partitions_default, number)
        },
    },
    Key {
        name: "topics.retention_interval",
        about: "how often old segments are looked for",
        default: "30s",
        expected: "a duration from 1ms, for example 30s",
        set: |to, text| {
            let duration = parse_duration(text).filter(|d| !d.is_zero());
            put(&mut to.retention_interval, duration)
        },
    },
    Key {
        name: "topics.compaction_interval",
        about: "how often compacted topics are looked at",
        default: "15s",
        expected: "a duration from 1ms, for example 15s",
        set: |to, text| {
            let duration = parse_duration(text).filter(|d| !d.is_zero());
            put(&mut to.compaction_interval, duration)
        },
    },
    Key {
        name: "limits.compaction_bytes_per_second",
        about: "bytes a second that compaction reads and writes",
        default: "64MiB",
        expected: "a size from 4KiB, for example 64MiB",
        set: |to, text| {
            let bytes = sized(text, 4 << 10);
            put(&mut to.compaction_bytes_per_second, bytes)
        },
    },
    Key {
        name: "limits.cold_read_bytes_per_second",
        about: "bytes a second that readers get of what is read from disk",
        default: "none",
        expected: "none, or a size from 4KiB, for example 64MiB",
        set: |to, text| {
            let bytes = match text {
                "none" => Some(None),
                _ => sized(text, 4 << 10).map(Some),
            };
            put(&mut to.cold_read_bytes_per_second, bytes)
        },
    },
    Key {
        name: "limits.compaction_key_map_bytes_max",
        about: "memory in which compaction notes keys, 32 bytes each",
        default: "64MiB",
        expected: "a size from 64KiB, for example 64MiB",
        set: |to, text| {
            let bytes = sized(text, 64 << 10);
            put(
                &mut to.compaction_key_map_bytes_max,
                bytes.and_then(|bytes| bytes.try_into().ok()),
            )
        },
    },
    Key {
        name: "limits.in_flight_bytes_max",
        about: "bytes of requests being worked on, over all connections",
        default: "256MiB",
        expected: "a size from 1MiB, for example 256MiB",
        set: |to, text| {
            let bytes = sized(text, 1 << 20);
            put(
                &mut to.in_flight_bytes_max,
                bytes.and_then(|bytes| bytes.try_into().ok()),
            )
        },
    },
    Key {
        name: "shutdown.grace",
        about: "how long a shutdown may take before the rest is cut off",
        default: "10s",
        expected: "a duration, for example 10s",
        set: |to, text| put(&mut to.shutdown_grace, parse_duration(text)),
    },
    Key {
        name: "log.level",
        about: "what is logged: off, error, warn, info, debug, trace, or per module",
        default: "info",
        expected: "a level or a list such as info,ratatoskr_core=debug",
        set: |to, text| {
            tracing_subscriber::EnvFilter::try_new(text).ok()?;
            put(&mut to.log_level, Some(text.to_owned()))
        },
    },
    Key {
        name: "log.format",
        about: "how it is logged: auto is text on a terminal and JSON otherwise",
        default: "auto",
        expected: "auto, text or json",
        set: |to, text| {
            let format = match text {
                "auto" => LogFormat::Auto,
                "text" => LogFormat::Text,
                "json" => LogFormat::Json,
                _ => return None,
            };
            put(&mut to.log_format, Some(format))
        },
    },
];

fn put<T>(to: &mut T, value: Option<T>) -> Option<()> {
    *to = value?;
    Some(())
}

fn positive(text: &str) -> Option<usize> {
    text.parse().ok().filter(|number| *number > 0)
}

/// A duration that is no shorter than this.
fn lasting(text: &str, min: Duration) -> Option<Duration> {
    parse_duration(text).filter(|duration| *duration >= min)
}

/// A size in bytes that is no smaller than this.
fn sized(text: &str, min: u64) -> Option<u64> {
    parse_bytes(text).filter(|bytes| *bytes >= min)
}

/// An address and a port; the host name `localhost` is taken for the IPv4 loopback.
fn address(text: &str) -> Option<SocketAddr> {
    match text.strip_prefix("localhost:") {
        Some(port) => format!("127.0.0.1:{port}").parse().ok(),
        None => text.parse().ok(),
    }
}

/// A host and a port; an IPv6 address stands in brackets.
#[cfg(feature = "kafka")]
fn host_and_port(text: &str) -> Option<(String, u16)> {
    let (host, port) = text.rsplit_once(':')?;
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let port = port.parse().ok().filter(|port| *port > 0)?;
    (!host.is_empty()).then(|| (host.to_owned(), port))
}
