//! What the clients in Rust have in common: the checks' data, and how they report.
//!
//! A check prints one line: `ok NAME`, `fail NAME: why` or `skip NAME: why`.

use std::{fmt::Debug, time::Duration};

use anyhow::{Context, Result, ensure};

pub const RECORDS: usize = 200;
pub const MEBIBYTE: usize = 1 << 20;
/// Partitions of a topic that a group reads.
pub const PARTITIONS: i32 = 3;
/// The topic that the broker's own command line has filled, with values `native-0` and so on.
pub const NATIVE_TOPIC: &str = "native";
pub const NATIVE_RECORDS: usize = 20;
/// How long an answer may take.
pub const PATIENCE: Duration = Duration::from_secs(20);
/// How long a check may take.
const CHECK_MAX: Duration = Duration::from_secs(60);

/// What the program is told: where the broker is, and what names of topics begin with.
pub struct Place {
    pub bootstrap: String,
    prefix: String,
}

impl Place {
    /// Reads the command line.
    pub fn from_words() -> Result<Self> {
        let mut words = std::env::args().skip(1);
        Ok(Self {
            bootstrap: words.next().context("no broker")?,
            prefix: words.next().context("no prefix")?,
        })
    }

    pub fn topic(&self, name: &str) -> String {
        format!("{}-{name}", self.prefix)
    }
}

pub fn values(count: usize) -> Vec<Vec<u8>> {
    let value = |n: usize| format!("value {n} ").repeat(5).into_bytes();
    (0..count).map(value).collect()
}

pub fn native_values() -> Vec<Vec<u8>> {
    let value = |n: usize| format!("native-{n}").into_bytes();
    (0..NATIVE_RECORDS).map(value).collect()
}

/// One mebibyte that does not compress to nothing.
pub fn large(seed: u64) -> Vec<u8> {
    let mut state = seed | 1;
    let byte = || {
        state = state
            .wrapping_mul(6364136223846793005)
            .wrapping_add(1442695040888963407);
        (state >> 56) as u8
    };
    std::iter::repeat_with(byte).take(MEBIBYTE).collect()
}

pub fn now_ms() -> i64 {
    let since = std::time::UNIX_EPOCH.elapsed().unwrap_or_default();
    since.as_millis() as i64
}

pub fn equal<T: PartialEq + Debug>(found: T, expected: T) -> Result<()> {
    let short = |value: &T| format!("{value:?}").chars().take(200).collect::<String>();
    ensure!(
        found == expected,
        "found {}, expected {}",
        short(&found),
        short(&expected)
    );
    Ok(())
}

/// The same values in whatever order: each exactly once.
pub fn same_set(mut found: Vec<Vec<u8>>, mut expected: Vec<Vec<u8>>) -> Result<()> {
    found.sort();
    expected.sort();
    equal(found, expected)
}

/// Runs a check and reports it.
pub async fn run(name: &str, check: impl Future<Output = Result<()>>) {
    let told = tokio::time::timeout(CHECK_MAX, check).await;
    match told.context("it takes too long").flatten() {
        Ok(()) => println!("ok {name}"),
        Err(why) => println!("fail {name}: {}", format!("{why:#}").replace('\n', " ")),
    }
}

/// The client cannot do this.
pub fn skip(name: &str, why: &str) {
    println!("skip {name}: {why}");
}
