//! What the workspace consists of: its files as git knows them, its crates as cargo does.

use std::process::Command;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::process::{cargo, output_of, root};

/// A crate of the workspace.
pub(crate) struct Package {
    /// Its name.
    pub(crate) name: String,
    /// Its features, optional dependencies that are not features left out.
    pub(crate) features: Vec<String>,
    /// The crates of this workspace that it needs to build, development dependencies left out.
    pub(crate) needs: Vec<String>,
    /// Its example programs.
    pub(crate) examples: Vec<String>,
}

/// The crates of the workspace, sorted by name.
///
/// # Errors
/// `cargo metadata` fails.
pub(crate) fn packages() -> Result<Vec<Package>> {
    let text = output_of(&mut cargo("metadata --no-deps --format-version 1"))?;
    let metadata: Value = serde_json::from_str(&text).context("output of cargo metadata")?;
    let packages = list(&metadata["packages"]);
    let names: Vec<String> = packages.iter().map(|p| text_of(&p["name"])).collect();
    let mut all: Vec<Package> = packages
        .iter()
        .map(|package| Package {
            name: text_of(&package["name"]),
            features: package["features"]
                .as_object()
                .map(|features| features.keys().cloned().collect())
                .unwrap_or_default(),
            needs: list(&package["dependencies"])
                .iter()
                .filter(|dependency| dependency["kind"] != "dev")
                .map(|dependency| text_of(&dependency["name"]))
                .filter(|name| names.contains(name))
                .collect(),
            examples: list(&package["targets"])
                .iter()
                .filter(|target| list(&target["kind"]).contains(&Value::from("example")))
                .map(|target| text_of(&target["name"]))
                .collect(),
        })
        .collect();
    all.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(all)
}

/// Paths from the root, as `git ls-files` lists them with these options; ignored files are left out
/// except where the options ask for others.
///
/// # Errors
/// This is not a git work tree.
pub(crate) fn files(options: &[&str]) -> Result<Vec<String>> {
    let text = output_of(
        Command::new("git")
            .arg("ls-files")
            .args(options)
            .current_dir(root()),
    )?;
    let mut files: Vec<String> = text.lines().map(ToOwned::to_owned).collect();
    files.sort();
    files.dedup();
    Ok(files)
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn text_of(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
