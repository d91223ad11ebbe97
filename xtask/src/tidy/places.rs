//! Nothing in the repository may name one machine: no home directory, no package mirror.

use super::File;

/// Where crates come from, as cargo writes it into `Cargo.lock` whatever mirror it used.
const REGISTRY: &str = "registry+https://github.com/rust-lang/crates.io-index";

/// Parts of paths that exist on one machine only; put together so that this file passes.
const MACHINE: [&str; 5] = [
    concat!("/ro", "ot/"),
    concat!("/ho", "me/"),
    concat!("/wo", "rk/"),
    concat!("/Us", "ers/"),
    concat!(".car", "go/registry"),
];

pub(super) fn check(file: &File) -> Vec<String> {
    let mut wrong = Vec::new();
    for (number, line) in file.lines() {
        let mut note = |what: &str| wrong.push(format!("{}:{number}: {what}", file.path));
        if file.path == "Cargo.lock" {
            let source = line.strip_prefix("source = ");
            if source.is_some_and(|source| source.trim_matches('"') != REGISTRY) {
                note("a crate from elsewhere than crates.io");
            }
            continue;
        }
        if let Some(part) = MACHINE.iter().find(|part| line.contains(**part)) {
            note(&format!("names a place of one machine: {part}"));
        }
        let cargo_config = file.path.starts_with(".cargo/");
        if cargo_config && (line.starts_with("[source") || line.starts_with("[registr")) {
            note("a package mirror belongs into the machine's configuration");
        }
    }
    wrong
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(path: &str, text: &str) -> usize {
        check(&File {
            path: path.to_owned(),
            text: text.to_owned(),
        })
        .len()
    }

    #[test]
    fn places_of_one_machine_are_found() {
        assert_eq!(findings("README.md", &format!("cd {}me", MACHINE[1])), 1);
        assert_eq!(findings("README.md", "cd target/release"), 0);
        assert_eq!(findings(".cargo/config.toml", "[source.mirror]"), 1);
    }

    #[test]
    fn a_lock_file_names_one_registry() {
        assert_eq!(
            findings("Cargo.lock", &format!("source = \"{REGISTRY}\"")),
            0
        );
        let mirror = "source = \"registry+https://mirror.example/index\"";
        assert_eq!(findings("Cargo.lock", mirror), 1);
    }
}
