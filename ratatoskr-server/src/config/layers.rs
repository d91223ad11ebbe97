//! Where settings come from, and which source wins.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    time::Duration,
};

use super::{
    ConfigError, Loaded, LogFormat, Origin, Settings, Verify,
    keys::{PAIRS, keys},
};

/// What every variable that sets something begins with.
pub(super) const PREFIX: &str = "RATATOSKR_";

/// Variables with that prefix that are not settings of a node but arguments of the command line.
const NOT_SETTINGS: [&str; 2] = ["RATATOSKR_CONFIG", "RATATOSKR_SERVER"];

/// Names that look no more alike than this are not suggested.
const LIKENESS_MIN: f64 = 0.7;

/// Everything that settings are read from. Nothing else is looked at, so tests need no environment.
#[derive(Debug, Default)]
pub(crate) struct Sources {
    /// The file, if there is one.
    pub(crate) file: Option<PathBuf>,
    /// Variables of the environment; those without the prefix are not looked at.
    pub(crate) environment: Vec<(String, String)>,
    /// Name of the setting, its value, and the flag as it was typed.
    pub(crate) flags: Vec<(String, String, String)>,
    /// Where this machine keeps the data of its users' programs.
    pub(crate) data_home: Option<PathBuf>,
}

/// Reads all layers, the strongest last, and remembers who set what.
///
/// # Errors
/// [`ConfigError`]; the first wrong value or name found ends the reading.
pub(crate) fn load(sources: &Sources) -> Result<Loaded, ConfigError> {
    let mut loaded = Loaded {
        settings: unset(),
        values: Vec::new(),
    };
    for key in keys() {
        loaded
            .values
            .push((key.default.to_owned(), Origin::BuiltIn));
        if !key.default.is_empty() {
            (key.set)(&mut loaded.settings, key.default)
                .unwrap_or_else(|| unreachable!("the default of {} is not legal", key.name));
        }
    }
    if let Some(path) = &sources.file {
        for (name, value) in entries_of_file(path)? {
            set(&mut loaded, &name, &value, Origin::File(path.clone()))?;
        }
    }
    for (variable, value) in &sources.environment {
        if NOT_SETTINGS.contains(&variable.as_str()) {
            continue;
        }
        if let Some(name) = variable.strip_prefix(PREFIX) {
            let name = name.to_lowercase().replace("__", ".");
            set(
                &mut loaded,
                &name,
                value,
                Origin::Environment(variable.clone()),
            )?;
        }
    }
    for (name, value, flag) in &sources.flags {
        set(&mut loaded, name, value, Origin::Flag(flag.clone()))?;
    }
    if loaded.settings.data_dir.as_os_str().is_empty() {
        let home = sources.data_home.as_ref();
        let path = home.ok_or(ConfigError::NoDataDirectory)?.join("ratatoskr");
        let text = path.display().to_string();
        for (key, value) in keys().zip(&mut loaded.values) {
            if key.name == "data_dir" {
                value.0.clone_from(&text);
            }
        }
        loaded.settings.data_dir = path;
    }
    check_pairs(&loaded)?;
    Ok(loaded)
}

/// Looks at settings that must be right together.
fn check_pairs(loaded: &Loaded) -> Result<(), ConfigError> {
    for pair in PAIRS {
        if (pair.holds)(&loaded.settings) {
            continue;
        }
        for (key, (value, origin)) in keys().zip(&loaded.values) {
            if key.name == pair.name {
                return Err(ConfigError::Invalid {
                    name: key.name,
                    value: value.clone(),
                    origin: origin.clone(),
                    expected: pair.expected,
                });
            }
        }
    }
    Ok(())
}

fn set(loaded: &mut Loaded, name: &str, value: &str, origin: Origin) -> Result<(), ConfigError> {
    for (key, slot) in keys().zip(&mut loaded.values) {
        if key.name == name {
            if (key.set)(&mut loaded.settings, value).is_none() {
                return Err(ConfigError::Invalid {
                    name: key.name,
                    value: value.to_owned(),
                    origin,
                    expected: key.expected,
                });
            }
            *slot = (value.to_owned(), origin);
            return Ok(());
        }
    }
    let nearest = keys()
        .map(|key| (strsim::jaro_winkler(key.name, name), key.name))
        .filter(|(likeness, _)| *likeness >= LIKENESS_MIN)
        .max_by(|a, b| a.0.total_cmp(&b.0));
    Err(ConfigError::Unknown {
        name: name.to_owned(),
        origin,
        nearest: nearest.map(|(_, name)| name),
    })
}

