//! Rules for what people read: links lead somewhere, JSON is JSON, tests that are named exist.

use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};

use super::{File, Problem};

/// Hosts that packages and images come from, in halves so that this file does not break its own rule. Which mirror a
/// machine uses is the machine's business.
const REGISTRIES: &[&str] = &[
    concat!("index.crates", ".io"),
    concat!("static.crates", ".io"),
    concat!("deb.debian", ".org"),
    concat!("security.debian", ".org"),
    concat!("registry-1.docker", ".io"),
    concat!("index.docker", ".io"),
    concat!("registry.npmjs", ".org"),
    concat!("pypi", ".org"),
    concat!("quay", ".io"),
    concat!("ghcr", ".io"),
    concat!("arti", "factory"),
];

/// The documents whose tables name in their last column the tests that hold something.
const TABLES: [&str; 3] = ["ARCHITECTURE.md", "docs/oci.md", "docs/security.md"];

pub(super) fn check(file: &File, root: &Path) -> Vec<Problem> {
    let mut problems = registries(file);
    if file.path.ends_with(".md") {
        problems.extend(links(file, root));
    }
    if file.path.ends_with(".json") {
        problems.extend(json(file));
    }
    problems
}

fn registries(file: &File) -> Vec<Problem> {
    if file.path.ends_with("Cargo.lock") {
        return Vec::new();
    }
    let lines = file.text.lines().enumerate();
    lines
        .filter_map(|(index, line)| {
            let host = REGISTRIES.iter().find(|host| line.contains(*host))?;
            Some(Problem::new(&file.path, index + 1, format!("names the registry host {host}")))
        })
        .collect()
}

fn json(file: &File) -> Option<Problem> {
    let error = serde_json::from_str::<serde_json::Value>(&file.text).err()?;
    Some(Problem::new(&file.path, error.line(), format!("is not JSON: {error}")))
}

fn links(file: &File, root: &Path) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (line, target) in link_targets(&file.text) {
        let (path, anchor) =
            target.split_once('#').map_or((target, None), |(path, anchor)| (path, Some(anchor)));
        let linked = if path.is_empty() { file.path.clone() } else { beside(&file.path, path) };
        let absolute = root.join(&linked);
        if !absolute.exists() {
            problems.push(Problem::new(&file.path, line, format!("the link to {target} leads nowhere")));
            continue;
        }
        let Some(anchor) = anchor.filter(|_| linked.ends_with(".md")) else { continue };
        let text = std::fs::read_to_string(&absolute).unwrap_or_default();
        if !anchors(&text).contains(anchor) {
            problems.push(Problem::new(&file.path, line, format!("{linked} has no heading #{anchor}")));
        }
    }
    problems
}

/// The relative targets of a document's links, each with its line; fenced code has none.
fn link_targets(text: &str) -> Vec<(usize, &str)> {
    let mut fenced = false;
    let mut targets = Vec::new();
    for (index, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        }
        if fenced {
            continue;
        }
        for part in line.split("](").skip(1) {
            let Some((target, _)) = part.split_once(')') else { continue };
            if !target.contains("://") && !target.starts_with("mailto:") {
                targets.push((index + 1, target));
            }
        }
    }
    targets
}

/// `target` as seen from the directory of `document`, relative to the root.
fn beside(document: &str, target: &str) -> String {
    let directory = Path::new(document).parent().unwrap_or(Path::new(""));
    let mut path = PathBuf::new();
    for component in directory.join(target).components() {
        match component {
            Component::ParentDir => {
                path.pop();
            }
            Component::CurDir => {}
            other => path.push(other),
        }
    }
    path.to_string_lossy().into_owned()
}

/// What a document's headings are called in links.
fn anchors(text: &str) -> BTreeSet<String> {
    let headings = text.lines().filter(|line| line.starts_with('#'));
    headings
        .map(|heading| {
            let title = heading.trim_start_matches('#').trim().to_lowercase();
            title
                .chars()
                .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'))
                .map(|c| if c == ' ' { '-' } else { c })
                .collect()
        })
        .collect()
}

/// Every test that the tables name is a function somewhere.
pub(super) fn check_named_tests(files: &[File]) -> Vec<Problem> {
    let mut problems = Vec::new();
    for document in files.iter().filter(|file| TABLES.contains(&file.path.as_str())) {
        for (line, test) in named_tests(&document.text) {
            let definition = format!("fn {test}(");
            if !files.iter().any(|file| file.path.ends_with(".rs") && file.text.contains(&definition)) {
                problems.push(Problem::new(&document.path, line, format!("no test is called {test}")));
            }
        }
    }
    problems
}

/// Names in backquotes with an underscore, in the last column of the document's tables.
fn named_tests(text: &str) -> Vec<(usize, &str)> {
    let rows =
        text.lines().enumerate().filter(|(_, line)| line.starts_with('|') && line.trim_end().ends_with('|'));
    rows.filter_map(|(index, row)| {
        Some((index + 1, row.trim_end().trim_end_matches('|').rsplit('|').next()?))
    })
    .flat_map(|(line, cell)| cell.split('`').skip(1).step_by(2).map(move |name| (line, name)))
    .filter(|(_, name)| name.contains('_') && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_'))
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, text: &str) -> File {
        File { path: path.to_owned(), text: text.to_owned() }
    }

    #[test]
    fn broken_json_is_found_by_line() {
        assert_eq!(json(&file("a.json", "{\n\"a\": }")).unwrap().line, 2);
        assert_eq!(json(&file("a.json", "{}")), None);
    }

    #[test]
    fn registry_hosts_are_found_except_in_the_lock_file() {
        let text = format!("see {}\n", REGISTRIES[0]);
        assert_eq!(registries(&file("README.md", &text)).len(), 1);
        assert_eq!(registries(&file("Cargo.lock", &text)), []);
    }

    #[test]
    fn links_are_read_outside_of_code() {
        let text = "[a](b.md) and [c](d.md#e)\n```\n[x](y)\n```\n[web](https://example.org)\n";
        assert_eq!(link_targets(text), [(1, "b.md"), (1, "d.md#e")]);
    }

    #[test]
    fn a_link_that_leads_nowhere_is_found() {
        let root = crate::workspace::root();
        let text = "[here](Cargo.toml) [up](../nowhere.md) [anchor](#a-heading)\n# A heading\n";
        let problems = links(&file("docs/x.md", text), &root);
        assert!(problems.iter().any(|problem| problem.message.contains("nowhere")), "{problems:?}");
        assert!(problems.iter().any(|problem| problem.message.contains("Cargo.toml")), "{problems:?}");
    }

    #[test]
    fn paths_are_resolved_beside_the_document() {
        assert_eq!(beside("docs/a.md", "../README.md"), "README.md");
        assert_eq!(beside("README.md", "docs/a.md"), "docs/a.md");
    }

    #[test]
    fn headings_have_the_anchors_that_links_use() {
        assert!(anchors("## What `it` is, and why\n").contains("what-it-is-and-why"));
    }

    #[test]
    fn tables_name_tests_that_exist() {
        let table = "| invariant | held by |\n|---|---|\n| one | `holds_one` and `holds_two` |\n";
        for document in TABLES {
            let files = [file(document, table), file("a.rs", "fn holds_one() {}\n")];
            let problems = check_named_tests(&files);
            assert_eq!(problems.len(), 1);
            assert!(problems[0].message.contains("holds_two"));
        }
    }
}
