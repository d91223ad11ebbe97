//! `cargo xtask tidy`: house rules that no compiler checks.
//!
//! A rule is a function from a file to what is wrong in it. All files that git tracks are read
//! once, and every finding is printed before the command fails.

mod links;
mod places;
mod sources;

use std::fs;

use anyhow::{Result, bail};

use crate::{process::root, workspace};

/// A file of the repository.
pub(crate) struct File {
    /// From the root, with `/`.
    pub(crate) path: String,
    /// Its text.
    pub(crate) text: String,
}

impl File {
    /// What follows the last dot of the path.
    fn extension(&self) -> &str {
        self.path.rsplit_once('.').map_or("", |(_, after)| after)
    }

    /// The numbered lines, from 1.
    fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.text
            .lines()
            .enumerate()
            .map(|(at, line)| (at + 1, line))
    }
}

/// # Errors
/// Any rule is broken.
pub(crate) fn run() -> Result<()> {
    let paths = workspace::files(&["--cached", "--others", "--exclude-standard"])?;
    let files: Vec<File> = paths
        .iter()
        .filter(|path| !path.starts_with("testdata/"))
        // What is neither text nor there any more has nothing to say here.
        .filter_map(|path| {
            Some(File {
                text: fs::read_to_string(root().join(path)).ok()?,
                path: path.clone(),
            })
        })
        .collect();
    let mut wrong = Vec::new();
    for file in &files {
        wrong.extend(sources::check(file));
        wrong.extend(places::check(file));
    }
    wrong.extend(links::check(&files, &paths));
    if !wrong.is_empty() {
        bail!("{} findings:\n  {}", wrong.len(), wrong.join("\n  "));
    }
    println!("{} files are tidy", files.len());
    Ok(())
}
