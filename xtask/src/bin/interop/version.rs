//! Which version of a client it is.

use std::{fs, path::Path, process::Command};

use anyhow::{Context, Result};

/// Where a client's version stands.
pub(crate) enum Version {
    /// In the list of what it needs, after these words.
    Pinned(&'static str, &'static str),
    /// In what it says to `-V`, after these words.
    Said(&'static str, &'static str),
}

impl Version {
    /// The version, for example `4.1.0`; `sources` is where the client's list is.
    ///
    /// # Errors
    /// It does not stand there.
    pub(crate) fn read(&self, sources: &Path) -> Result<String> {
        let (place, text, before) = match *self {
            Self::Pinned(list, before) => (
                list,
                fs::read_to_string(sources.join(list)).context(list)?,
                before,
            ),
            Self::Said(program, before) => {
                let output = Command::new(program).arg("-V").output().context(program)?;
                let text = String::from_utf8_lossy(&output.stdout).into_owned();
                (program, text, before)
            }
        };
        after(&text, before).with_context(|| format!("{place} has no version after `{before}`"))
    }
}

fn after(text: &str, before: &str) -> Option<String> {
    let (_, rest) = text.split_once(before)?;
    let rest = rest.trim_start_matches(|c: char| !c.is_ascii_digit());
    let end = rest.find(|c: char| !(c.is_ascii_digit() || c == '.'));
    let version = &rest[..end.unwrap_or(rest.len())];
    (!version.is_empty()).then(|| version.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_after_the_name_is_found() {
        let xml = "<artifactId>kafka-clients</artifactId>\n  <version>4.1.0</version>";
        for (text, before, version) in [
            (
                "lz4==4.4.5\nkafka-python==3.0.12\n",
                "kafka-python",
                "3.0.12",
            ),
            (xml, "kafka-clients", "4.1.0"),
            ("rskafka = \"=0.6.0\"", "rskafka", "0.6.0"),
            ("Version 1.7.1 (JSON, Avro)", "Version", "1.7.1"),
        ] {
            assert_eq!(after(text, before).as_deref(), Some(version));
        }
        assert_eq!(after("rskafka = { git }", "rdkafka"), None);
    }
}
