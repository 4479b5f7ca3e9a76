//! Container logs: files in Docker's formats json-file and local, rotated by size; syslog and the journal.
//!
//! The file at the configured path is the current one; `.1` beside it is the one before, and so on. Rotation renames
//! and makes a new file, even when only one is kept: a reader that holds the old one open finds its end there.

mod compress;
mod file;
mod line;
mod local;
mod reader;
mod record;
mod remote;
#[cfg(test)]
mod tests;
mod worker;
mod writer;

pub use line::LogLine;
pub use reader::{ReadOptions, Reader};
pub(crate) use writer::Writer;
