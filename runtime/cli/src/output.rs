//! The terminal: the only module that prints.

use std::io::{self, ErrorKind, Write};

use anyhow::{Context, Result};

/// Writes a line to standard output.
///
/// # Errors
/// When nobody reads it.
pub(crate) fn line(text: &str) -> Result<()> {
    bytes(format!("{text}\n").as_bytes())
}

/// Writes to standard output as is.
///
/// # Errors
/// When nobody reads it.
pub(crate) fn bytes(bytes: &[u8]) -> Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(bytes).and_then(|()| out.flush()).context("write to standard output")
}

/// Writes to standard error as is; nobody can be told when that fails.
pub(crate) fn error_bytes(bytes: &[u8]) {
    let _ = io::stderr().lock().write_all(bytes);
}

/// Writes a line to standard error.
pub(crate) fn complain(text: &str) {
    error_bytes(format!("{text}\n").as_bytes());
}

/// Whether the reader of our output has gone.
pub(crate) fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error
        .chain()
        .filter_map(|cause| cause.downcast_ref::<io::Error>())
        .any(|cause| cause.kind() == ErrorKind::BrokenPipe)
}

/// Rows under a header, each column as wide as its widest cell, three spaces between, as Docker's listings.
#[derive(Debug)]
pub(crate) struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with these column titles.
    pub(crate) fn new<const N: usize>(header: [&str; N]) -> Self {
        Self { rows: vec![header.map(str::to_owned).to_vec()] }
    }

    /// Adds a row.
    pub(crate) fn row<const N: usize>(&mut self, cells: [String; N]) {
        self.rows.push(cells.into());
    }

    /// Prints the table.
    ///
    /// # Errors
    /// When nobody reads it.
    pub(crate) fn print(&self) -> Result<()> {
        bytes(self.render().as_bytes())
    }

    fn render(&self) -> String {
        aligned(&self.rows)
    }
}

/// Rows of equally many cells, each column as wide as its widest cell, three spaces between.
pub(crate) fn aligned(rows: &[Vec<String>]) -> String {
    let columns = rows.first().map_or(0, Vec::len);
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = String::new();
    for row in rows {
        let cells: Vec<String> =
            row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        text.push_str(cells.join("   ").trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_align_and_lines_have_no_trailing_space() {
        let mut table = Table::new(["NAME", "PORTS"]);
        table.row(["a-long-name".into(), String::new()]);
        table.row(["b".into(), "80/tcp".into()]);
        assert_eq!(table.render(), "NAME          PORTS\na-long-name\nb             80/tcp\n");
    }
}
