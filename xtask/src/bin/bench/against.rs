//! Two revisions, interleaved: old new, new old, and so on, so that a machine that becomes slower or
//! faster meanwhile does so for both. The load is this revision's for both servers.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail, ensure};
use serde::Serialize;
use tokio::process::Command;

use crate::{
    format,
    measure::Bench,
    program::number,
    row::{Figure, Row, Series, Unit, Values},
    statistics::{Comparison, Spread},
    warm,
};

/// Pairs of runs, at least; fewer say too little.
const PAIRS_MIN: usize = 10;
/// The fewest that have an interval at all.
const PAIRS_MIN_QUICK: usize = 6;
/// Seconds of a run, at least.
const SECONDS_MIN: u32 = 2;

/// A point measured at two revisions.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Difference {
    /// The old revision.
    pub(crate) against: String,
    /// The row.
    row: String,
    /// The point, in words.
    point: String,
    /// The figure's path in the answer.
    figure: String,
    /// What it is counted in.
    unit: Unit,
    /// The old revision's figure.
    old: Spread,
    /// The new one's.
    new: Spread,
    /// What the pairs say.
    comparison: Comparison,
}

impl Difference {
    /// The columns of a table of differences.
    pub(crate) const HEAD: [&str; 7] = [
        "row",
        "point",
        "figure",
        "old",
        "new",
        "new ÷ old (95 %)",
        "verdict",
    ];

    /// A difference in these columns.
    pub(crate) fn cells(&self) -> [String; 7] {
        let comparison = &self.comparison;
        let interval = match comparison.interval {
            Some((low, high)) => format!("{} – {}", format::ratio(low), format::ratio(high)),
            None => "too few pairs".to_owned(),
        };
        let better = (comparison.ratio > 1.0) == self.unit.more_is_better();
        let verdict = match (comparison.differs, better) {
            (false, _) => "no difference",
            (true, true) => "better",
            (true, false) => "worse",
        };
        [
            self.row.clone(),
            self.point.clone(),
            self.figure.clone(),
            format::value(self.old.median, self.unit),
            format::value(self.new.median, self.unit),
            format!("{} ({interval})", format::ratio(comparison.ratio)),
            verdict.to_owned(),
        ]
    }
}

/// The server of another revision, built in a work tree of its own under `directory`.
///
/// # Errors
/// There is no such revision, or it does not build.
pub(crate) async fn build(revision: &str, directory: &Path) -> Result<PathBuf> {
    fs::create_dir_all(directory).with_context(|| directory.display().to_string())?;
    let commit = format!("{revision}^{{commit}}");
    let output = git(&["rev-parse", "--short", "--verify", &commit])
        .output()
        .await?;
    ensure!(output.status.success(), "there is no revision {revision}");
    let hash = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    let kept = directory.join(format!("ratatoskr-{hash}"));
    if kept.is_file() {
        return Ok(kept);
    }
    let tree = directory.join("tree");
    let place = tree.to_str().context("a path in UTF-8")?;
    // One may be left from a run that was interrupted.
    let _ = git(&["worktree", "remove", "--force", place])
        .output()
        .await;
    run(&mut git(&[
        "worktree", "add", "--detach", "--quiet", place, &hash,
    ]))
    .await?;
    let built = compile(&tree, &directory.join("build")).await;
    let removed = run(&mut git(&["worktree", "remove", "--force", place])).await;
    fs::copy(built?, &kept).context("keeping the program")?;
    removed?;
    Ok(kept)
}

async fn compile(tree: &Path, target: &Path) -> Result<PathBuf> {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo
        .args(["build", "--release", "--locked"])
        .args(["--package", "ratatoskr-server", "--bin", "ratatoskr"])
        .env("CARGO_TARGET_DIR", target)
        .current_dir(tree);
    run(&mut cargo).await?;
    Ok(target.join("release/ratatoskr"))
}

fn git(words: &[&str]) -> Command {
    let mut command = Command::new("git");
    command.args(words).current_dir(env!("CARGO_MANIFEST_DIR"));
    command
}

async fn run(command: &mut Command) -> Result<()> {
    let status = command.status().await?;
    if !status.success() {
        bail!("{:?} ended with {status}", command.as_std());
    }
    Ok(())
}

