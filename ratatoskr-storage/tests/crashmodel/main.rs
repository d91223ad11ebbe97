//! Crashes simulated machines in every way that disks allow, recovers, and checks that nothing that
//! was promised is lost and nothing is there that nobody asked for.
//!
//! `CRASHMODEL_SEED`, `CRASHMODEL_COUNT` (states) and `CRASHMODEL_MINUTES` say how much;
//! `cargo xtask crashmodel` sets them; `CRASHMODEL_TRACE` prints every change of the disk. The planted
//! bugs prove that the model would notice.
#![cfg(all(feature = "sim", feature = "planted-bugs"))]

mod engine;
mod history;
mod run;

use std::{
    env,
    time::{Duration, Instant},
};

use ratatoskr_storage::planted::{Bug, plant};

/// States to check where nobody says how many.
const STATES: u64 = 1_000;
/// Runs in which a planted bug has to show.
const RUNS_UNTIL_CAUGHT: u64 = 30;

fn setting(name: &str) -> Option<u64> {
    let value = env::var(format!("CRASHMODEL_{name}")).ok()?;
    Some(value.parse().expect("a number"))
}

#[test]
fn nothing_promised_is_lost_in_a_crash() {
    let seed = setting("SEED").unwrap_or_else(|| fastrand::u64(..) >> 16);
    let count = setting("COUNT");
    let minutes = setting("MINUTES").map(|minutes| Duration::from_secs(60 * minutes));
    let count = count.unwrap_or(minutes.map_or(STATES, |_| u64::MAX));
    let start = Instant::now();
    let mut checked = 0;
    let mut runs = 0;
    while checked < count && minutes.is_none_or(|minutes| start.elapsed() < minutes) {
        let seed = seed.wrapping_add(runs);
        match run::run(seed) {
            Ok(states) => checked += states,
            Err(broken) => {
                panic!("{broken}\nrepeat with: cargo xtask crashmodel --seed {seed} --count 1")
            }
        }
        runs += 1;
    }
    println!(
        "crashmodel: {checked} states of {runs} runs from seed {seed} in {:.1} s, nothing lost",
        start.elapsed().as_secs_f64()
    );
}

/// Plants a bug and runs until the model notices.
fn is_caught(bug: Bug) {
    plant(Some(bug));
    let caught = (0..RUNS_UNTIL_CAUGHT).find_map(|seed| Some((seed, run::run(seed).err()?)));
    plant(None);
    let (seed, broken) = caught.unwrap_or_else(|| panic!("{bug:?} was not noticed"));
    println!("{bug:?} was noticed in run {seed}: {broken}");
}

#[test]
fn an_acknowledgement_before_the_sync_is_caught() {
    is_caught(Bug::AckBeforeSync);
}

#[test]
fn a_skipped_directory_sync_is_caught() {
    is_caught(Bug::SkippedDirectorySync);
}

#[test]
fn a_stale_frame_of_a_recycled_file_is_caught() {
    is_caught(Bug::StaleFrameAccepted);
}

#[test]
fn going_on_behind_a_torn_frame_is_caught() {
    is_caught(Bug::CutAtLastValid);
}

#[test]
fn a_batch_that_was_not_verified_is_caught() {
    is_caught(Bug::BatchCrcSkipped);
}

#[test]
fn a_checkpoint_of_what_was_not_synced_is_caught() {
    is_caught(Bug::PartitionNotSynced);
}

#[test]
fn a_file_put_in_place_unsynced_is_caught() {
    is_caught(Bug::ReplacedUnsynced);
}

#[test]
fn recycling_before_the_checkpoint_is_caught() {
    is_caught(Bug::RecycledTooEarly);
}

#[test]
fn a_trim_that_is_not_logged_is_caught() {
    is_caught(Bug::TrimNotLogged);
}

#[test]
fn a_compacted_segment_put_in_place_unsynced_is_caught() {
    is_caught(Bug::CompactedUnsynced);
}

#[test]
fn segments_removed_before_what_replaces_them_lasts_are_caught() {
    is_caught(Bug::ReplacedTooEarly);
}

#[test]
fn a_batch_submitted_outside_the_lock_is_caught() {
    is_caught(Bug::SubmittedOutsideLock);
}
