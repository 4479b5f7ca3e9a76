//! Running other programs: one way to start them, wait for them and show what they say.

use std::ffi::{OsStr, OsString};
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};

use crate::interrupt;
use crate::progress::Step;

/// How often a waiting task looks at its child and at Ctrl-C.
const POLL: Duration = Duration::from_millis(5);

/// A program to run, with the words for the errors it may end in.
#[derive(Debug)]
pub(crate) struct Run {
    command: Command,
    deadline: Option<Duration>,
}

impl Run {
    /// Prepares `program`; nothing runs before one of the methods that do.
    pub(crate) fn new(program: impl AsRef<OsStr>) -> Self {
        let mut command = Command::new(program);
        command.stdin(Stdio::null());
        Self { command, deadline: None }
    }

    /// `cargo` as the one that started this task.
    pub(crate) fn cargo() -> Self {
        Self::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
    }

    pub(crate) fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.command.arg(arg);
        self
    }

    pub(crate) fn args<S: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = S>) -> Self {
        self.command.args(args);
        self
    }

    pub(crate) fn env(mut self, key: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(key, value);
        self
    }

    pub(crate) fn env_remove(mut self, key: &str) -> Self {
        self.command.env_remove(key);
        self
    }

    pub(crate) fn dir(mut self, dir: &Path) -> Self {
        self.command.current_dir(dir);
        self
    }

    /// Kills it, and fails, when it has not ended after this time.
    pub(crate) fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = Some(deadline);
        self
    }

    /// Runs with the terminal as it is; the exit status is the caller's to judge.
    pub(crate) fn status(mut self) -> Result<ExitStatus> {
        let line = self.line();
        let mut child = self.command.spawn().with_context(|| cannot_run(&line))?;
        wait(&mut child, &line, self.deadline)
    }

    /// Runs as one step of the task: its output is kept back, and shown only when it fails.
    pub(crate) fn quiet(mut self, step: &Step) -> Result<()> {
        let line = self.line();
        let (reader, writer) = std::io::pipe().context("create a pipe")?;
        self.command.stdout(writer.try_clone().context("duplicate a pipe")?).stderr(writer);
        let mut child = self.command.spawn().with_context(|| cannot_run(&line))?;
        // The command keeps the write ends open: without this the reader never sees the end.
        drop(self.command);
        let show = step.clone();
        let collector = std::thread::spawn(move || collect(reader, &show));
        let status = wait(&mut child, &line, self.deadline)?;
        let output = collector.join().unwrap_or_default();
        if !status.success() {
            bail!("`{line}` failed: {status}\n{}", tail(&output, 60));
        }
        Ok(())
    }

    /// Runs and returns what the program wrote to standard output; its errors go into ours.
    pub(crate) fn output(mut self) -> Result<String> {
        let line = self.line();
        self.command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = self.command.spawn().with_context(|| cannot_run(&line))?;
        let stdout = drain(child.stdout.take());
        let stderr = drain(child.stderr.take());
        let status = wait(&mut child, &line, self.deadline)?;
        let stdout = stdout.join().unwrap_or_default();
        let stderr = stderr.join().unwrap_or_default();
        if !status.success() {
            bail!("`{line}` failed: {status}\n{}", tail(&format!("{stdout}{stderr}"), 20));
        }
        Ok(stdout)
    }

    /// Runs with errors going to the terminal as they come, and returns what the program wrote to standard output.
    pub(crate) fn output_only(mut self) -> Result<String> {
        let line = self.line();
        self.command.stdout(Stdio::piped());
        let mut child = self.command.spawn().with_context(|| cannot_run(&line))?;
        let stdout = drain(child.stdout.take());
        let status = wait(&mut child, &line, self.deadline)?;
        if !status.success() {
            bail!("`{line}` failed: {status}");
        }
        Ok(stdout.join().unwrap_or_default())
    }

    /// The command line as a person would type it.
    fn line(&self) -> String {
        let words = std::iter::once(self.command.get_program()).chain(self.command.get_args());
        let words: Vec<OsString> = words.map(OsStr::to_os_string).collect();
        let words: Vec<String> = words.iter().map(|word| word.to_string_lossy().into_owned()).collect();
        words.join(" ")
    }
}

/// Waits for `child`; Ctrl-C and the deadline end it.
fn wait(child: &mut Child, line: &str, deadline: Option<Duration>) -> Result<ExitStatus> {
    let start = Instant::now();
    loop {
        if let Some(status) = child.try_wait().with_context(|| format!("wait for `{line}`"))? {
            interrupt::check()?;
            return Ok(status);
        }
        let late = deadline.filter(|deadline| start.elapsed() > *deadline);
        let reason = match late {
            Some(deadline) => Err(anyhow!("`{line}` still ran after {deadline:?}")),
            None => interrupt::check(),
        };
        if let Err(reason) = reason {
            // Both fail only when the child is gone, which is what is asked for.
            let _gone = child.kill();
            let _reaped = child.wait();
            return Err(reason);
        }
        std::thread::sleep(POLL);
    }
}

fn cannot_run(line: &str) -> String {
    format!("cannot start `{line}`; `cargo xtask setup` installs what the tasks need")
}

fn drain<R: Read + Send + 'static>(source: Option<R>) -> std::thread::JoinHandle<String> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut source) = source {
            // What arrived before an error is still worth showing.
            let _partial = source.read_to_end(&mut bytes);
        }
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

fn collect(source: impl Read, step: &Step) -> String {
    let mut text = String::new();
    for line in BufReader::new(source).split(b'\n').map_while(Result::ok) {
        let line = String::from_utf8_lossy(&line);
        step.detail(line.trim());
        text.push_str(&line);
        text.push('\n');
    }
    text
}

/// The last `lines` lines of `text`.
fn tail(text: &str, lines: usize) -> String {
    let all: Vec<&str> = text.lines().collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_is_returned_and_failures_name_the_command() {
        let output = Run::new("sh").args(["-c", "echo out"]).output().unwrap();
        assert_eq!(output, "out\n");
        let error = Run::new("sh").args(["-c", "echo broken >&2; exit 3"]).output().unwrap_err();
        let message = format!("{error:#}");
        assert!(message.contains("broken") && message.contains("exit status: 3"), "{message}");
    }

    #[test]
    fn a_missing_program_says_what_to_do() {
        let error = Run::new("no-such-program").status().unwrap_err();
        assert!(format!("{error:#}").contains("cargo xtask setup"), "{error:#}");
    }

    #[test]
    fn what_takes_too_long_is_ended() {
        let error = Run::new("sleep").arg("60").deadline(Duration::from_millis(20)).status().unwrap_err();
        assert!(error.to_string().contains("`sleep 60` still ran"), "{error:#}");
    }

    #[test]
    fn tail_keeps_the_end() {
        assert_eq!(tail("a\nb\nc", 2), "b\nc");
        assert_eq!(tail("a", 5), "a");
    }
}
