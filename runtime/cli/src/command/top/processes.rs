//! `beeline top CONTAINER`: its processes.

use std::process::ExitCode;

use beeline_wire::container::top::TopResponse;

use crate::client::{Client, path, query};
use crate::error::Outcome;
use crate::output;

/// Prints what ps says of a container.
pub(super) async fn list(client: &Client, container: &str, options: &[String]) -> Outcome {
    let mut top = path("/containers/{}/top", container);
    if !options.is_empty() {
        top = query(&top, &[("ps_args", &*options.join(" "))]);
    }
    let answer: TopResponse = client.get(&top).await?;
    output::bytes(render(&answer).as_bytes())?;
    Ok(ExitCode::SUCCESS)
}

/// Columns as wide as their widest cell; the last is as long as it is.
fn render(top: &TopResponse) -> String {
    let rows: Vec<&Vec<String>> = [&top.titles].into_iter().chain(&top.processes).collect();
    let width = |column: usize| {
        rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..top.titles.len()).map(width).collect();
    let line = |row: &&Vec<String>| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        format!("{}\n", cells.collect::<Vec<_>>().join("   ").trim_end())
    };
    rows.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_align_whatever_ps_was_asked_for() {
        let row = |cells: [&str; 2]| cells.map(str::to_owned).to_vec();
        let top = TopResponse { titles: row(["PID", "CMD"]), processes: vec![row(["12345", "sh -c x"])] };
        assert_eq!(render(&top), "PID     CMD\n12345   sh -c x\n");
    }
}
