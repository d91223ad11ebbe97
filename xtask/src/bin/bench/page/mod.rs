//! What a reader gets of results: a page that needs nothing else, for light and dark; the same tables
//! as Markdown, and each chart as a file of its own.

mod bars;
mod chart;
mod curves;
mod html;
mod markdown;
mod svg;

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};

use crate::{against::Difference, report::RowReport};

/// Where the charts are, in the directory of the results.
const CHARTS: &str = "charts";

/// All that there is to tell.
#[derive(Debug, Default)]
pub(crate) struct Pages {
    /// What is kept of each row.
    pub(crate) rows: Vec<RowReport>,
    /// What was compared with another revision.
    pub(crate) differences: Vec<Difference>,
    /// What was not measured, and why.
    pub(crate) skipped: Vec<String>,
}

impl Pages {
    /// Writes `index.html`, `results.md` and `charts/*.svg` into the directory, and answers where the
    /// first is.
    ///
    /// # Errors
    /// Something cannot be written.
    pub(crate) fn write(&self, directory: &Path) -> Result<PathBuf> {
        let write = |path: &Path, text: String| {
            fs::write(path, text).with_context(|| path.display().to_string())
        };
        let charts = directory.join(CHARTS);
        fs::create_dir_all(&charts).with_context(|| charts.display().to_string())?;
        for row in &self.rows {
            for chart in chart::charts(row) {
                write(&charts.join(&chart.file), chart.alone())?;
            }
        }
        write(&directory.join("results.md"), markdown::tables(&self.rows))?;
        let page = directory.join("index.html");
        write(&page, html::page(self))?;
        Ok(page)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::reports;

    #[test]
    fn every_row_is_on_the_page_in_the_tables_and_in_charts() {
        let directory = tempfile::tempdir().unwrap();
        let pages = Pages {
            rows: reports(),
            ..Pages::default()
        };
        let page = pages.write(directory.path()).unwrap();
        let read = |path: &Path| fs::read_to_string(path).unwrap();
        let tables = read(&directory.path().join("results.md"));
        for text in [read(&page), tables] {
            assert!(text.contains("X1") && text.contains("X2"), "{text}");
        }
        let chart = directory.path().join("charts/x1-rate-topics.svg");
        assert!(read(&chart).contains("<polyline"));
        assert!(directory.path().join("charts/x2-rate-topics.svg").exists());
    }
}
