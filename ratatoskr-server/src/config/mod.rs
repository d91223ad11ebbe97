//! Configuration of a node: where it listens, where it keeps its data, how much it takes.
//!
//! Every setting has one entry in the table of [`mod@keys`]: its name, what it is for, its default and
//! how it is read from text. The layers are flag, environment, file, built-in; the first one that
//! names a setting wins, and [`Loaded`] remembers which one it was. What no layer may name, no
//! layer can set: an unknown name is an error that suggests the nearest known one.
//!
//! Topics and queue groups are not configured here: their settings are stored and changed through the
//! API. What a new one gets where nobody says otherwise is.

mod keys;
mod layers;

use std::{fmt, net::SocketAddr, path::PathBuf, time::Duration};

use ratatoskr_core::delivery::QueueConfigChange;

pub(crate) use keys::keys;
pub(crate) use layers::{Sources, load};
pub(crate) use ratatoskr_storage::Verify;

/// The settings of a node, all of them set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Settings {
    /// Where everything durable is kept.
    pub(crate) data_dir: PathBuf,
    /// Keep everything in memory and nothing on disk.
    pub(crate) memory: bool,
    /// What of the logs is read when the data directory is opened.
    pub(crate) storage_verify: Verify,
    /// How often a checkpoint is written at least, while there is something new.
    pub(crate) checkpoint_interval: Duration,
    /// Bytes appended after which a checkpoint is written.
    pub(crate) unsynced_bytes_max: u64,
    /// Bytes appended to a partition between snapshots of its producers.
    pub(crate) snapshot_bytes: u64,
    /// Listen off loopback although nobody has to log in.
    pub(crate) insecure: bool,
    /// Where the native protocol listens.
    pub(crate) native_listen: SocketAddr,
    /// Most connections at a time.
    pub(crate) connections_max: usize,
    /// Most connections at a time from one address.
    pub(crate) connections_per_address_max: usize,
    /// The door for Kafka clients.
    #[cfg(feature = "kafka")]
    pub(crate) kafka: KafkaSettings,
    /// Create a topic when somebody produces to it.
    pub(crate) auto_create_topics: bool,
    /// Partitions of a topic for which nobody said how many.
    pub(crate) partitions_default: u32,
    /// Bytes of requests being worked on, over all connections.
    pub(crate) in_flight_bytes_max: usize,
    /// How often old segments are looked for.
    pub(crate) retention_interval: Duration,
    /// How often logs are looked for that are to be compacted.
    pub(crate) compaction_interval: Duration,
    /// Bytes a second that compaction reads and writes.
    pub(crate) compaction_bytes_per_second: u64,
    /// Bytes a second that readers are given of what is read from disk.
    pub(crate) cold_read_bytes_per_second: Option<u64>,
    /// Bytes of memory in which compaction notes keys.
    pub(crate) compaction_key_map_bytes_max: usize,
    /// Consumer groups.
    pub(crate) groups: GroupSettings,
    /// Queue groups.
    pub(crate) queues: QueueSettings,
    /// How long a shutdown may take.
    pub(crate) shutdown_grace: Duration,
    /// What is logged, in the syntax of `tracing_subscriber::EnvFilter`.
    pub(crate) log_level: String,
    /// How it is logged.
    pub(crate) log_format: LogFormat,
}

/// The settings of consumer groups.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct GroupSettings {
    /// A member that is not heard of for this long is expelled.
    pub(crate) session_timeout: Duration,
    /// How often members are told to be heard of.
    pub(crate) heartbeat_interval: Duration,
    /// Shortest session timeout that a Kafka client may ask for.
    pub(crate) session_timeout_min: Duration,
    /// Longest session timeout that a Kafka client may ask for.
    pub(crate) session_timeout_max: Duration,
    /// How long the first member of a Kafka client's group waits for others to come.
    pub(crate) initial_rebalance_delay: Duration,
    /// Longest time that a member may ask for to give up what goes to others.
    pub(crate) rebalance_timeout_max: Duration,
    /// Groups without members and commits for this long are deleted.
    pub(crate) offsets_retention: Duration,
    /// Most groups.
    pub(crate) groups_max: usize,
    /// Most members of a group.
    pub(crate) members_max: usize,
    /// Most topics that a member reads.
    pub(crate) member_topics_max: usize,
    /// Most partitions that a group has committed offsets of.
    pub(crate) offsets_max: usize,
    /// Most bytes of metadata beside a committed offset.
    pub(crate) offset_metadata_bytes_max: usize,
}

