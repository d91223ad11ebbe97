//! How far a long verb has come: on stderr, and only on a terminal.

use std::{io::IsTerminal as _, time::Duration};

use indicatif::{ProgressBar, ProgressStyle};

/// A bar where the end is known, a counter where it is not, nothing where nobody looks.
#[derive(Debug)]
pub(crate) struct Progress {
    bar: ProgressBar,
}

impl Progress {
    /// Counts bytes up to `total`, if that is known.
    pub(crate) fn bytes(total: Option<u64>) -> Self {
        Self::new(
            total,
            "{bar:30} {bytes}/{total_bytes}  {bytes_per_sec}  {eta} left",
            "{spinner} {bytes}  {bytes_per_sec}",
        )
    }

    /// Counts records up to `total`, if that is known.
    pub(crate) fn records(total: Option<u64>) -> Self {
        Self::new(
            total,
            "{bar:30} {human_pos}/{human_len} records  {per_sec}  {eta} left",
            "{spinner} {human_pos} records  {per_sec}",
        )
    }

    fn new(total: Option<u64>, bounded: &str, open: &str) -> Self {
        if !std::io::stderr().is_terminal() {
            return Self {
                bar: ProgressBar::hidden(),
            };
        }
        let (bar, template) = match total {
            Some(total) => (ProgressBar::new(total), bounded),
            None => (ProgressBar::no_length(), open),
        };
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        bar.enable_steady_tick(Duration::from_millis(200));
        Self { bar }
    }

    /// This much more is done.
    pub(crate) fn advance(&self, by: u64) {
        self.bar.inc(by);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
