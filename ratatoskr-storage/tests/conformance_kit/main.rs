//! The conformance kit catches what it is there to catch: backends that break the contract in one
//! way each must fail the case that is named after it.

mod reopened;
mod sabotaged;

use std::{
    sync::{Arc, Mutex},
    thread,
};

use ratatoskr_core::conformance::{CASES, Case, REOPENING_CASES, Subject};
use ratatoskr_storage::MemoryStorage;

use reopened::Loss;
use sabotaged::{Fault, Sabotaged};

/// Each way to break the contract, and the case that has to notice.
const SABOTAGES: &[(Fault, &str)] = &[
    (Fault::AppendLost, "what_is_appended_can_be_read_at_once"),
    (Fault::AppendInHalves, "batches_are_appended_all_or_none"),
    (
        Fault::AppendShownInParts,
        "readers_beside_an_appender_see_whole_batches_in_order",
    ),
    (Fault::LogEndOffByOne, "bounds_are_those_of_a_committed_log"),
    (Fault::BoundsStale, "what_is_appended_can_be_read_at_once"),
    (
        Fault::BatchesReordered,
        "a_read_returns_every_batch_in_order",
    ),
    (Fault::ByteChanged, "batches_are_kept_byte_for_byte"),
    (Fault::LeaderEpochLost, "batches_are_kept_byte_for_byte"),
    (Fault::BatchSplit, "no_batch_is_split_across_slices"),
    (Fault::EndOffsetShort, "a_read_returns_every_batch_in_order"),
    (Fault::UntilIgnored, "a_read_ends_before_until"),
    (Fault::BytesMaxIgnored, "a_read_keeps_to_bytes_max"),
    (
        Fault::FirstBatchTooLarge,
        "the_first_batch_comes_whatever_its_size",
    ),
    (Fault::TryReadIgnoresUntil, "try_read_agrees_with_read"),
    (
        Fault::TimeAfterInsteadOfAt,
        "a_time_finds_the_first_batch_that_reaches_it",
    ),
    (Fault::TrimIgnored, "a_trim_moves_the_log_start"),
    (Fault::TrimMovesBack, "a_trim_never_moves_back"),
    (
        Fault::TrimInSteps,
        "dropped_trims_and_flushes_leave_a_whole_log",
    ),
    (Fault::FlushLies, "a_flush_covers_the_log_end"),
    (Fault::StatisticsOffByOne, "statistics_count_every_batch"),
    (Fault::CreateReplaces, "creating_twice_opens_what_is_there"),
    (Fault::NameTakenOver, "a_taken_name_is_refused"),
    (Fault::UpdateUnseen, "an_update_shows_in_open_handles"),
    (Fault::ShrinkingAccepted, "partitions_never_shrink"),
    (Fault::DeleteNotIdempotent, "deleting_twice_is_as_once"),
    (
        Fault::DeletedStaysUsable,
        "handles_of_a_deleted_topic_find_it_unknown",
    ),
];

/// Each thing to lose on reopening, and the case that has to notice.
const LOSSES: &[(Loss, &str)] = &[
    (Loss::LastBatch, "flushed_records_are_there_after_reopening"),
    (Loss::OneByte, "flushed_records_are_there_after_reopening"),
    (
        Loss::PartOfABatch,
        "unflushed_records_are_there_whole_or_not",
    ),
    (Loss::LogStart, "the_log_start_is_there_after_reopening"),
    (Loss::EndOfEmptiedLog, "an_emptied_log_keeps_its_place"),
    (Loss::Topic, "topics_are_there_after_reopening"),
    (Loss::Update, "updates_are_there_after_reopening"),
    (Loss::Deletion, "deleted_topics_stay_deleted"),
];

fn case(name: &str) -> &'static Case {
    let mut cases = CASES.iter().chain(REOPENING_CASES);
    cases.find(|case| case.name == name).unwrap()
}

/// How the case panicked, if the subject does not pass.
fn failure(case: &'static Case, subject: Subject) -> Option<String> {
    let run = move || {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.build().unwrap();
        runtime.block_on(case.run(&subject));
    };
    let panic = thread::spawn(run).join().err()?;
    let message = panic.downcast_ref::<String>().cloned();
    Some(message.unwrap_or_default())
}

fn passes(case: &'static Case, subject: Subject) -> bool {
    failure(case, subject).is_none()
}

fn sabotaged(fault: Option<Fault>) -> Subject {
    Subject::volatile(move || async move {
        let inner = Arc::new(MemoryStorage::new());
        Arc::new(Sabotaged::new(inner, fault))
    })
}

/// A backend that seems to keep its topics: on reopening they are copied, but for what is lost.
fn reopened(loss: Option<Loss>) -> Subject {
    let last = Arc::new(Mutex::new(Arc::new(reopened::Kept::default())));
    Subject::persistent(move || {
        let last = Arc::clone(&last);
        async move {
            let before = Arc::clone(&last.lock().unwrap());
            let opened = Arc::new(before.reopen(loss).await);
            *last.lock().unwrap() = Arc::clone(&opened);
            opened
        }
    })
}

#[test]
fn an_honest_backend_passes_every_case() {
    for case in CASES {
        assert!(passes(case, sabotaged(None)), "{}", case.name);
        assert!(passes(case, reopened(None)), "{} (reopened)", case.name);
    }
    for case in REOPENING_CASES {
        assert!(passes(case, reopened(None)), "{}", case.name);
    }
}

#[test]
fn each_sabotaged_backend_fails_the_case_named_after_it() {
    let caught = |&&(fault, name): &&(Fault, &str)| !passes(case(name), sabotaged(Some(fault)));
    let missed: Vec<_> = SABOTAGES.iter().filter(|pair| !caught(pair)).collect();
    assert!(missed.is_empty(), "not caught: {missed:?}");
}

#[test]
fn each_loss_on_reopening_fails_the_case_named_after_it() {
    let caught = |&&(loss, name): &&(Loss, &str)| !passes(case(name), reopened(Some(loss)));
    let missed: Vec<_> = LOSSES.iter().filter(|pair| !caught(pair)).collect();
    assert!(missed.is_empty(), "not caught: {missed:?}");
}

#[test]
fn random_operations_find_most_of_what_is_wrong_with_a_log() {
    let finds = [
        Fault::AppendLost,
        Fault::AppendInHalves,
        Fault::LogEndOffByOne,
        Fault::BoundsStale,
        Fault::BatchesReordered,
        Fault::ByteChanged,
        Fault::LeaderEpochLost,
        Fault::BatchSplit,
        Fault::EndOffsetShort,
        Fault::UntilIgnored,
        Fault::BytesMaxIgnored,
        Fault::FirstBatchTooLarge,
        Fault::TryReadIgnoresUntil,
        Fault::TimeAfterInsteadOfAt,
        Fault::TrimIgnored,
        Fault::TrimMovesBack,
        Fault::FlushLies,
        Fault::StatisticsOffByOne,
    ];
    let random = case("random_operations");
    for fault in finds {
        assert!(!passes(random, sabotaged(Some(fault))), "{fault:?}");
    }
}

#[test]
fn a_failing_mixture_is_shown_small() {
    let random = case("random_operations");
    let shown = failure(random, sabotaged(Some(Fault::TrimIgnored))).unwrap();
    let operations = shown.matches("Trim {").count() + shown.matches("Append {").count();
    assert!(operations <= 3, "{shown}");
}