/// The settings of queue groups.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct QueueSettings {
    /// Most groups.
    pub(crate) groups_max: usize,
    /// Most records of a partition that a group holds back until their time.
    pub(crate) delayed_records_max: usize,
    /// What a new group is configured with where nobody says otherwise: every value is set.
    pub(crate) defaults: QueueConfigChange,
}

/// The settings of the door for Kafka clients.
#[cfg(feature = "kafka")]
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct KafkaSettings {
    /// Where it listens; `None` for nowhere.
    pub(crate) listen: Option<SocketAddr>,
    /// Where clients are told to connect; `None` for the address that each came to.
    pub(crate) advertised: Option<(String, u16)>,
    /// Most connections at a time.
    pub(crate) connections_max: usize,
    /// Most connections at a time from one address.
    pub(crate) connections_per_address_max: usize,
    /// Largest request.
    pub(crate) request_bytes_max: usize,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LogFormat {
    /// Text on a terminal, JSON otherwise.
    Auto,
    /// For people.
    Text,
    /// One object a line.
    Json,
}

/// Who set a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// Nobody.
    BuiltIn,
    /// A line of this file.
    File(PathBuf),
    /// This environment variable.
    Environment(String),
    /// This flag of the command line.
    Flag(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BuiltIn => f.write_str("built-in"),
            Self::File(path) => write!(f, "file {}", path.display()),
            Self::Environment(name) => write!(f, "environment {name}"),
            Self::Flag(name) => write!(f, "flag {name}"),
        }
    }
}

/// Settings with the text and the origin of each.
#[derive(Debug)]
pub(crate) struct Loaded {
    /// The settings.
    pub(crate) settings: Settings,
    /// In the order of [`keys()`]: the text of the value and who set it.
    pub(crate) values: Vec<(String, Origin)>,
}

impl fmt::Display for Loaded {
    /// A TOML file that sets what is set now; comments tell what each setting is for, the variable
    /// that sets it, and who set it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (key, (value, origin)) in keys().zip(&self.values) {
            let bare = value.parse::<i64>().is_ok() || value.parse::<bool>().is_ok();
            let value = if bare {
                value.clone()
            } else {
                toml::Value::from(value.as_str()).to_string()
            };
            writeln!(f, "# {} ({})", key.about, key.variable())?;
            writeln!(f, "{} = {value}  # {origin}", key.name)?;
        }
        Ok(())
    }
}

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the configuration file {}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file is not TOML.
    #[error("{} is not TOML: {reason}", path.display())]
    NotToml {
        /// The file.
        path: PathBuf,
        /// Line, column and what stands there.
        reason: String,
    },
    /// A name that no setting has.
    #[error("there is no setting `{name}` ({origin})")]
    Unknown {
        /// The name as it was given.
        name: String,
        /// Who gave it.
        origin: Origin,
        /// The known name that looks most like it.
        nearest: Option<&'static str>,
    },
    /// A value that the setting does not take.
    #[error("{name} = {value:?} ({origin}): expected {expected}")]
    Invalid {
        /// The setting.
        name: &'static str,
        /// The value as it was given.
        value: String,
        /// Who gave it.
        origin: Origin,
        /// What it takes.
        expected: &'static str,
    },
    /// The machine names no directory for data, and neither did anybody else.
    #[error("no data directory is known: neither HOME nor XDG_DATA_HOME is set")]
    NoDataDirectory,
}
