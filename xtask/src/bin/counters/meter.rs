//! What a workload counts itself with: rounds, each between two marks.
//!
//! A mark asks for the metadata of a path that is not there, which a trace of system calls shows.
//! The counts of libc are read from the file into which `count.c` writes them, those of the locks
//! from core. Neither allocates, so what is measured is the workload's own.

use std::{
    collections::BTreeMap,
    env,
    fs::{self, File},
    io::{self, ErrorKind},
    os::unix::fs::FileExt,
};

use anyhow::{Context, Result, bail};
use ratatoskr_core::sync;
use serde_json::{Value, json};

/// Names the file into which `count.c` writes.
pub(crate) const COUNTS: &str = "RATATOSKR_COUNTS";
/// Paths whose metadata marks the begin and the end of a round.
pub(crate) const BEGIN: &str = "/ratatoskr-counters/begin";
pub(crate) const END: &str = "/ratatoskr-counters/end";
/// Rounds of a workload; the least that one of them cost is what counts.
pub(crate) const ROUNDS: usize = 15;

/// What a round cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Round {
    /// Records that were sent or read.
    pub(crate) records: u64,
    /// Calls that allocate or grow an allocation.
    pub(crate) allocations: u64,
    /// Bytes that `memcpy`, `memmove` and a moving `realloc` copied.
    pub(crate) bytes_copied: u64,
    /// Lock takes.
    pub(crate) lock_takes: u64,
}

/// Counts rounds.
pub(crate) struct Meter {
    file: Option<File>,
    before: [u64; 3],
    sites: BTreeMap<(&'static str, u32), i64>,
    rounds: Vec<Round>,
}

impl Meter {
    /// # Errors
    /// The file of counts is named and cannot be read.
    pub(crate) fn new() -> Result<Self> {
        let file = env::var_os(COUNTS)
            .map(|path| File::open(&path).with_context(|| path.display().to_string()))
            .transpose()?;
        Ok(Self {
            file,
            before: [0; 3],
            sites: BTreeMap::new(),
            rounds: Vec::with_capacity(ROUNDS),
        })
    }

    /// A round begins.
    ///
    /// # Errors
    /// The counts cannot be read.
    pub(crate) fn begin(&mut self) -> Result<()> {
        self.add_sites(-1);
        self.before = self.counts()?;
        mark(BEGIN)
    }

    /// The round ends, in which this many records were sent or read.
    ///
    /// # Errors
    /// The counts cannot be read.
    pub(crate) fn end(&mut self, records: usize) -> Result<()> {
        mark(END)?;
        let [allocations, bytes_copied, lock_takes] = self.counts()?;
        self.rounds.push(Round {
            records: records as u64,
            allocations: allocations - self.before[0],
            bytes_copied: bytes_copied - self.before[1],
            lock_takes: lock_takes - self.before[2],
        });
        self.add_sites(1);
        Ok(())
    }

    /// All of it, as [`parse`] reads it.
    pub(crate) fn to_json(&self) -> Value {
        let rounds: Vec<_> = self
            .rounds
            .iter()
            .map(|round| {
                let Round {
                    records,
                    allocations,
                    bytes_copied,
                    lock_takes,
                } = round;
                json!([records, allocations, bytes_copied, lock_takes])
            })
            .collect();
        let sites = self.sites.iter().filter(|(_, takes)| **takes > 0);
        let sites: Vec<_> = sites
            .map(|((file, line), takes)| json!([format!("{file}:{line}"), takes]))
            .collect();
        json!({ "rounds": rounds, "locks": sites })
    }

    fn counts(&self) -> io::Result<[u64; 3]> {
        let mut bytes = [[0; 8]; 2];
        if let Some(file) = &self.file {
            file.read_exact_at(bytes.as_flattened_mut(), 0)?;
        }
        let [allocations, bytes_copied] = bytes.map(u64::from_ne_bytes);
        Ok([allocations, bytes_copied, sync::takes()])
    }

    fn add_sites(&mut self, sign: i64) {
        for site in sync::sites() {
            let takes = i64::try_from(site.takes).unwrap_or(i64::MAX);
            *self.sites.entry((site.file, site.line)).or_default() += sign * takes;
        }
    }
}

/// What a workload printed.
#[derive(Debug, Default)]
pub(crate) struct Measured {
    /// Its rounds.
    pub(crate) rounds: Vec<Round>,
    /// Places in the source that take locks, with the takes of all rounds.
    pub(crate) locks: Vec<(String, u64)>,
}

/// Reads what [`Meter::to_json`] wrote.
///
/// # Errors
/// It is something else, or has no rounds.
pub(crate) fn parse(text: &str) -> Result<Measured> {
    let value: Value = serde_json::from_str(text).context("output of a workload")?;
    let rounds: Vec<[u64; 4]> = serde_json::from_value(value["rounds"].clone())?;
    if rounds.is_empty() {
        bail!("a workload without rounds");
    }
    let locks = serde_json::from_value(value["locks"].clone())?;
    let rounds = rounds
        .into_iter()
        .map(|[records, allocations, bytes_copied, lock_takes]| Round {
            records,
            allocations,
            bytes_copied,
            lock_takes,
        })
        .collect();
    Ok(Measured { rounds, locks })
}

fn mark(path: &str) -> Result<()> {
    match fs::metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        _ => bail!("{path} must not be there"),
    }
}
