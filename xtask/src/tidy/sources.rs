//! Rules for the sources, line by line.

use super::{File, Problem};

/// Longer files hold more than one concern.
const FILE_LINES: usize = 500;

/// The only crates with unsafe code: system calls, and the kernel side.
const UNSAFE_CRATES: &[&str] = &["runtime/spawn/", "runtime/net/", "ebpf/"];

/// Words for work that is not finished, in halves so that this file does not break its own rule.
const UNFINISHED: &[&str] = &[concat!("TO", "DO"), concat!("FIX", "ME"), concat!("X", "XX:")];

/// Programs that write netfilter rules: Beeline never runs one.
const NETFILTER: &[&str] = &["\"iptables", "\"ip6tables", "\"xtables", "\"nft\"", "\"nft "];

pub(super) fn check(file: &File) -> Vec<Problem> {
    let mut problems = unfinished(file);
    if file.path.ends_with(".rs") {
        problems.extend(length(file));
        problems.extend(forbids_unsafe(file));
        problems.extend(allows_have_reasons(file));
        problems.extend(no_netfilter(file));
    }
    problems
}

fn length(file: &File) -> Option<Problem> {
    let lines = file.text.lines().count();
    (lines > FILE_LINES).then(|| {
        Problem::new(&file.path, 0, format!("{lines} lines, {FILE_LINES} at most: one concern a file"))
    })
}

fn unfinished(file: &File) -> Vec<Problem> {
    let lines = file.text.lines().enumerate();
    lines
        .filter_map(|(index, line)| {
            let word = UNFINISHED.iter().find(|word| line.contains(*word))?;
            Some(Problem::new(&file.path, index + 1, format!("{word}: finish it, or open an issue")))
        })
        .collect()
}

/// Where crates start: a library, a binary, a build script, an integration test.
fn is_crate_root(path: &str) -> bool {
    let in_tests = path.rsplit_once('/').is_some_and(|(directory, _)| directory.ends_with("/tests"));
    path.ends_with("/src/lib.rs")
        || path.ends_with("/src/main.rs")
        || path.ends_with("/build.rs") && !path.contains("/src/")
        || in_tests
}

fn forbids_unsafe(file: &File) -> Option<Problem> {
    if !is_crate_root(&file.path) || UNSAFE_CRATES.iter().any(|allowed| file.path.starts_with(allowed)) {
        return None;
    }
    let forbids = file.text.lines().any(|line| line.trim() == "#![forbid(unsafe_code)]");
    (!forbids).then(|| {
        let where_ = UNSAFE_CRATES.join(", ");
        Problem::new(
            &file.path,
            1,
            format!("needs #![forbid(unsafe_code)]: unsafe code lives in {where_} alone"),
        )
    })
}

fn allows_have_reasons(file: &File) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut offset = 0;
    while let Some(start) = next_attribute(&file.text[offset..]).map(|start| offset + start) {
        let attribute = &file.text[start..];
        let attribute = &attribute[..attribute.find(")]").unwrap_or(attribute.len())];
        if !attribute.contains("reason") {
            let line = file.text[..start].lines().count() + 1;
            problems.push(Problem::new(&file.path, line, "an allow or expect needs its `reason = \"...\"`"));
        }
        offset = start + 1;
    }
    problems
}

/// The next `allow` or `expect` attribute that stands at the beginning of a line.
fn next_attribute(text: &str) -> Option<usize> {
    let mut offset = 0;
    for line in text.split_inclusive('\n') {
        let code = line.trim_start();
        if offset > 0
            && ["#[allow(", "#![allow(", "#[expect(", "#![expect("]
                .iter()
                .any(|start| code.starts_with(start))
        {
            return Some(offset);
        }
        offset += line.len();
    }
    None
}

fn no_netfilter(file: &File) -> Vec<Problem> {
    let ours = file.path.starts_with("runtime/") || file.path.starts_with("ebpf/");
    let test = file.path.contains("/tests/") || file.path.contains("/benches/");
    if !ours || test {
        return Vec::new();
    }
    let lines = file.text.lines().enumerate();
    lines
        .filter(|(_, line)| NETFILTER.iter().any(|program| line.contains(program)))
        .map(|(index, _)| {
            Problem::new(&file.path, index + 1, "Beeline runs no netfilter program: packets are eBPF's")
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, text: &str) -> File {
        File { path: path.to_owned(), text: text.to_owned() }
    }

    #[test]
    fn a_file_of_five_hundred_lines_is_the_longest() {
        let lines = |count: usize| "x\n".repeat(count);
        assert_eq!(length(&file("a.rs", &lines(500))), None);
        assert!(length(&file("a.rs", &lines(501))).is_some());
    }

    #[test]
    fn unfinished_work_is_found_by_line() {
        let text = format!("fine\n// {}: later\n", UNFINISHED[0]);
        assert_eq!(unfinished(&file("a.md", &text))[0].line, 2);
        assert_eq!(unfinished(&file("a.md", "to do\n")), []);
    }

    #[test]
    fn roots_forbid_unsafe_code_except_in_spawn_and_net() {
        assert!(forbids_unsafe(&file("runtime/wire/src/lib.rs", "//! Doc\n")).is_some());
        assert!(forbids_unsafe(&file("runtime/beeline/tests/run.rs", "")).is_some());
        assert_eq!(forbids_unsafe(&file("runtime/wire/src/lib.rs", "#![forbid(unsafe_code)]\n")), None);
        assert_eq!(forbids_unsafe(&file("runtime/wire/src/other.rs", "")), None);
        assert_eq!(forbids_unsafe(&file("runtime/spawn/src/lib.rs", "")), None);
        assert_eq!(forbids_unsafe(&file("xtask/src/build.rs", "")), None);
    }

    #[test]
    fn an_allow_without_its_reason_is_found() {
        let bare = "//! Doc\n#[allow(dead_code)]\nfn f() {}\n";
        assert_eq!(allows_have_reasons(&file("a.rs", bare))[0].line, 2);
        let reasoned = "//! Doc\n#[allow(\n    dead_code,\n    reason = \"kept\"\n)]\nfn f() {}\n";
        assert_eq!(allows_have_reasons(&file("a.rs", reasoned)), []);
    }

    #[test]
    fn netfilter_programs_are_for_tests_only() {
        let call = "Command::new(\"iptables\")\n";
        assert_eq!(no_netfilter(&file("runtime/net/src/lib.rs", call)).len(), 1);
        assert_eq!(no_netfilter(&file("runtime/beeline/tests/clean.rs", call)), []);
        assert_eq!(no_netfilter(&file("xtask/src/bench.rs", call)), []);
    }
}
