//! Running programs to their end, with a deadline and their whole output.

use std::fmt;
use std::io::Read;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// The longest a program may take before it is killed.
pub const DEADLINE: Duration = Duration::from_secs(120);

/// What a program printed, and how it ended.
#[derive(Debug, Clone)]
pub struct Output {
    /// How it ended.
    pub status: ExitStatus,
    /// Its standard output.
    pub stdout: Vec<u8>,
    /// Its standard error as text.
    pub stderr: String,
}

impl Output {
    /// The exit code, or 128 and the signal's number as a shell reports it.
    pub fn code(&self) -> i32 {
        use std::os::unix::process::ExitStatusExt;
        self.status.code().unwrap_or_else(|| 128 + self.status.signal().unwrap_or(0))
    }

    /// Standard output as text, without trailing white space.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).trim_end().to_owned()
    }
}

impl fmt::Display for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\n--- stdout\n{}\n--- stderr\n{}", self.status, self.text(), self.stderr.trim_end())
    }
}

/// Runs `command` with an empty standard input.
///
/// # Errors
/// When it cannot be started or does not end within [`DEADLINE`]; a failing exit status is not an error.
pub fn output(command: &mut Command) -> Result<Output> {
    command.stdin(Stdio::null());
    collect(command, DEADLINE)
}

/// Runs `command`, whose standard input the caller has set, and kills it at `deadline`.
///
/// # Errors
/// As [`output`].
pub fn collect(command: &mut Command, deadline: Duration) -> Result<Output> {
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("start {command:?}"))?;
    let stdout = drain(child.stdout.take());
    let stderr = drain(child.stderr.take());
    let status = wait(&mut child, deadline).with_context(|| format!("{command:?}"))?;
    let join = |reader: thread::JoinHandle<Vec<u8>>| reader.join().unwrap_or_default();
    Ok(Output { status, stdout: join(stdout), stderr: String::from_utf8_lossy(&join(stderr)).into_owned() })
}

/// Runs `command` and returns its standard output as text.
///
/// # Errors
/// As [`output`], and when the program fails; the error holds all it printed.
pub fn text(command: &mut Command) -> Result<String> {
    let output = output(command)?;
    if !output.status.success() {
        bail!("{command:?}: {output}");
    }
    Ok(output.text())
}

/// Waits for `child` until `deadline` has passed, then kills it.
///
/// # Errors
/// When the deadline has passed.
pub fn wait(child: &mut Child, deadline: Duration) -> Result<ExitStatus> {
    let end = Instant::now() + deadline;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        if Instant::now() >= end {
            child.kill()?;
            child.wait()?;
            bail!("still running after {deadline:?}; killed");
        }
        thread::sleep(Duration::from_millis(2));
    }
}

/// Calls `probe` until it yields a value or `deadline` has passed.
///
/// # Errors
/// When the deadline has passed; the error names `what` was awaited.
pub fn eventually<T>(what: &str, deadline: Duration, mut probe: impl FnMut() -> Option<T>) -> Result<T> {
    let end = Instant::now() + deadline;
    loop {
        if let Some(value) = probe() {
            return Ok(value);
        }
        if Instant::now() >= end {
            bail!("{what}: not so after {deadline:?}");
        }
        thread::sleep(Duration::from_millis(10));
    }
}

fn drain(stream: Option<impl Read + Send + 'static>) -> thread::JoinHandle<Vec<u8>> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut stream) = stream {
            // What was read before a failure is still worth showing.
            let _ = stream.read_to_end(&mut bytes);
        }
        bytes
    })
}
