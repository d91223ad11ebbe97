//! Memory of processes, as the system tells it.

use std::fs;

use crate::cli::exit::{Exit, Failure, Outcome};

/// What of a process's memory is asked for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Resident {
    /// All of it, pages of files as well.
    All,
    /// The heap and stacks: what no file holds.
    Anonymous,
}

/// Bytes that a process has resident; `process` is its id, or `self`.
///
/// # Errors
/// The system does not tell.
pub(super) fn resident_bytes(process: &str, what: Resident) -> Outcome<f64> {
    let name = match what {
        Resident::All => "VmRSS:",
        Resident::Anonymous => "RssAnon:",
    };
    let read = || {
        let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        let kib: u32 = line.trim().strip_suffix(" kB")?.parse().ok()?;
        Some(f64::from(kib) * 1024.0)
    };
    read().ok_or_else(|| {
        Failure::new(Exit::Failure, "cannot tell how much memory the broker has")
            .because(format!("/proc/{process}/status does not say {name}"))
    })
}
