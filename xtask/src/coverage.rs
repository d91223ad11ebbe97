//! `cargo xtask coverage`: how many lines of core and storage the tests run.
//!
//! `cargo-llvm-cov` measures where it is installed or can be; `cargo-tarpaulin` where it cannot.

use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::process::{cargo, root, run as run_visibly};

/// Lines in a hundred that tests must run, in each of [`MEASURED`].
const FLOOR: f64 = 90.0;
/// The crates that hold people's records.
const MEASURED: [&str; 2] = ["ratatoskr-core", "ratatoskr-storage"];

/// How to measure.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Do not install a tool that is missing.
    #[arg(long)]
    no_install: bool,
}

/// # Errors
/// No tool can be had, a test fails, or a crate is below the floor.
pub(crate) fn run(options: &Options) -> Result<()> {
    let report = root().join("target/coverage");
    std::fs::create_dir_all(&report).context("target/coverage")?;
    let by_file = match tool(options)? {
        Tool::LlvmCov => {
            run_visibly(
                cargo("llvm-cov --workspace --all-features --json --output-path")
                    .arg(report.join("llvm-cov.json")),
            )?;
            llvm_cov_lines(&read(&report.join("llvm-cov.json"))?)
        }
        Tool::Tarpaulin => {
            run_visibly(cargo("tarpaulin --workspace --all-features --engine llvm --skip-clean --out Json --output-dir").arg(&report))?;
            tarpaulin_lines(&read(&report.join("tarpaulin-report.json"))?)
        }
    };
    judge(&by_file)
}

enum Tool {
    LlvmCov,
    Tarpaulin,
}

fn tool(options: &Options) -> Result<Tool> {
    let installed = |name: &str| {
        let mut command = cargo(name);
        command
            .arg("--version")
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    };
    for (name, tool) in [("llvm-cov", Tool::LlvmCov), ("tarpaulin", Tool::Tarpaulin)] {
        if installed(name) {
            return Ok(tool);
        }
    }
    if options.no_install {
        bail!("neither cargo-llvm-cov nor cargo-tarpaulin is installed");
    }
    let component = run_visibly(Command::new("rustup").args(["component", "add", "llvm-tools"]));
    if component.is_ok() && run_visibly(&mut cargo("install --locked cargo-llvm-cov")).is_ok() {
        return Ok(Tool::LlvmCov);
    }
    run_visibly(&mut cargo("install --locked cargo-tarpaulin"))?;
    Ok(Tool::Tarpaulin)
}

fn read(path: &std::path::Path) -> Result<Value> {
    let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
    serde_json::from_str(&text).with_context(|| path.display().to_string())
}

/// Lines run and lines there are of one file.
struct Lines {
    path: String,
    run: u64,
    all: u64,
}

fn llvm_cov_lines(report: &Value) -> Vec<Lines> {
    let files = report["data"][0]["files"].as_array();
    files
        .into_iter()
        .flatten()
        .map(|file| Lines {
            path: file["filename"].as_str().unwrap_or_default().to_owned(),
            run: file["summary"]["lines"]["covered"].as_u64().unwrap_or(0),
            all: file["summary"]["lines"]["count"].as_u64().unwrap_or(0),
        })
        .collect()
}

fn tarpaulin_lines(report: &Value) -> Vec<Lines> {
    let files = report["files"].as_array();
    files
        .into_iter()
        .flatten()
        .map(|file| Lines {
            path: file["path"]
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(Value::as_str)
                .collect::<Vec<_>>()
                .join("/"),
            run: file["covered"].as_u64().unwrap_or(0),
            all: file["coverable"].as_u64().unwrap_or(0),
        })
        .collect()
}

/// Prints the sum of each measured crate, and its weakest files.
fn judge(files: &[Lines]) -> Result<()> {
    let mut below = Vec::new();
    for name in MEASURED {
        let sources = format!("/{name}/src/");
        let mut own: Vec<&Lines> = files
            .iter()
            .filter(|file| file.path.contains(&sources))
            .collect();
        let (run, all) = own
            .iter()
            .fold((0, 0), |(run, all), file| (run + file.run, all + file.all));
        let share = percent(run, all);
        println!("{name}: {share:.1} % of {all} lines");
        own.sort_by(|a, b| percent(a.run, a.all).total_cmp(&percent(b.run, b.all)));
        for file in own.iter().take(5) {
            println!("  {:5.1} %  {}", percent(file.run, file.all), file.path);
        }
        if share < FLOOR {
            below.push(name);
        }
    }
    if !below.is_empty() {
        bail!("below {FLOOR} %: {}", below.join(", "));
    }
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "line counts are far below 2^52")]
fn percent(run: u64, all: u64) -> f64 {
    if all == 0 {
        0.0
    } else {
        run as f64 * 100.0 / all as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crate_without_lines_or_below_the_floor_fails() {
        let file = |name: &str, run| Lines {
            path: format!("/somewhere/{name}/src/lib.rs"),
            run,
            all: 100,
        };
        let both = |core, storage| {
            judge(&[
                file("ratatoskr-core", core),
                file("ratatoskr-storage", storage),
            ])
            .is_ok()
        };
        assert!(both(90, 100));
        assert!(!both(89, 100));
        assert!(!both(100, 0));
        assert!(judge(&[]).is_err());
    }
}
