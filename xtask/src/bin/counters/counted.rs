//! Runs a workload in a process of its own, once with the shim that counts within libc, and once more
//! under strace.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail, ensure};

use crate::{
    meter::{self, COUNTS, Measured, Round},
    table::Costs,
    trace::{self, Calls},
    work::Workload,
};

/// Lines of an explanation.
const SHOWN_MAX: usize = 30;

/// What is needed to count.
pub(crate) struct Setup {
    directory: PathBuf,
    shim: PathBuf,
    traces: bool,
}

/// Everything that is known about a workload.
pub(crate) struct Counted {
    measured: Measured,
    /// The system calls of its cheapest round, and that round's records.
    calls: Option<(Calls, u64)>,
}

impl Setup {
    /// Builds the shim, and looks whether strace is there; data, traces and the shim go under
    /// `directory`.
    ///
    /// # Errors
    /// There is no C compiler.
    pub(crate) fn new(source: &Path, directory: &Path) -> Result<Self> {
        fs::create_dir_all(directory)?;
        Ok(Self {
            directory: directory.to_owned(),
            shim: build(source, directory)?,
            traces: has_strace(),
        })
    }

    /// Counts a workload.
    ///
    /// # Errors
    /// It fails, or what counts it does not work on this machine.
    pub(crate) fn count(&self, workload: &Workload) -> Result<Counted> {
        let measured = self.count_in_libc(workload)?;
        let calls = self.traces.then(|| self.trace(workload)).transpose()?;
        Ok(Counted { measured, calls })
    }

    fn count_in_libc(&self, workload: &Workload) -> Result<Measured> {
        let counts = self.directory.join("counts");
        fs::write(&counts, [])?;
        let mut command = Command::new(std::env::current_exe()?);
        command.env("LD_PRELOAD", &self.shim).env(COUNTS, &counts);
        let measured = self.run(workload, &mut command)?;
        ensure!(
            measured.rounds.iter().any(|round| round.allocations > 0),
            "the shim does not count: it needs a program that is linked with glibc dynamically"
        );
        Ok(measured)
    }

    /// The system calls of the round that made the fewest, and that round's records.
    fn trace(&self, workload: &Workload) -> Result<(Calls, u64)> {
        let trace = self.directory.join("trace");
        let mut command = Command::new("strace");
        command
            .args(["-f", "-qq", "-e", "signal=none", "-o"])
            .arg(&trace)
            .arg(std::env::current_exe()?);
        let measured = self.run(workload, &mut command)?;
        let text = fs::read(&trace)?;
        let text = String::from_utf8_lossy(&text);
        let calls = trace::rounds(&text, workload.caller_is_peer)?;
        let records = measured.rounds.iter().map(|round| round.records);
        calls
            .into_iter()
            .zip(records)
            .min_by_key(|(calls, _)| calls.values().sum::<u64>())
            .context("a trace without rounds")
    }

    fn run(&self, workload: &Workload, command: &mut Command) -> Result<Measured> {
        command
            .args(["work", workload.name, "--directory"])
            .arg(&self.directory);
        let output = command.stderr(Stdio::inherit()).output()?;
        if !output.status.success() {
            bail!("ended with {}", output.status);
        }
        meter::parse(&String::from_utf8(output.stdout)?)
    }
}

impl Counted {
    /// The least that a record cost in any round.
    pub(crate) fn costs(&self) -> Costs {
        let least = |of: fn(&Round) -> u64| {
            let rounds = self.measured.rounds.iter();
            rounds
                .map(|round| per(of(round), round.records))
                .fold(f64::INFINITY, f64::min)
        };
        let calls = self.calls.as_ref();
        Costs {
            system_calls: calls.map(|(calls, records)| per(calls.values().sum(), *records)),
            allocations: least(|round| round.allocations),
            bytes_copied: least(|round| round.bytes_copied),
            lock_takes: least(|round| round.lock_takes),
        }
    }

    /// Prints what the counts are made of, the largest first.
    pub(crate) fn explain(&self, workload: &str) {
        let show = |title: &str, mut parts: Vec<(&str, f64)>| {
            parts.sort_by(|a, b| b.1.total_cmp(&a.1));
            println!("{workload}: {title} a record");
            for (name, cost) in parts.iter().take(SHOWN_MAX) {
                println!("{cost:>10.3}  {name}");
            }
        };
        if let Some((calls, records)) = &self.calls {
            let calls = calls.iter();
            let calls = calls.map(|(name, count)| (name.as_str(), per(*count, *records)));
            show("system calls", calls.collect());
        }
        let rounds = self.measured.rounds.iter();
        let records = rounds.map(|round| round.records).sum();
        let locks = self.measured.locks.iter();
        let locks = locks.map(|(place, takes)| (place.as_str(), per(*takes, records)));
        show("lock takes", locks.collect());
    }
}

/// Builds the shim.
fn build(source: &Path, directory: &Path) -> Result<PathBuf> {
    let shim = directory.join("count.so");
    let built = Command::new("cc")
        .args("-O2 -Wall -Werror -fno-builtin -shared -fPIC -o".split(' '))
        .args([&shim, source])
        .status()
        .context("cannot start `cc`: a C compiler is needed")?;
    ensure!(built.success(), "`cc` cannot build {}", source.display());
    Ok(shim)
}

fn has_strace() -> bool {
    let there = Command::new("strace")
        .arg("--version")
        .stdout(Stdio::null())
        .status()
        .is_ok_and(|status| status.success());
    if !there {
        println!(
            "SKIPPED: system calls are not counted, strace is not installed (apt-get install strace)"
        );
    }
    there
}

#[expect(clippy::cast_precision_loss, reason = "counts of a round are small")]
fn per(count: u64, records: u64) -> f64 {
    count as f64 / records as f64
}
