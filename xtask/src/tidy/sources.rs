//! Rules for Rust sources: size, first line, and what must not stand in them.

use super::File;

/// Lines a file may have, its test module left out.
const LINES_MAX: usize = 600;
/// The one file that may hold unsafe code: the memory map.
const UNSAFE_FILE: &str = "ratatoskr-storage/src/io/map.rs";

/// Words that mark unfinished work, and the reason to give. They are put together from parts so
/// that this file does not break its own rule.
const UNFINISHED: [(&str, &str); 4] = [
    (concat!("to", "do!("), "unfinished work"),
    (concat!("unimpl", "emented!("), "unfinished work"),
    (concat!("db", "g!("), "left from debugging"),
    (concat!("#[ig", "nore"), "a test that does not run"),
];
const SLEEP: &str = concat!("thread::", "sleep(");
const ALLOW: &str = concat!("#[al", "low(");
const UNSAFE: &str = concat!("uns", "afe");

pub(super) fn check(file: &File) -> Vec<String> {
    if file.extension() != "rs" {
        return Vec::new();
    }
    let mut wrong = Vec::new();
    let size = file
        .lines()
        .find(|(_, line)| line.starts_with("mod tests {"))
        .map_or(file.text.lines().count(), |(number, _)| number);
    if size > LINES_MAX {
        wrong.push(format!(
            "{}: {size} lines without its tests, at most {LINES_MAX}",
            file.path
        ));
    }
    if !file.text.starts_with("//!") && !is_test_module(&file.path) {
        wrong.push(format!(
            "{}: does not open with what it is for (`//!`)",
            file.path
        ));
    }
    for (number, line) in file.lines() {
        let mut note = |what: &str| wrong.push(format!("{}:{number}: {what}", file.path));
        for (word, reason) in UNFINISHED {
            if line.contains(word) {
                note(reason);
            }
        }
        if line.contains(SLEEP) {
            note("waits by the clock: wait for what must happen, or pause the time");
        }
        if line.contains(ALLOW) {
            note("an exception is `#[expect(lint, reason = \"…\")]`");
        }
        if holds_unsafe_code(line) && file.path != UNSAFE_FILE {
            note("unsafe code outside of the memory map");
        }
    }
    wrong
}

/// Whether the file is a part of a module's tests, which its name explains.
fn is_test_module(path: &str) -> bool {
    path.contains("/tests/") || path.ends_with("_tests.rs") || path.ends_with("/tests.rs")
}

/// Whether the line opens an unsafe block, function, trait or implementation.
fn holds_unsafe_code(line: &str) -> bool {
    let code = line.trim_start();
    !code.starts_with("//")
        && code.split(UNSAFE).skip(1).any(|rest| {
            let rest = rest.trim_start();
            ["{", "fn ", "impl ", "impl<", "trait ", "extern "]
                .iter()
                .any(|next| rest.starts_with(next))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(path: &str, text: &str) -> Vec<String> {
        check(&File {
            path: path.to_owned(),
            text: text.to_owned(),
        })
    }

    #[test]
    fn a_file_that_follows_the_rules_passes() {
        let text =
            format!("//! What it is for.\n\n// An {UNSAFE} {{ idea }} in words.\nfn f() {{}}\n");
        assert_eq!(findings("a.rs", &text), [""; 0]);
        assert_eq!(findings("notes.md", "no rust here"), [""; 0]);
    }

    #[test]
    fn each_rule_is_seen_where_it_is_broken() {
        for (line, expected) in [
            (format!("{}\"x\")", UNFINISHED[0].0), "unfinished work"),
            (format!("{UNSAFE} {{ f() }}"), "unsafe code"),
            (format!("{UNSAFE} impl Send for X"), "unsafe code"),
            (format!("std::{SLEEP}d)"), "waits by the clock"),
            (format!("{ALLOW}dead_code)]"), "an exception"),
        ] {
            let found = findings("a.rs", &format!("//! Doc.\n{line}\n"));
            assert_eq!(found.len(), 1, "{line}: {found:?}");
            assert!(found[0].starts_with("a.rs:2: ") && found[0].contains(expected));
        }
        let map = format!("//! Doc.\n{UNSAFE} {{ f() }}\n");
        assert_eq!(findings(UNSAFE_FILE, &map), [""; 0]);
    }

    #[test]
    fn one_line_past_the_limit_is_too_long_unless_it_is_a_test() {
        let lines = |count| format!("//! Doc.\n{}", "\n".repeat(count - 1));
        assert_eq!(findings("a.rs", &lines(LINES_MAX)), [""; 0]);
        assert_eq!(findings("a.rs", &lines(LINES_MAX + 1)).len(), 1);
        let tested = format!("//! Doc.\nmod tests {{\n{}}}\n", "\n".repeat(LINES_MAX));
        assert_eq!(findings("a.rs", &tested), [""; 0]);
    }
}
