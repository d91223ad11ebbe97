//! Links between the repository's pages lead somewhere.

use super::File;

/// Every relative link of every Markdown page names a path of the repository and, after `#`, a
/// heading of that page.
pub(super) fn check(files: &[File], paths: &[String]) -> Vec<String> {
    let mut wrong = Vec::new();
    for page in files.iter().filter(|file| file.extension() == "md") {
        for (number, target) in links(page) {
            if target.contains("://") || target.starts_with("mailto:") {
                continue;
            }
            let (path, anchor) = target.split_once('#').unwrap_or((target, ""));
            let full = if path.is_empty() {
                page.path.clone()
            } else {
                resolve(&page.path, path)
            };
            let exists = paths
                .iter()
                .any(|known| *known == full || known.starts_with(&format!("{full}/")));
            if !exists {
                wrong.push(format!("{}:{number}: {target} leads nowhere", page.path));
            } else if !anchor.is_empty()
                && let Some(there) = files.iter().find(|file| file.path == full)
                && there.extension() == "md"
                && !has_heading(there, anchor)
            {
                wrong.push(format!(
                    "{}:{number}: {full} has no heading #{anchor}",
                    page.path
                ));
            }
        }
    }
    wrong
}

/// Targets of `[text](target)` outside of code blocks, with their line numbers.
fn links(page: &File) -> Vec<(usize, &str)> {
    let mut in_code = false;
    let mut found = Vec::new();
    for (number, line) in page.lines() {
        if line.trim_start().starts_with("```") {
            in_code = !in_code;
        }
        if in_code {
            continue;
        }
        for rest in line.split("](").skip(1) {
            if let Some((target, _)) = rest.split_once(')') {
                found.push((number, target));
            }
        }
    }
    found
}

/// `path` as seen from the directory of `from`.
fn resolve(from: &str, path: &str) -> String {
    let mut parts: Vec<&str> = from.split('/').collect();
    parts.pop();
    for part in path.trim_end_matches('/').split('/') {
        match part {
            "." | "" => {}
            ".." => {
                parts.pop();
            }
            name => parts.push(name),
        }
    }
    parts.join("/")
}

/// Whether a heading of the page gets this anchor by GitHub's rule.
fn has_heading(page: &File, anchor: &str) -> bool {
    page.lines()
        .filter(|(_, line)| line.starts_with('#'))
        .any(|(_, line)| anchor_of(line.trim_start_matches('#').trim()) == anchor)
}

fn anchor_of(heading: &str) -> String {
    heading
        .to_lowercase()
        .chars()
        .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'))
        .map(|c| if c == ' ' { '-' } else { c })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(text: &str) -> Vec<String> {
        let file = |path: &str, text: &str| File {
            path: path.to_owned(),
            text: text.to_owned(),
        };
        let files = [
            file("docs/page.md", text),
            file("docs/other.md", "# First part: names\n"),
        ];
        let paths = ["docs/page.md", "docs/other.md", "src/lib.rs"].map(ToOwned::to_owned);
        check(&files, &paths)
    }

    #[test]
    fn links_to_what_is_there_pass() {
        for good in [
            "[a](other.md)",
            "[a](other.md#first-part-names)",
            "[a](../src)",
            "[a](https://example.org/x)",
            "```\n[a](nowhere.md)\n```",
        ] {
            assert_eq!(findings(good), [""; 0], "{good}");
        }
    }

    #[test]
    fn links_to_nowhere_are_found() {
        for bad in ["[a](nowhere.md)", "[a](other.md#second)", "[a](#none)"] {
            assert_eq!(findings(bad).len(), 1, "{bad}");
        }
    }
}
