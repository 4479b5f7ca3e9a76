//! `cargo xtask tidy`: the rules of this repository that a program can hold.
//!
//! What a compiler lint holds is not repeated here: functions of more than 70 lines, `unsafe` without its reason and
//! the like are clippy's, with the lint table in the root Cargo.toml.

mod arrows;
mod documents;
mod sources;

use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::progress::step;
use crate::run::Run;
use crate::workspace::root;

/// Check the rules of this repository that no compiler holds
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {}

/// A file under version control, or about to be.
#[derive(Debug, Clone)]
struct File {
    /// Relative to the root, with forward slashes.
    path: String,
    text: String,
}

/// A rule that is broken, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Problem {
    path: String,
    /// Counted from 1; 0 stands for the whole file.
    line: usize,
    message: String,
}

impl Problem {
    fn new(path: &str, line: usize, message: impl Into<String>) -> Self {
        Self { path: path.to_owned(), line, message: message.into() }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}: {}", self.path, self.message),
            line => write!(f, "{}:{line}: {}", self.path, self.message),
        }
    }
}

impl Arguments {
    #[allow(clippy::unused_self, reason = "every task is run the same way")]
    pub(crate) fn run(self) -> Result<()> {
        step("tidy", |_step| {
            let root = root();
            let problems = problems(&root)?;
            if problems.is_empty() {
                return Ok(());
            }
            let list: Vec<String> = problems.iter().map(ToString::to_string).collect();
            bail!(
                "{} rules are broken (CONTRIBUTING.md says why they are there):\n{}",
                list.len(),
                list.join("\n")
            )
        })
    }
}

fn problems(root: &Path) -> Result<Vec<Problem>> {
    let files = files(root)?;
    let mut problems = Vec::new();
    for file in &files {
        problems.extend(sources::check(file));
        problems.extend(documents::check(file, root));
    }
    problems.extend(documents::check_named_tests(&files));
    let metadata =
        Run::cargo().args(["metadata", "--format-version=1", "--no-deps", "--offline"]).dir(root).output()?;
    problems.extend(arrows::check(&metadata)?);
    Ok(problems)
}

/// Every text file that git tracks or would track.
fn files(root: &Path) -> Result<Vec<File>> {
    let listed = Run::new("git")
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .dir(root)
        .output()
        .context("tidy asks git which files belong to the repository")?;
    let mut files = Vec::new();
    for path in listed.split('\0').filter(|path| !path.is_empty()) {
        let absolute: PathBuf = root.join(path);
        // A file that is deleted and not yet committed has no rules to break; one that is no text has none either.
        if let Ok(text) = std::fs::read_to_string(&absolute) {
            files.push(File { path: path.to_owned(), text });
        }
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_repository_is_tidy() {
        let problems = problems(&root()).unwrap();
        let list: Vec<String> = problems.iter().map(ToString::to_string).collect();
        assert!(list.is_empty(), "\n{}", list.join("\n"));
    }

    #[test]
    fn a_problem_says_where() {
        assert_eq!(Problem::new("a.rs", 3, "bad").to_string(), "a.rs:3: bad");
        assert_eq!(Problem::new("a.rs", 0, "bad").to_string(), "a.rs: bad");
    }
}
