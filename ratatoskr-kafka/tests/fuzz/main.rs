//! Requests of every API, changed at random, for compilers that libFuzzer cannot work with: the corpus
//! and the entry are those of `fuzz/`.
//!
//! `FUZZ_SEED`, `FUZZ_COUNT` (requests) and `FUZZ_MINUTES` say how much; `cargo xtask fuzz` sets them.
//! A request depends on its seed alone, and the seeds of a run follow one another.

#[path = "../../fuzz/entry.rs"]
mod entry;
mod mutation;

use std::{
    env, fs,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    path::Path,
    time::{Duration, Instant},
};

/// Knows how much was in use at most.
#[global_allocator]
static ALLOCATOR: peak_alloc::PeakAlloc = peak_alloc::PeakAlloc;

/// Far more than a request here needs, its broker included, and less than what it may ask for.
const PEAK_BYTES_MAX: usize = 100 << 20;
/// Requests where neither a number nor a time is asked for.
const COUNT_DEFAULT: u64 = 2_000;

fn option(name: &str) -> Option<u64> {
    let value = env::var(format!("FUZZ_{name}")).ok()?;
    Some(value.parse().expect("a number"))
}

/// The requests of the corpus, in the order of their names.
fn corpus() -> Vec<Vec<u8>> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/request");
    let files = fs::read_dir(directory).expect("the corpus");
    let mut paths: Vec<_> = files.map(|file| file.expect("a file").path()).collect();
    paths.sort();
    let read = paths.iter().map(|path| fs::read(path).expect("a request"));
    read.collect()
}

/// Does what the seed says.
fn request(corpus: &[Vec<u8>], seed: u64) {
    let request = mutation::request(corpus, seed);
    ALLOCATOR.reset_peak_usage();
    let before = ALLOCATOR.current_usage();
    entry::request(&request);
    let peak_bytes = ALLOCATOR.peak_usage().saturating_sub(before);
    assert!(
        peak_bytes < PEAK_BYTES_MAX,
        "{peak_bytes} bytes were in use for {request:x?}"
    );
}

#[test]
fn changed_requests_are_survived() {
    let corpus = corpus();
    let minutes = option("MINUTES");
    let count = option("COUNT").or(minutes.map(|_| u64::MAX));
    let count = count.unwrap_or(COUNT_DEFAULT);
    let time_max = minutes.map(|minutes| Duration::from_secs(minutes * 60));
    let first = option("SEED").unwrap_or_else(|| fastrand::u64(..));
    let start = Instant::now();
    let mut done = 0;
    while done < count && time_max.is_none_or(|max| start.elapsed() < max) {
        let seed = first.wrapping_add(done);
        let one = || request(&corpus, seed);
        if let Err(panic) = catch_unwind(AssertUnwindSafe(one)) {
            eprintln!("again: cargo xtask fuzz --seed {seed} --count 1");
            resume_unwind(panic);
        }
        done += 1;
    }
    println!(
        "{done} requests from seed {first} on were survived; {:.0} s",
        start.elapsed().as_secs_f64()
    );
}

#[test]
fn the_corpus_itself_is_survived() {
    for request in corpus() {
        entry::request(&request);
    }
}
