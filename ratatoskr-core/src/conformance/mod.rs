//! The conformance kit: a test suite that certifies a storage backend.
//!
//! Each case checks a few sentences of the contract in [`storage`](crate::storage) and is named
//! after them. A backend's tests call [`conformance_tests!`](crate::conformance_tests), which makes
//! one `#[tokio::test]` of each case:
//!
//! ```text
//! // A backend whose records are gone with the process:
//! ratatoskr_core::conformance_tests!(volatile: || async { Arc::new(MyStorage::new()) });
//!
//! // A backend that keeps them; opening again finds what was there. The expression is evaluated
//! // anew for each case, and what the closure owns lives as long as the case.
//! ratatoskr_core::conformance_tests!(persistent: {
//!     let directory = tempfile::tempdir().unwrap();
//!     move || {
//!         let storage = MyStorage::open(directory.path());
//!         async { Arc::new(storage.await.unwrap()) }
//!     }
//! });
//! ```
//! The crate that calls it needs `tokio` with the features `macros` and `rt`.
//!
//! What is expected of a log is said by [`Model`], a log as a plain `Vec` of batches: cases compare
//! a partition with it, and [`random_operations`](model_based::random_operations) drives both with
//! any mixture of calls. A case fails by panicking, and says what it expected and what it got.
#![expect(
    clippy::missing_panics_doc,
    reason = "a case panics where the backend breaks the contract"
)]

pub mod appending;
mod batches;
pub mod cancellation;
pub mod catalog;
mod compactable;
pub mod compacting;
pub mod concurrency;
mod log;
mod model;
pub mod model_based;
pub mod places;
pub mod reading;
pub mod reopening;
pub mod trimming;

use std::{fmt, future::Future, pin::Pin, sync::Arc};

pub use batches::BatchSpec;
pub use model::Model;

use crate::storage::Storage;

type Opening = Pin<Box<dyn Future<Output = Arc<dyn Storage>> + Send>>;

/// A backend under test: how to open it.
pub struct Subject {
    open: Box<dyn Fn() -> Opening + Send + Sync>,
    persistent: bool,
}

impl Subject {
    /// A backend whose every opening is empty.
    pub fn volatile<S, F>(open: impl Fn() -> F + Send + Sync + 'static) -> Self
    where
        S: Storage + 'static,
        F: Future<Output = Arc<S>> + Send + 'static,
    {
        Self {
            open: Box::new(move || {
                let opening = open();
                Box::pin(async move { opening.await as Arc<dyn Storage> })
            }),
            persistent: false,
        }
    }

    /// A backend that is empty when it is opened first, and later finds what was there. Before it
    /// is opened again, everything of the opening before has been dropped.
    pub fn persistent<S, F>(open: impl Fn() -> F + Send + Sync + 'static) -> Self
    where
        S: Storage + 'static,
        F: Future<Output = Arc<S>> + Send + 'static,
    {
        Self {
            persistent: true,
            ..Self::volatile(open)
        }
    }

    /// Opens the backend.
    pub async fn open(&self) -> Arc<dyn Storage> {
        (self.open)().await
    }

    /// Whether opening again finds what was there.
    pub const fn is_persistent(&self) -> bool {
        self.persistent
    }
}

impl fmt::Debug for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subject")
            .field("persistent", &self.persistent)
            .finish_non_exhaustive()
    }
}

/// One case of the kit.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    /// Its name, as that of the test it becomes.
    pub name: &'static str,
    /// Whether it opens the backend again, and so is for persistent ones alone.
    pub reopens: bool,
    run: for<'a> fn(&'a Subject) -> Pin<Box<dyn Future<Output = ()> + 'a>>,
}

impl Case {
    /// Runs the case; panics where the backend breaks the contract.
    pub async fn run(&self, subject: &Subject) {
        (self.run)(subject).await;
    }
}

/// Makes a test of each case of the kit. See [`conformance`](crate::conformance).
#[macro_export]
macro_rules! conformance_tests {
    (volatile: $open:expr) => {
        $crate::conformance_cases!(tests (volatile $open) any);
    };
    (persistent: $open:expr) => {
        $crate::conformance_cases!(tests (persistent $open) any);
        $crate::conformance_cases!(tests (persistent $open) reopening);
    };
}

