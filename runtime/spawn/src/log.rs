//! Container logs in Docker's json-file format: one JSON object a line, rotated by size.
//!
//! The file at the configured path is the current one; `.1` beside it is the one before, and so on. Rotation renames
//! and makes a new file, even when only one is kept: a reader that holds the old one open finds its end there.

mod line;
mod reader;
#[cfg(test)]
mod tests;
mod writer;

pub use line::LogLine;
pub use reader::{ReadOptions, Reader};
pub(crate) use writer::Writer;
