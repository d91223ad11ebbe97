//! `cargo xtask dependencies`: the crates depend on one another in one direction only, and core
//! opens no file, no socket and reads no clock.
//!
//! ```text
//! server ──→ kafka, cluster, client, storage ──→ core
//! ```

use std::fs;

use anyhow::{Context, Result, bail};

use crate::{
    process::{cargo, output_of, root},
    workspace,
};

/// Which crates of this workspace each crate may need. A crate that is not here may need all.
const ALLOWED: [(&str, &[&str]); 7] = [
    ("ratatoskr-core", &[]),
    ("ratatoskr-storage", &["ratatoskr-core"]),
    ("ratatoskr-client", &["ratatoskr-core"]),
    ("ratatoskr-kafka", &["ratatoskr-core"]),
    ("ratatoskr-cluster", &["ratatoskr-core"]),
    ("custom-backend", &["ratatoskr-core"]),
    (
        "xtask",
        &[
            "ratatoskr-core",
            "ratatoskr-client",
            "ratatoskr-server",
            "ratatoskr-storage",
        ],
    ),
];

/// Crates that open files or sockets: core must not need them, not even through another crate.
const OUTSIDE_WORLD: [&str; 9] = [
    "mio", "socket2", "async-io", "polling", "tempfile", "memmap2", "rustix", "hyper", "rustls",
];

/// Features of tokio that core must not turn on.
const OUTSIDE_FEATURES: [&str; 4] = ["fs", "net", "process", "full"];

/// What core's sources must not name.
const OUTSIDE_NAMES: [&str; 5] = [
    "std::fs",
    "std::net",
    "std::process::Command",
    "SystemTime",
    "Instant::now",
];
/// Its timers are paused in tests, so a file that takes its `Instant` from here may ask for the time.
const TIMERS: &str = "tokio::time";

/// # Errors
/// A crate needs what it must not.
pub(crate) fn run() -> Result<()> {
    let mut wrong = Vec::new();
    for package in workspace::packages()? {
        let Some((_, allowed)) = ALLOWED.iter().find(|(name, _)| *name == package.name) else {
            continue;
        };
        for needed in &package.needs {
            if !allowed.contains(&needed.as_str()) {
                wrong.push(format!("{} must not depend on {needed}", package.name));
            }
        }
    }
    let tree = output_of(&mut cargo(
        "tree --package ratatoskr-core --all-features --edges normal,features --prefix none",
    ))?;
    wrong.extend(outside_crates(&tree));
    for path in workspace::files(&["ratatoskr-core/src/*.rs"])? {
        let text = fs::read_to_string(root().join(&path)).with_context(|| path.clone())?;
        wrong.extend(outside_names(&path, &text));
    }
    if !wrong.is_empty() {
        bail!(
            "dependencies point the wrong way:\n  {}",
            wrong.join("\n  ")
        );
    }
    println!("dependencies point one way");
    Ok(())
}

/// What `cargo tree` with features says that core must not need.
fn outside_crates(tree: &str) -> Vec<String> {
    let mut found: Vec<String> = tree
        .lines()
        .filter_map(|line| {
            let mut words = line.split_whitespace();
            let name = words.next()?;
            if OUTSIDE_WORLD.contains(&name) {
                return Some(format!("ratatoskr-core must not need {name}"));
            }
            let feature = line.strip_prefix("tokio feature \"")?.split('"').next()?;
            OUTSIDE_FEATURES
                .contains(&feature)
                .then(|| format!("ratatoskr-core must not turn on tokio's feature {feature}"))
        })
        .collect();
    found.sort();
    found.dedup();
    found
}

/// What the code of core names that it must not; comments may.
fn outside_names(path: &str, text: &str) -> Vec<String> {
    let timers = text.contains(TIMERS);
    let code = text
        .lines()
        .zip(1..)
        .filter(|(line, _)| !line.trim_start().starts_with("//"));
    code.flat_map(|(line, number)| {
        OUTSIDE_NAMES
            .iter()
            .filter(move |name| line.contains(**name) && !(timers && **name == "Instant::now"))
            .map(move |name| format!("{path}:{number}: core must not use {name}"))
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crate_that_opens_sockets_is_found_in_the_tree() {
        let tree = "ratatoskr-core v0.1.0\nbytes v1.11.1\nmio v1.0.0\nmio v1.0.0 (*)\n\
                    tokio feature \"net\"\ntokio feature \"sync\"";
        assert_eq!(
            outside_crates(tree),
            [
                "ratatoskr-core must not need mio",
                "ratatoskr-core must not turn on tokio's feature net"
            ]
        );
    }

    #[test]
    fn names_count_in_code_and_not_in_comments() {
        let text = "//! No `std::fs` here.\nuse std::fs::File;\n";
        assert_eq!(
            outside_names("a.rs", text),
            ["a.rs:2: core must not use std::fs"]
        );
        assert_eq!(outside_names("a.rs", "Instant::now()").len(), 1);
        let timers = "use tokio::time::Instant;\nInstant::now();\n";
        assert_eq!(outside_names("a.rs", timers), [""; 0]);
    }
}
