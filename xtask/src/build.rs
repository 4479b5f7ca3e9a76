//! `cargo xtask build`: the static release binary; its path is the last line.

use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context, Result, bail};

use crate::elf;
use crate::progress::{note, seconds};
use crate::run::Run;
use crate::setup::{self, Purpose};
use crate::workspace;

/// Build the static release binary and print its path
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {}

impl Arguments {
    #[allow(clippy::unused_self, reason = "every task is run the same way")]
    #[allow(clippy::print_stdout, reason = "the path is the result of this task")]
    pub(crate) fn run(self) -> Result<()> {
        println!("{}", release_binary()?.display());
        Ok(())
    }
}

/// The binary that the user names, or the release binary.
pub(crate) fn given_or_release(given: Option<PathBuf>) -> Result<PathBuf> {
    match given {
        Some(path) => path.canonicalize().with_context(|| format!("find the binary {}", path.display())),
        None => release_binary(),
    }
}

/// Builds the release binary, checks that it is static and returns its path.
pub(crate) fn release_binary() -> Result<PathBuf> {
    setup::ensure(Purpose::Build)?;
    let start = Instant::now();
    let root = workspace::root();
    // Cargo's own progress is the best there is: it goes to the terminal, and the messages say where the file is.
    let messages = Run::cargo()
        .args(["build", "--release", "--package", "beeline", "--bin", "beeline"])
        .args(["--message-format=json-render-diagnostics"])
        .dir(&root)
        .output_only()?;
    let path = executable(&messages).context("cargo names no executable for beeline")?;
    let file = std::fs::read(&path).with_context(|| format!("read {}", path.display()))?;
    if !elf::is_static(&file).with_context(|| format!("look into {}", path.display()))? {
        bail!(
            "{} needs a dynamic loader: .cargo/config.toml asks for +crt-static on x86_64 and aarch64 gnu targets; \
             is it overridden by RUSTFLAGS?",
            path.display()
        );
    }
    let megabytes = file.len() as f64 / 1e6;
    note(&format!("static release binary, {megabytes:.1} MB ({})", seconds(start.elapsed())));
    Ok(path)
}

/// What cargo says with `--message-format=json`: one object a line.
pub(crate) fn messages(text: &str) -> impl Iterator<Item = serde_json::Value> {
    text.lines().filter_map(|line| serde_json::from_str(line).ok())
}

/// The executable that cargo's messages name.
fn executable(text: &str) -> Option<PathBuf> {
    messages(text)
        .filter(|message| message["target"]["name"] == "beeline")
        .find_map(|message| message["executable"].as_str().map(PathBuf::from))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_executable_is_read_from_cargo_s_messages() {
        let messages = concat!(
            r#"{"reason":"compiler-artifact","target":{"name":"serde"},"executable":null}"#,
            "\n",
            r#"{"reason":"compiler-artifact","target":{"name":"beeline"},"executable":"/t/release/beeline"}"#,
            "\n",
        );
        assert_eq!(executable(messages), Some(PathBuf::from("/t/release/beeline")));
        assert_eq!(executable("{}\nnot json"), None);
    }
}
