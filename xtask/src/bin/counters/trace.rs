//! System calls of each round, out of what `strace -f -o` wrote.

use std::collections::BTreeMap;

use anyhow::{Result, bail};

use crate::meter::{BEGIN, END};

/// System calls of one round by name.
pub(crate) type Calls = BTreeMap<String, u64>;

/// Counts the system calls between each pair of marks. Those of the thread that made the marks are
/// left out where `without_caller` asks for it: that thread plays the peer then.
///
/// # Errors
/// A mark is missing.
pub(crate) fn rounds(trace: &str, without_caller: bool) -> Result<Vec<Calls>> {
    let mut rounds = Vec::new();
    let mut open: Option<(&str, Calls)> = None;
    for line in trace.lines() {
        let Some((thread, call)) = line.split_once(' ') else {
            continue;
        };
        let call = call.trim_start();
        if call.contains(BEGIN) {
            if open.is_some() {
                bail!("a round begins within another");
            }
            open = Some((thread, Calls::new()));
        } else if call.contains(END) {
            match open.take() {
                Some((_, calls)) => rounds.push(calls),
                None => bail!("a round ends that has not begun"),
            }
        } else if let Some((caller, calls)) = &mut open
            && !(without_caller && *caller == thread)
            && let Some(name) = name_of(call)
        {
            *calls.entry(name.to_owned()).or_default() += 1;
        }
    }
    if open.is_some() || rounds.is_empty() {
        bail!("a trace without whole rounds");
    }
    Ok(rounds)
}

/// The name of the call that begins on this line; the line may also end a call that another thread
/// interrupted (`<... read resumed>`) or tell of a signal or an exit (`---`, `+++`).
fn name_of(call: &str) -> Option<&str> {
    let (name, _) = call.split_once('(')?;
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
    (!name.is_empty() && name.chars().all(plain)).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "\
7 read(3, \"before\", 6) = 6
7 statx(AT_FDCWD, \"/ratatoskr-counters/begin\", 0, 0, 0) = -1 ENOENT
7 write(3, \"a\", 1 <unfinished ...>
8 epoll_wait(4, [], 1, 0) = 0
7 <... write resumed>) = 1
8 --- SIGCHLD {si_signo=SIGCHLD} ---
8 pwrite64(5, \"a (\", 1, 0) = 1
8 pwrite64(5, \"a\", 1, 1) = 1
7 statx(AT_FDCWD, \"/ratatoskr-counters/end\", 0, 0, 0) = -1 ENOENT
8 +++ exited with 0 +++
";

    fn counted(without_caller: bool) -> Vec<(String, u64)> {
        let rounds = rounds(TRACE, without_caller).unwrap();
        assert_eq!(rounds.len(), 1);
        rounds.into_iter().flatten().collect()
    }

    #[test]
    fn each_call_between_the_marks_counts_once() {
        let expected = [("epoll_wait", 1), ("pwrite64", 2), ("write", 1)];
        assert_eq!(counted(false), expected.map(|(n, c)| (n.to_owned(), c)));
    }

    #[test]
    fn the_thread_that_plays_the_peer_can_be_left_out() {
        let expected = [("epoll_wait", 1), ("pwrite64", 2)];
        assert_eq!(counted(true), expected.map(|(n, c)| (n.to_owned(), c)));
    }

    #[test]
    fn a_trace_that_is_cut_off_is_refused() {
        let cut = TRACE.rsplit_once("7 statx").unwrap().0;
        assert!(rounds(cut, false).is_err());
        assert!(rounds("", false).is_err());
    }
}