/// The one list of the kit's cases, and what can be made of it.
#[doc(hidden)]
#[macro_export]
macro_rules! conformance_cases {
    ($make:ident $arguments:tt any) => {
        $crate::conformance_cases! {
            @$make $arguments
            catalog {
                capabilities_stay_the_same_and_support_the_default
                a_created_topic_is_there_and_empty
                creating_twice_opens_what_is_there
                a_taken_name_is_refused
                a_deleted_name_may_be_taken_again
                opening_twice_gives_the_same_topic
                opening_an_unknown_topic_is_refused
                an_update_shows_in_open_handles
                updating_twice_is_as_once
                updating_an_unknown_topic_is_refused
                partitions_never_shrink
                a_partition_beyond_the_count_is_unknown
                deleting_twice_is_as_once
                handles_of_a_deleted_topic_find_it_unknown
                slices_outlive_their_topic
                every_topic_is_listed_once
                topics_and_partitions_are_apart
            }
            appending {
                an_append_answers_where_it_went
                appending_nothing_changes_nothing
                what_is_appended_can_be_read_at_once
                batches_are_kept_byte_for_byte
                a_batch_below_the_log_end_is_refused_without_effect
                batches_are_appended_all_or_none
                gaps_are_allowed_beyond_the_log_end
                handles_share_one_log
                a_batch_may_be_larger_than_a_segment
            }
            reading {
                a_read_returns_every_batch_in_order
                a_read_within_a_batch_begins_with_it
                a_read_ends_before_until
                a_read_keeps_to_bytes_max
                the_first_batch_comes_whatever_its_size
                a_read_at_the_log_end_is_empty
                a_read_beyond_the_log_end_is_out_of_range
                a_read_below_the_log_start_is_out_of_range
                no_batch_is_split_across_slices
                reads_for_either_access_agree
                try_read_agrees_with_read
                a_time_finds_the_first_batch_that_reaches_it
                a_time_beyond_every_record_finds_nothing
            }
            trimming {
                a_trim_moves_the_log_start
                a_trim_never_moves_back
                a_trim_beyond_the_log_end_is_refused
                a_trim_within_a_batch_leaves_it_whole
                a_trim_to_the_log_end_leaves_an_empty_log
                a_trim_into_a_gap_is_allowed
                a_trimmed_batch_is_found_by_no_time
                slices_outlive_a_trim
            }
            places {
                bounds_are_those_of_a_committed_log
                bounds_never_go_back
                a_flush_covers_the_log_end
                statistics_count_every_batch
                segments_are_sealed_by_size
            }
            concurrency {
                readers_beside_an_appender_see_whole_batches_in_order
                readers_beside_a_trim_see_records_or_an_error
                flushes_beside_an_appender_cover_what_was_there
                partitions_are_appended_to_at_once
            }
            cancellation {
                dropped_changes_of_a_topic_are_there_or_not
                dropped_reads_change_nothing
                dropped_trims_and_flushes_leave_a_whole_log
            }
            compacting {
                the_latest_record_of_each_key_is_kept
                bounds_and_reads_outlive_a_compaction
                nothing_beyond_until_is_compacted
                compaction_goes_on_where_its_memory_ended
                tombstones_stay_for_their_time
                wanted_headers_outlive_a_compaction
                compacting_again_changes_nothing
                compressed_batches_are_compacted
                slices_outlive_a_compaction
                a_trimmed_log_is_compacted
                appends_and_reads_go_on_beside_a_compaction
                dropped_compactions_leave_a_whole_log
            }
            model_based {
                random_operations
            }
        }
    };
    ($make:ident $arguments:tt reopening) => {
        $crate::conformance_cases! {
            @$make $arguments
            reopening {
                topics_are_there_after_reopening
                updates_are_there_after_reopening
                deleted_topics_stay_deleted
                flushed_records_are_there_after_reopening
                unflushed_records_are_there_whole_or_not
                the_log_start_is_there_after_reopening
                an_emptied_log_keeps_its_place
                a_log_goes_on_after_reopening
                times_are_found_after_reopening
                reopening_twice_is_as_once
                random_operations_and_reopenings
            }
            compacting {
                compacted_logs_are_there_after_reopening
            }
        }
    };
    (@tests ($kind:ident $open:expr) $($group:ident { $($case:ident)* })*) => {
        $($(
            #[tokio::test]
            async fn $case() {
                let subject = $crate::conformance::Subject::$kind($open);
                $crate::conformance::$group::$case(&subject).await;
            }
        )*)*
    };
    (@table ($reopens:literal) $($group:ident { $($case:ident)* })*) => {
        &[$($(
            Case {
                name: stringify!($case),
                reopens: $reopens,
                run: |subject| Box::pin($group::$case(subject)),
            },
        )*)*]
    };
}

/// Every case that needs one opening only.
pub const CASES: &[Case] = conformance_cases!(table (false) any);
/// Every case that opens the backend again.
pub const REOPENING_CASES: &[Case] = conformance_cases!(table (true) reopening);
