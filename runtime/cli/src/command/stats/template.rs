//! The forms of the output: a table, JSON, or a template with the columns' names.

use std::str::FromStr;

use super::row::{COLUMNS, Row};
use crate::output;

/// How many of the columns the table shows unless it is told.
const SHOWN: usize = 8;

/// How to print.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Format {
    /// One JSON object a line.
    Json,
    /// Columns with titles, aligned.
    Table(Vec<Vec<Part>>),
    /// A line each.
    Lines(Vec<Part>),
}

/// A piece of a template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Part {
    Text(String),
    Column(usize),
}

impl FromStr for Format {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        // A shell hands a tab on as two characters; Docker takes them for one, too.
        let text = text.replace("\\t", "\t").replace("\\n", "\n");
        match text.as_str() {
            "json" => Ok(Self::Json),
            "table" => Ok(Self::Table((0..SHOWN).map(|column| vec![Part::Column(column)]).collect())),
            text => match text.strip_prefix("table ") {
                Some(columns) => columns.split('\t').map(parse).collect::<Result<_, _>>().map(Self::Table),
                None => parse(text).map(Self::Lines),
            },
        }
    }
}

/// Text and `{{.Name}}`s; Go's other actions are not known here.
fn parse(text: &str) -> Result<Vec<Part>, String> {
    let mut parts = Vec::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("{{") {
        let (action, after) = after.split_once("}}").ok_or("a {{ has no }}")?;
        let name = action.trim().strip_prefix('.').unwrap_or_default();
        let column = COLUMNS.iter().position(|(known, _)| *known == name).ok_or_else(|| {
            let known: Vec<String> = COLUMNS.iter().map(|(name, _)| format!("{{{{.{name}}}}}")).collect();
            format!("{{{{{action}}}}} is none of {}", known.join(", "))
        })?;
        parts.extend((!before.is_empty()).then(|| Part::Text(before.to_owned())));
        parts.push(Part::Column(column));
        rest = after;
    }
    parts.extend((!rest.is_empty()).then(|| Part::Text(rest.to_owned())));
    Ok(parts)
}

impl Format {
    /// The rows as text, each line ended.
    pub(super) fn render(&self, rows: &[Row]) -> String {
        let titles = Row(COLUMNS.map(|(_, title)| title.to_owned()));
        match self {
            Self::Json => rows.iter().map(|row| format!("{}\n", json(row))).collect(),
            Self::Lines(parts) => rows.iter().map(|row| format!("{}\n", fill(parts, row))).collect(),
            Self::Table(columns) => {
                let cells = |row: &Row| columns.iter().map(|parts| fill(parts, row)).collect();
                output::aligned(&std::iter::once(&titles).chain(rows).map(cells).collect::<Vec<_>>())
            }
        }
    }
}

fn fill(parts: &[Part], row: &Row) -> String {
    let piece = |part: &Part| match part {
        Part::Text(text) => text.clone(),
        Part::Column(column) => row.0[*column].clone(),
    };
    parts.iter().map(piece).collect()
}

fn json(row: &Row) -> serde_json::Value {
    let fields = COLUMNS.iter().zip(&row.0);
    fields.map(|((name, _), cell)| ((*name).to_owned(), serde_json::Value::from(cell.as_str()))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row() -> Row {
        Row(["id", "web", "1.00%", "1MiB / 2MiB", "50.00%", "0B / 0B", "0B / 0B", "1", "id"]
            .map(str::to_owned))
    }

    #[test]
    fn templates_name_columns() {
        let render = |format: &str| format.parse::<Format>().unwrap().render(&[row()]);
        assert_eq!(render("{{.Name}}: {{ .CPUPerc }}"), "web: 1.00%\n");
        assert_eq!(render("table {{.Name}}\\t{{.PIDs}}"), "NAME   PIDS\nweb    1\n");
        assert!(render("table").starts_with("CONTAINER ID   NAME   CPU %"));
        assert!(!render("table").contains("  CONTAINER\n"));
        let line: serde_json::Value = serde_json::from_str(&render("json")).unwrap();
        assert_eq!((&line["Name"], &line["MemUsage"]), (&"web".into(), &"1MiB / 2MiB".into()));
    }

    #[test]
    fn what_a_template_cannot_do_is_said() {
        let error = |format: &str| format.parse::<Format>().unwrap_err();
        assert!(error("{{.Nam}}").contains("{{.Nam}} is none of {{.ID}}"), "{}", error("{{.Nam}}"));
        assert!(error("{{json .}}").contains("{{json .}}"));
        assert!(error("{{.Name").contains("no }}"));
    }
}
