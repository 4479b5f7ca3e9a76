//! `--filter NAME=VALUE`.

use anyhow::Result;
use beeline_wire::filters::Filters;

/// A filter's name and value.
pub(crate) type Filter = (String, String);

/// Reads a flag's text.
///
/// # Errors
/// It has no value.
pub(crate) fn parse(text: &str) -> Result<Filter, String> {
    let (name, value) = text.split_once('=').ok_or("use NAME=VALUE, such as status=exited")?;
    Ok((name.to_owned(), value.to_owned()))
}

/// The `filters` parameter of a query.
///
/// # Errors
/// None: texts can be written.
pub(crate) fn parameter(given: &[Filter]) -> Result<String> {
    let mut filters = Filters::default();
    for (name, value) in given {
        filters.add(name, value);
    }
    Ok(serde_json::to_string(&filters)?)
}
