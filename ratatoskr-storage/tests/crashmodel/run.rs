//! One run: a machine's lives, one after the other, each with its crash states.
//!
//! A life opens the storage, checks that it holds what was promised, and works on it; it ends by
//! closing, by the end of the process, or by a crash, and the next begins on what that left. At
//! changes of the disk, chosen by chance, within recovery too, the machine is also crashed **aside**:
//! what that leaves is recovered and checked on its own, and sometimes crashed within that recovery.
//! The seed of a run decides all of it.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use fastrand::Rng;
use ratatoskr_core::sync::Mutex;
use ratatoskr_storage::io::sim::{Persist, SimFileSystem};

use crate::{
    engine::{Engine, SharedHistory, open},
    history::History,
};

const LIVES: u32 = 4;
const STEPS_MAX: u32 = 30;

/// What a crash aside left, and what was promised by then.
struct State {
    fs: SimFileSystem,
    history: History,
    /// The change before which the machine was crashed.
    change: u64,
    life: u32,
}

/// Runs all lives of a seed. Answers how many states were checked.
///
/// # Errors
/// The promise that is broken, and where.
pub(crate) fn run(seed: u64) -> Result<u64, String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let mut rng = Rng::with_seed(seed);
    let mut fs = SimFileSystem::new();
    let history = SharedHistory::default();
    let mut checked = 0;
    for life in 0..LIVES {
        let states = crash_aside(&fs, &history, life, rng.fork());
        let lived = caught(|| runtime.block_on(live(&fs, &history, &mut rng)));
        // Breaks the cycle of file system and observer.
        fs.observe(|_| {});
        for mut state in std::mem::take(&mut *states.lock()) {
            let place = format!("crash in life {}, change {}", state.life, state.change);
            let found = caught(|| runtime.block_on(check(&mut state, &mut rng)));
            checked += found.map_err(|broken| format!("{place}: {broken}"))?;
        }
        lived.map_err(|broken| format!("life {life}: {broken}"))?;
        fs = match rng.u8(0..4) {
            0 => fs.crash_with(Persist::Everything, 0),
            _ => fs.crash(rng.u64(..)),
        };
        checked += 1;
    }
    Ok(checked)
}

/// Crashes the machine aside at some of the changes to come.
fn crash_aside(
    fs: &SimFileSystem,
    history: &SharedHistory,
    life: u32,
    mut rng: Rng,
) -> Arc<Mutex<Vec<State>>> {
    let states = Arc::new(Mutex::new(Vec::new()));
    let (disk, history, found) = (fs.clone(), history.clone(), states.clone());
    let is_traced = std::env::var_os("CRASHMODEL_TRACE").is_some();
    fs.observe(move |operation| {
        if is_traced && operation.kind.is_change() {
            println!(
                "{life}/{:<5} {:?} {}",
                operation.change,
                operation.kind,
                operation.path.display()
            );
        }
        // Before a sync there is most to be lost.
        let crashes = match operation.kind {
            kind if kind.is_sync() => rng.u8(0..4),
            kind if kind.is_change() => u8::from(rng.u8(0..5) == 0),
            _ => 0,
        };
        for _ in 0..crashes {
            found.lock().push(State {
                fs: disk.crash(rng.u64(..)),
                history: history.lock().clone(),
                change: operation.change,
                life,
            });
        }
    });
    states
}

async fn live(fs: &SimFileSystem, history: &SharedHistory, rng: &mut Rng) -> Result<(), String> {
    let promised = history.lock().clone();
    let (storage, settled) = settle(fs, promised).await?;
    *history.lock() = settled;
    let mut engine = Engine::new(storage, history.clone(), rng.u64(..)).await;
    for _ in 0..rng.u32(1..STEPS_MAX) {
        let step = engine.step().await;
        step.map_err(|error| format!("a call failed without a fault: {error}"))?;
    }
    if rng.u8(0..4) == 0 {
        let closed = engine.close();
        closed.map_err(|error| format!("closing failed without a fault: {error}"))?;
    }
    Ok(())
}

/// Recovers a state and checks it, perhaps after a crash within that recovery.
async fn check(state: &mut State, rng: &mut Rng) -> Result<u64, String> {
    let mut checked = 1;
    while rng.u8(0..3) == 0 {
        // As many changes as recovery makes at most; often it makes fewer and comes to its end.
        let change = rng.u64(0..30);
        state.fs.stop_before(change);
        drop(open(&state.fs));
        state.fs = state.fs.crash(rng.u64(..));
        checked += 1;
    }
    let (storage, mut history) = settle(&state.fs, state.history.clone()).await?;
    drop(storage);
    if rng.bool() {
        // What recovery has shown to readers lasts, whatever comes.
        let lost = state.fs.crash_with(Persist::Nothing, 0);
        let again = settle(&lost, std::mem::take(&mut history)).await;
        again.map_err(|broken| format!("after a crash behind recovery: {broken}"))?;
        checked += 1;
    }
    Ok(checked)
}

/// Opens what is on the disk and compares it with what may be there.
async fn settle(
    fs: &SimFileSystem,
    mut history: History,
) -> Result<(ratatoskr_storage::MmapStorage, History), String> {
    let storage = open(fs).map_err(|error| format!("recovery failed: {error}"))?;
    let report = storage.recovery();
    if let Some((topic, partition, error)) = report.failed.first() {
        return Err(format!("topic {topic}: partition {partition}: {error}"));
    }
    if !report.orphaned.is_empty() {
        return Err(format!("unknown directories: {:?}", report.orphaned));
    }
    history.settle(&storage).await?;
    Ok((storage, history))
}

fn caught<T>(work: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).into()));
        Err(format!("panic: {}", text.unwrap_or_default()))
    })
}