/// Compares this revision's server with the one of `old`, over the headline series of these rows.
///
/// # Errors
/// A run fails.
pub(crate) async fn compare(
    bench: &Bench,
    rows: &[Row],
    against: &str,
    old: &Path,
) -> Result<Vec<Difference>> {
    let mut differences = Vec::new();
    for row in rows {
        for series in row.series.iter().filter(|series| series.headline) {
            for x in series.points(bench.quick) {
                eprintln!("{} {}, against {against}", row.id, series.label(*x));
                let pairs = pairs(bench, series, *x, old)
                    .await
                    .with_context(|| format!("{} {}", row.id, series.label(*x)))?;
                let figure = series.figures.first().context("a series has figures")?;
                let difference = difference(&row.id, &series.label(*x), figure, against, &pairs);
                differences.extend(difference);
            }
        }
    }
    Ok(differences)
}

/// The first figure of the series at the old and the new revision, pair by pair.
async fn pairs(bench: &Bench, series: &Series, x: u32, old: &Path) -> Result<Vec<(f64, f64)>> {
    let new = bench.programs.path("ratatoskr");
    let (fewest, seconds) = if bench.quick {
        (PAIRS_MIN_QUICK, bench.seconds)
    } else {
        (PAIRS_MIN, bench.seconds.max(SECONDS_MIN))
    };
    let values = Values {
        x,
        seconds,
        highest: 0,
    };
    let figure = series.figures.first().context("a series has figures")?;
    warm::memory();
    let mut pairs = Vec::new();
    for number_of_pair in 0..bench.repetitions.max(fewest) {
        let old_first = number_of_pair % 2 == 0;
        let mut pair = [0.0; 2];
        for old_now in [old_first, !old_first] {
            let program = if old_now { old } else { &new };
            warm::page_cache(&bench.directory, bench.quick)?;
            let answer = bench.ours(series, values, program).await?;
            let value = number(&answer, &figure.of);
            pair[usize::from(!old_now)] =
                value.with_context(|| format!("an answer has no {}", figure.of))?;
        }
        pairs.push(pair.into());
    }
    Ok(pairs)
}

fn difference(
    row: &str,
    point: &str,
    figure: &Figure,
    against: &str,
    pairs: &[(f64, f64)],
) -> Option<Difference> {
    let ratios: Vec<_> = pairs.iter().map(|(old, new)| new / old).collect();
    let (old, new): (Vec<_>, Vec<_>) = pairs.iter().copied().unzip();
    Some(Difference {
        against: against.to_owned(),
        row: row.to_owned(),
        point: point.to_owned(),
        figure: figure.of.clone(),
        unit: figure.unit,
        old: Spread::of(&old)?,
        new: Spread::of(&new)?,
        comparison: Comparison::of(&ratios)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(unit: &str, pairs: &[(f64, f64)]) -> Difference {
        let figure = toml::from_str(&format!("of = \"rate\"\nunit = \"{unit}\"")).unwrap();
        difference("X1", "os", &figure, "main", pairs).unwrap()
    }

    impl Difference {
        /// One to show.
        pub(crate) fn example() -> Self {
            made("records_per_second", &[(1e6, 1.3e6); 10])
        }
    }

    #[test]
    fn a_difference_is_told_as_the_unit_has_it() {
        let verdict = |unit: &str, pairs: &[(f64, f64)]| made(unit, pairs).cells()[6].clone();
        assert_eq!(verdict("records_per_second", &[(1e6, 1.3e6); 10]), "better");
        assert_eq!(verdict("records_per_second", &[(1e6, 0.8e6); 10]), "worse");
        assert_eq!(verdict("us", &[(100.0, 130.0); 10]), "worse");
        assert_eq!(verdict("us", &[(100.0, 70.0); 10]), "better");
        assert_eq!(verdict("us", &[(100.0, 95.0); 10]), "no difference");
        assert_eq!(verdict("us", &[(100.0, 70.0); 4]), "no difference");
        let few = made("us", &[(100.0, 70.0); 4]);
        assert_eq!(few.cells()[5], "0.70 (too few pairs)");
        assert_eq!(Difference::example().cells()[5], "1.30 (1.30 – 1.30)");
    }

    #[tokio::test]
    async fn an_unknown_revision_is_told() {
        let directory = tempfile::tempdir().unwrap();
        let refused = build("no-such-revision", directory.path())
            .await
            .unwrap_err();
        assert_eq!(refused.to_string(), "there is no revision no-such-revision");
    }
}