/// Dotted names and the text of their values, tables within tables flattened.
fn entries_of_file(path: &Path) -> Result<Vec<(String, String)>, ConfigError> {
    let text = fs::read_to_string(path).map_err(|source| ConfigError::Unreadable {
        path: path.to_owned(),
        source,
    })?;
    let table: toml::Table = text.parse().map_err(|error: toml::de::Error| {
        let line = error
            .span()
            .and_then(|span| text.get(..span.start))
            .map_or(1, |before| before.matches('\n').count() + 1);
        ConfigError::NotToml {
            path: path.to_owned(),
            reason: format!("line {line}: {}", error.message()),
        }
    })?;
    let mut entries = Vec::new();
    flatten(String::new(), toml::Value::Table(table), &mut entries);
    Ok(entries)
}

fn flatten(name: String, value: toml::Value, entries: &mut Vec<(String, String)>) {
    match value {
        toml::Value::Table(table) => {
            for (key, value) in table {
                let name = if name.is_empty() {
                    key
                } else {
                    format!("{name}.{key}")
                };
                flatten(name, value, entries);
            }
        }
        toml::Value::String(text) => entries.push((name, text)),
        other => entries.push((name, other.to_string())),
    }
}

/// What the defaults are written over.
fn unset() -> Settings {
    Settings {
        data_dir: PathBuf::new(),
        memory: false,
        storage_verify: Verify::Tail,
        checkpoint_interval: Duration::ZERO,
        unsynced_bytes_max: 0,
        snapshot_bytes: 0,
        insecure: false,
        native_listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
        connections_max: 0,
        connections_per_address_max: 0,
        #[cfg(feature = "kafka")]
        kafka: super::KafkaSettings::default(),
        auto_create_topics: false,
        partitions_default: 0,
        in_flight_bytes_max: 0,
        retention_interval: Duration::ZERO,
        compaction_interval: Duration::ZERO,
        compaction_bytes_per_second: 0,
        cold_read_bytes_per_second: None,
        compaction_key_map_bytes_max: 0,
        groups: super::GroupSettings::default(),
        queues: super::QueueSettings::default(),
        shutdown_grace: Duration::ZERO,
        log_level: String::new(),
        log_format: LogFormat::Auto,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sources() -> Sources {
        Sources {
            data_home: Some("/data".into()),
            ..Sources::default()
        }
    }

    fn environment(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        pairs.iter().map(owned).collect()
    }

    fn file(text: &str) -> (tempfile::TempDir, Option<PathBuf>) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("ratatoskr.toml");
        fs::write(&path, text).unwrap();
        (directory, Some(path))
    }

    fn refusal(sources: &Sources) -> ConfigError {
        load(sources).expect_err("these sources are wrong")
    }

    #[test]
    fn without_any_source_the_defaults_hold() {
        insta::assert_snapshot!(load(&sources()).unwrap());
    }

    #[test]
    fn each_layer_wins_over_the_one_below() {
        let (_directory, path) = file(
            "data_dir = \"/from/file\"\n[native]\nlisten = \"127.0.0.1:1\"\nconnections_max = 5\n\
             [topics]\nauto_create = false\n",
        );
        let mut sources = Sources {
            file: path,
            ..sources()
        };
        let port = |sources: &Sources| load(sources).unwrap().settings.native_listen.port();
        assert_eq!(port(&sources), 1);
        sources.environment = environment(&[
            ("RATATOSKR_NATIVE__LISTEN", "127.0.0.1:2"),
            ("RATATOSKR_SERVER", "not a setting"),
            ("HOME", "/nowhere"),
        ]);
        assert_eq!(port(&sources), 2);
        let flag = ("native.listen", "127.0.0.1:3", "--native-listen");
        sources.flags = vec![(flag.0.into(), flag.1.into(), flag.2.into())];
        assert_eq!(port(&sources), 3);

        let loaded = load(&sources).unwrap();
        assert_eq!(loaded.settings.connections_max, 5);
        assert!(!loaded.settings.auto_create_topics);
        assert_eq!(loaded.settings.data_dir, Path::new("/from/file"));
        let origin = |name: &str| {
            let at = keys().position(|key| key.name == name).unwrap();
            loaded.values[at].1.to_string()
        };
        assert_eq!(origin("native.listen"), "flag --native-listen");
        assert_eq!(origin("log.level"), "built-in");
        assert!(origin("data_dir").starts_with("file /"));
    }

    #[test]
    fn what_is_printed_can_be_read_again() {
        let printed = load(&sources()).unwrap();
        let (_directory, path) = file(&printed.to_string());
        let read = load(&Sources {
            file: path,
            ..Sources::default()
        });
        assert_eq!(read.unwrap().settings, printed.settings);
    }

    #[test]
    fn every_setting_can_be_named_in_the_environment() {
        for key in keys() {
            let value = if key.default.is_empty() {
                "/x"
            } else {
                key.default
            };
            let sources = Sources {
                environment: vec![(key.variable(), value.to_owned())],
                ..sources()
            };
            let origin = load(&sources)
                .unwrap()
                .values
                .into_iter()
                .find_map(|(_, origin)| (origin != Origin::BuiltIn).then(|| origin.to_string()));
            assert_eq!(origin, Some(format!("environment {}", key.variable())));
        }
    }

    #[test]
    fn an_unknown_name_suggests_the_nearest_one() {
        let (_directory, path) = file("[native]\nlisen = \"127.0.0.1:1\"\n");
        let ConfigError::Unknown { name, nearest, .. } = refusal(&Sources {
            file: path,
            ..sources()
        }) else {
            panic!("another error");
        };
        assert_eq!(
            (name.as_str(), nearest),
            ("native.lisen", Some("native.listen"))
        );
        let strange = refusal(&Sources {
            environment: environment(&[("RATATOSKR_ZZZ", "1")]),
            ..sources()
        });
        assert!(matches!(
            strange,
            ConfigError::Unknown { nearest: None, .. }
        ));
    }

    #[test]
    fn wrong_values_are_refused_with_what_would_be_right() {
        for (variable, value) in [
            ("RATATOSKR_NATIVE__LISTEN", "7660"),
            ("RATATOSKR_NATIVE__CONNECTIONS_MAX", "0"),
            #[cfg(feature = "kafka")]
            ("RATATOSKR_KAFKA__LISTEN", "9092"),
            #[cfg(feature = "kafka")]
            ("RATATOSKR_KAFKA__ADVERTISED_LISTENER", "broker"),
            #[cfg(feature = "kafka")]
            ("RATATOSKR_KAFKA__REQUEST_BYTES_MAX", "1023"),
            ("RATATOSKR_TOPICS__AUTO_CREATE", "maybe"),
            ("RATATOSKR_TOPICS__PARTITIONS_DEFAULT", "10001"),
            ("RATATOSKR_TOPICS__RETENTION_INTERVAL", "0s"),
            ("RATATOSKR_LIMITS__IN_FLIGHT_BYTES_MAX", "1048575"),
            ("RATATOSKR_GROUPS__SESSION_TIMEOUT", "999ms"),
            ("RATATOSKR_GROUPS__SESSION_TIMEOUT", "25h"),
            ("RATATOSKR_GROUPS__HEARTBEAT_INTERVAL", "99ms"),
            ("RATATOSKR_GROUPS__MEMBERS_MAX", "0"),
            ("RATATOSKR_GROUPS__OFFSET_METADATA_BYTES_MAX", "32769"),
            ("RATATOSKR_QUEUES__GROUPS_MAX", "0"),
            ("RATATOSKR_QUEUES__LEASE_MS", "13h"),
            ("RATATOSKR_QUEUES__BACKOFF_MAX_MS", "366d"),
            ("RATATOSKR_QUEUES__DEAD_LETTERS", "topic:_rt.groups"),
            ("RATATOSKR_LOG__FORMAT", "xml"),
            ("RATATOSKR_DATA_DIR", ""),
            ("RATATOSKR_STORAGE__VERIFY", "some"),
        ] {
            let error = refusal(&Sources {
                environment: environment(&[(variable, value)]),
                ..sources()
            });
            assert!(
                matches!(error, ConfigError::Invalid { .. }),
                "{variable}: {error}"
            );
        }
    }

    #[test]
    fn settings_that_do_not_go_together_are_refused_whoever_names_them() {
        let (_directory, path) = file("groups.session_timeout = \"2s\"\n");
        let groups = refusal(&Sources {
            file: path,
            ..sources()
        });
        assert_eq!(
            groups.to_string(),
            "groups.heartbeat_interval = \"5s\" (built-in): expected less than groups.session_timeout"
        );
        let waits = |min: &str, max: &str| Sources {
            environment: environment(&[
                ("RATATOSKR_QUEUES__BACKOFF_MIN_MS", min),
                ("RATATOSKR_QUEUES__BACKOFF_MAX_MS", max),
            ]),
            ..sources()
        };
        assert!(load(&waits("10m", "1h")).is_ok());
        let ConfigError::Invalid { name, .. } = refusal(&waits("2h", "1h")) else {
            panic!("another error");
        };
        assert_eq!(name, "queues.backoff_min_ms");
    }

    #[test]
    fn a_file_that_is_missing_or_broken_is_named() {
        let missing = refusal(&Sources {
            file: Some("/nowhere/at/all.toml".into()),
            ..sources()
        });
        assert!(matches!(missing, ConfigError::Unreadable { .. }));
        let (_directory, path) = file("data_dir = \"/x\"\nmemory = = true\n");
        let broken = refusal(&Sources {
            file: path,
            ..sources()
        });
        assert!(broken.to_string().contains("line 2"), "{broken}");
    }

    #[test]
    fn without_any_directory_for_data_there_is_no_guess() {
        assert!(matches!(
            refusal(&Sources::default()),
            ConfigError::NoDataDirectory
        ));
    }
}
