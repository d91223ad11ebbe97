//! Where and on what the figures were measured.

use std::{fs, process::Command};

use serde::{Deserialize, Serialize};

/// The machine and the revision.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Machine {
    /// The processor's name.
    pub(crate) processor: String,
    /// Processors that this program may use.
    pub(crate) processors: usize,
    /// Memory in bytes.
    pub(crate) memory_bytes: f64,
    /// The kernel.
    pub(crate) kernel: String,
    /// When the run began, in UTC.
    pub(crate) date: String,
    /// The revision that was built, with a mark where files differ from it.
    pub(crate) revision: String,
}

impl Machine {
    /// This machine now. What cannot be found out is told as unknown.
    pub(crate) fn this() -> Self {
        let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let memory = fs::read_to_string("/proc/meminfo").unwrap_or_default();
        Self {
            processor: field(&info, "model name").unwrap_or_else(unknown),
            processors: std::thread::available_parallelism().map_or(1, Into::into),
            memory_bytes: field(&memory, "MemTotal")
                .and_then(|text| text.trim_end_matches(" kB").parse().ok())
                .map_or(0.0, |kib: f64| kib * 1024.0),
            kernel: said("uname", &["-sr"]),
            date: said("date", &["-u", "+%Y-%m-%d %H:%M UTC"]),
            revision: said("git", &["describe", "--always", "--dirty"]),
        }
    }
}

fn unknown() -> String {
    "unknown".to_owned()
}

/// The value of a line `name : value`.
fn field(text: &str, name: &str) -> Option<String> {
    let line = text.lines().find(|line| line.starts_with(name))?;
    let (_, value) = line.split_once(':')?;
    Some(value.trim().to_owned())
}

fn said(program: &str, words: &[&str]) -> String {
    let output = Command::new(program).args(words).output();
    let output = output.ok().filter(|output| output.status.success());
    output.map_or_else(unknown, |output| {
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::field;

    #[test]
    fn fields_of_the_kernels_files_are_read() {
        let text = "processor\t: 0\nmodel name\t: A CPU @ 2 GHz\nMemTotal:  24 kB\n";
        assert_eq!(field(text, "model name").as_deref(), Some("A CPU @ 2 GHz"));
        assert_eq!(field(text, "MemTotal").as_deref(), Some("24 kB"));
        assert_eq!(field(text, "flags"), None);
    }
}
