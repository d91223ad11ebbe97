//! How large the log may get.

use super::GROUP_ALIGNMENT;

/// Sizes of the write-ahead log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WalOptions {
    /// Bytes of one file; a batch that is larger gets a file of its own size. Default 64 MiB.
    pub file_bytes: u64,
    /// Bytes of the first file of a data directory, so that a small broker stays small on disk.
    /// Default 4 MiB.
    pub first_file_bytes: u64,
    /// Bytes of all files that still hold what no checkpoint covers, and of the one ahead. Producers
    /// wait for a checkpoint beyond it. Default 256 MiB.
    pub wal_bytes_max: u64,
    /// Bytes of batches in one group, unless it is a single batch. Default 8 MiB.
    pub group_bytes_max: u64,
    /// Bytes of batches that wait for a group; beyond it submissions are refused with a retryable
    /// error. Default 256 MiB.
    pub queue_bytes_max: u64,
}

impl Default for WalOptions {
    fn default() -> Self {
        Self {
            file_bytes: 64 << 20,
            first_file_bytes: 4 << 20,
            wal_bytes_max: 256 << 20,
            group_bytes_max: 8 << 20,
            queue_bytes_max: 256 << 20,
        }
    }
}

/// Sizes that cannot be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{option} = {value}: expected {expected}")]
pub struct InvalidWalOptions {
    /// Which option.
    pub option: &'static str,
    /// What it was set to.
    pub value: u64,
    /// What would have been right.
    pub expected: &'static str,
}

impl WalOptions {
    /// Checks the sizes together.
    ///
    /// # Errors
    /// [`InvalidWalOptions`] naming the first one that is wrong.
    pub fn check(&self) -> Result<(), InvalidWalOptions> {
        let fail = |option, value, expected| {
            Err(InvalidWalOptions {
                option,
                value,
                expected,
            })
        };
        if self.file_bytes == 0 || !self.file_bytes.is_multiple_of(GROUP_ALIGNMENT) {
            return fail("file_bytes", self.file_bytes, "a positive multiple of 4096");
        }
        if self.first_file_bytes == 0 || !self.first_file_bytes.is_multiple_of(GROUP_ALIGNMENT) {
            return fail(
                "first_file_bytes",
                self.first_file_bytes,
                "a positive multiple of 4096",
            );
        }
        if self.wal_bytes_max < self.file_bytes.saturating_mul(2) {
            return fail(
                "wal_bytes_max",
                self.wal_bytes_max,
                "room for at least two files",
            );
        }
        if self.group_bytes_max == 0 {
            return fail("group_bytes_max", self.group_bytes_max, "at least 1");
        }
        if self.queue_bytes_max == 0 {
            return fail("queue_bytes_max", self.queue_bytes_max, "at least 1");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Change = fn(&mut WalOptions);

    #[test]
    fn sizes_are_checked_at_each_edge() {
        let good = WalOptions::default();
        assert_eq!(good.check(), Ok(()));
        let changes: [(&str, Change); 7] = [
            ("file_bytes", |o| o.file_bytes = 0),
            ("file_bytes", |o| o.file_bytes += 1),
            ("first_file_bytes", |o| o.first_file_bytes = 0),
            ("first_file_bytes", |o| o.first_file_bytes = 4095),
            ("wal_bytes_max", |o| o.wal_bytes_max = 2 * o.file_bytes - 1),
            ("group_bytes_max", |o| o.group_bytes_max = 0),
            ("queue_bytes_max", |o| o.queue_bytes_max = 0),
        ];
        for (option, change) in changes {
            let mut options = good;
            change(&mut options);
            assert_eq!(options.check().unwrap_err().option, option);
        }
        let smallest = WalOptions {
            wal_bytes_max: 2 * good.file_bytes,
            ..good
        };
        assert_eq!(smallest.check(), Ok(()));
    }
}
