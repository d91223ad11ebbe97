//! The options that name a node's configuration, for the verbs that run on the node itself.

use std::{env, path::PathBuf};

use crate::{
    cli::exit::{Exit, Failure, Outcome},
    config::{ConfigError, Loaded, Sources, load},
};

/// Where the configuration comes from, and what differs from it.
#[derive(Debug, Default, clap::Args)]
#[group(skip)]
pub(crate) struct Options {
    /// Read settings from this TOML file
    #[arg(
        long,
        value_name = "FILE",
        env = "RATATOSKR_CONFIG",
        hide_env_values = true
    )]
    config: Option<PathBuf>,
    #[arg(
        long,
        value_name = "DIR",
        help = "\
Keep data here [default: $XDG_DATA_HOME/ratatoskr, else where the system keeps users' data]"
    )]
    data_dir: Option<PathBuf>,
    /// Keep everything in memory and nothing on disk
    #[arg(long)]
    memory: bool,
    /// Read this much of the logs at the start: tail (beyond the last checkpoint), or all of them
    /// [default: tail]
    #[arg(long, value_name = "WHAT")]
    storage_verify: Option<String>,
    /// Listen here for the native protocol; port 0 takes a free one [default: 127.0.0.1:7660]
    #[arg(long, value_name = "ADDRESS:PORT")]
    native_listen: Option<String>,
    /// Listen here for Kafka clients; port 0 takes a free one, none serves none
    /// [default: 127.0.0.1:9092]
    #[cfg(feature = "kafka")]
    #[arg(long, value_name = "ADDRESS:PORT")]
    kafka_listen: Option<String>,
    /// Listen off loopback although nobody has to log in
    #[arg(long)]
    insecure: bool,
    /// Set any setting by its name; --print-config lists them
    #[arg(long = "set", value_name = "NAME=VALUE")]
    settings: Vec<String>,
}

impl Options {
    /// The settings that these options, the environment and the file amount to.
    ///
    /// # Errors
    /// [`Exit::Usage`] for what is wrong in any of them.
    pub(crate) fn load(&self) -> Outcome<Loaded> {
        let sources = Sources {
            file: self.config.clone(),
            environment: env::vars_os()
                .filter_map(|(name, value)| {
                    Some((name.into_string().ok()?, value.into_string().ok()?))
                })
                .collect(),
            flags: self.flags()?,
            data_home: dirs::data_dir(),
        };
        load(&sources).map_err(Failure::from)
    }

    /// Name, value and flag of each setting that these options name.
    fn flags(&self) -> Outcome<Vec<(String, String, String)>> {
        let mut flags = Vec::new();
        let mut flag = |name: &str, value: String, typed: &str| {
            flags.push((name.to_owned(), value, typed.to_owned()));
        };
        for setting in &self.settings {
            let (name, value) = setting.split_once('=').ok_or_else(|| {
                Failure::usage(format!("--set {setting}: expected NAME=VALUE"))
                    .next("ratatoskr serve --print-config")
            })?;
            flag(name, value.to_owned(), "--set");
        }
        if let Some(path) = &self.data_dir {
            let path = path.to_str().ok_or_else(|| {
                Failure::usage(format!("--data-dir {}: not UTF-8", path.display()))
            })?;
            flag("data_dir", path.to_owned(), "--data-dir");
        }
        if self.memory {
            flag("memory", "true".into(), "--memory");
        }
        if let Some(what) = &self.storage_verify {
            flag("storage.verify", what.clone(), "--storage-verify");
        }
        if let Some(address) = &self.native_listen {
            flag("native.listen", address.clone(), "--native-listen");
        }
        #[cfg(feature = "kafka")]
        if let Some(address) = &self.kafka_listen {
            flag("kafka.listen", address.clone(), "--kafka-listen");
        }
        if self.insecure {
            flag("insecure", "true".into(), "--insecure");
        }
        Ok(flags)
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        let failure = Self::usage(error.to_string());
        match error {
            ConfigError::Unreadable { source, .. } => {
                let exit = match source.kind() {
                    std::io::ErrorKind::NotFound => Exit::NotFound,
                    _ => Exit::Usage,
                };
                failure.because(source).ending(exit)
            }
            ConfigError::Unknown { nearest, .. } => match nearest {
                Some(name) => failure.next(format!("did you mean `{name}`?")),
                None => failure.next("ratatoskr serve --print-config"),
            },
            ConfigError::NoDataDirectory => failure.next("ratatoskr serve --data-dir DIR"),
            ConfigError::NotToml { .. } | ConfigError::Invalid { .. } => failure,
        }
    }
}
