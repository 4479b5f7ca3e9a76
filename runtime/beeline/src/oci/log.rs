//! Where errors go: standard error, and a file that engines read.

use std::fs::File;
use std::io::Write as _;
use std::path::PathBuf;

use clap::ValueEnum;
use serde_json::json;

/// A log file's format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// `time="…" level=… msg="…"`
    Text,
    /// An object a line.
    Json,
}

#[derive(Debug)]
pub(super) struct Log {
    file: Option<PathBuf>,
    format: Format,
    debug: bool,
}

impl Log {
    pub(super) fn new(file: Option<PathBuf>, format: Format, debug: bool) -> Self {
        Self { file, format, debug }
    }

    pub(super) fn error(&self, error: &anyhow::Error) {
        self.show("error", &format!("{error:#}"));
    }

    pub(super) fn warning(&self, error: &anyhow::Error) {
        self.show("warning", &format!("{error:#}"));
    }

    pub(super) fn debug(&self, message: &str) {
        if self.debug {
            self.write("debug", message);
        }
    }

    #[allow(clippy::print_stderr, reason = "the command line talks to its caller")]
    fn show(&self, level: &str, message: &str) {
        eprintln!("beeline oci: {message}");
        self.write(level, message);
    }

    /// Without a file there is nowhere to say that it cannot be written but standard error, which has the message.
    fn write(&self, level: &str, message: &str) {
        let Some(path) = &self.file else { return };
        let time = jiff::Timestamp::now();
        let line = match self.format {
            Format::Json => json!({ "level": level, "msg": message, "time": time }).to_string(),
            Format::Text => format!("time=\"{time}\" level={level} msg={message:?}"),
        };
        if let Ok(mut file) = File::options().append(true).create(true).open(path) {
            let _ = file.write_all(format!("{line}\n").as_bytes());
        }
    }
}
