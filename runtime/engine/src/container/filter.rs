//! Which containers a listing shows.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::container::view::ContainerView;
use crate::error::Error;

/// Docker's filters: for each key the accepted values.
pub type Filters = BTreeMap<String, Vec<String>>;

/// What a listing shall show.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ListOptions {
    /// Also containers that do not run.
    pub all: bool,
    /// At most so many, the newest; implies `all`.
    pub limit: Option<usize>,
    /// Only those that match every key.
    pub filters: Filters,
}

impl ListOptions {
    /// The keys of filters that are understood.
    pub const FILTERS: [&str; 15] = [
        "ancestor",
        "before",
        "exited",
        "expose",
        "health",
        "id",
        "is-task",
        "isolation",
        "label",
        "name",
        "network",
        "publish",
        "since",
        "status",
        "volume",
    ];
}

const HEALTH: [&str; 4] = ["starting", "healthy", "unhealthy", "none"];

const STATES: [&str; 7] = ["created", "running", "paused", "restarting", "removing", "exited", "dead"];

/// The containers `options` asks for, newest first.
///
/// # Errors
/// A filter is not known, or its value makes no sense.
pub(crate) fn select(
    mut views: Vec<Arc<ContainerView>>,
    options: &ListOptions,
    image_of: &dyn Fn(&str) -> Option<String>,
) -> Result<Vec<Arc<ContainerView>>, Error> {
    for (key, values) in &options.filters {
        if !ListOptions::FILTERS.contains(&key.as_str()) {
            return Err(Error::Invalid(format!("invalid filter '{key}'")));
        }
        if let Some(value) = values.iter().find(|value| !is_valid(key, value)) {
            return Err(Error::Invalid(format!("invalid filter '{key}={value}'")));
        }
    }
    views.sort_by(|a, b| b.created.cmp(&a.created).then_with(|| a.id.cmp(&b.id)));
    // Asking for a state or an exit code means asking for what does not run, too.
    let by_state = ["status", "exited"].iter().any(|key| options.filters.contains_key(*key));
    let all = options.all || options.limit.is_some() || by_state;
    let position = |reference: &str| {
        let name = reference.trim_start_matches('/');
        views
            .iter()
            .find(|view| view.name.as_str() == name || view.id.as_str().starts_with(name))
            .map(|view| view.created)
    };
    let bounds: Vec<_> = ["before", "since"]
        .iter()
        .flat_map(|key| options.filters.get(*key).into_iter().flatten().map(move |value| (*key, value)))
        .map(|(key, value)| {
            let created = position(value);
            created.map(|at| (key, at)).ok_or_else(|| Error::NoSuchContainer { reference: value.clone() })
        })
        .collect::<Result<_, _>>()?;
    let wanted = |view: &Arc<ContainerView>| {
        let listed = all || view.status.state.is_up();
        let between = bounds
            .iter()
            .all(|(key, at)| if *key == "before" { view.created < *at } else { view.created > *at });
        let matching = options.filters.iter().all(|(key, values)| {
            let mut matches = values.iter().map(|value| matches(view, key, value, image_of));
            // Every label has to be there; of other keys one value has to fit.
            values.is_empty()
                || if key == "label" { matches.all(|fits| fits) } else { matches.any(|fits| fits) }
        });
        listed && between && matching
    };
    let limit = options.limit.unwrap_or(usize::MAX);
    Ok(views.iter().filter(|view| wanted(view)).take(limit).cloned().collect())
}

fn is_valid(key: &str, value: &str) -> bool {
    match key {
        "status" => STATES.contains(&value),
        "exited" => value.parse::<i64>().is_ok(),
        "health" => HEALTH.contains(&value),
        _ => true,
    }
}

fn matches(view: &ContainerView, key: &str, value: &str, image_of: &dyn Fn(&str) -> Option<String>) -> bool {
    match key {
        "ancestor" => {
            view.config.image == value
                || view
                    .image_id
                    .trim_start_matches("sha256:")
                    .starts_with(value.trim_start_matches("sha256:"))
                || image_of(value).is_some_and(|id| id == view.image_id)
        }
        "exited" => {
            view.status.finished_at.is_some()
                && !view.status.state.is_up()
                && value.parse() == Ok(view.status.exit_code)
        }
        "expose" | "publish" => {
            let (port, protocol) = value.split_once('/').unwrap_or((value, "tcp"));
            view.ports.iter().any(|mapping| {
                let fits = port.parse() == Ok(mapping.container_port)
                    || mapping.host.is_some_and(|(_, host)| key == "publish" && port.parse() == Ok(host));
                fits && mapping.protocol.as_str() == protocol && (key == "expose" || mapping.host.is_some())
            })
        }
        "health" => value == view.status.health.as_ref().map_or("none", |health| health.status.as_str()),
        "id" => view.id.as_str().starts_with(value),
        "is-task" => value == "false",
        "isolation" => value == "default" || value.is_empty(),
        "label" => label_matches(&view.config.labels, value),
        "name" => name_matches(view.name.as_str(), value),
        "network" => view
            .endpoints
            .iter()
            .any(|endpoint| endpoint.network == value || endpoint.network_id.starts_with(value)),
        "status" => view.status.state.as_str() == value,
        "volume" => view.mounts.iter().any(|mount| {
            let name = if mount.name.is_empty() { &mount.source } else { &mount.name };
            name == value || mount.destination == value
        }),
        // Judged by the caller.
        _ => true,
    }
}

/// The moment that `until` filters name: a time, or a duration such as `24h` before now; none without such.
///
/// # Errors
/// One is malformed.
pub(crate) fn until(values: &[String]) -> Result<Option<jiff::Timestamp>, Error> {
    let mut until = None;
    for moment in values {
        let parsed = instant(moment, jiff::Timestamp::now());
        until = Some(parsed.ok_or_else(|| Error::Invalid(format!("invalid filter 'until={moment}'")))?);
    }
    Ok(until)
}

/// Reads what Docker takes for a time: RFC 3339, a date with or without a time of day, seconds since 1970, or a duration
/// before `now`.
fn instant(text: &str, now: jiff::Timestamp) -> Option<jiff::Timestamp> {
    if let Ok(time) = text.parse() {
        return Some(time);
    }
    if let Ok(seconds) = text.parse::<f64>() {
        let since_1970 = jiff::SignedDuration::try_from_secs_f64(seconds).ok()?;
        return jiff::Timestamp::from_duration(since_1970).ok();
    }
    if let Ok(before) = text.parse::<jiff::SignedDuration>() {
        return now.checked_sub(before).ok();
    }
    let local = text.parse::<jiff::civil::DateTime>().ok()?;
    Some(local.to_zoned(jiff::tz::TimeZone::system()).ok()?.timestamp())
}

/// Whether labels include `key` or `key=value`.
pub(crate) fn label_matches(labels: &BTreeMap<String, String>, wanted: &str) -> bool {
    match wanted.split_once('=') {
        Some((key, value)) => labels.get(key).is_some_and(|is| is == value),
        None => labels.contains_key(wanted),
    }
}

/// A yes or no, as Docker reads it.
pub(crate) fn truth(value: &str) -> Option<bool> {
    match value {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

/// Whether a name contains `pattern`, which may be tied to its beginning by `^` or `^/` and to its end by `$`.
pub(crate) fn name_matches(name: &str, pattern: &str) -> bool {
    let (start, pattern) = match pattern.strip_prefix('^') {
        Some(rest) => (true, rest),
        None => (false, pattern),
    };
    let pattern = pattern.strip_prefix('/').unwrap_or(pattern);
    let (end, pattern) = match pattern.strip_suffix('$') {
        Some(rest) => (true, rest),
        None => (false, pattern),
    };
    match (start, end) {
        (true, true) => name == pattern,
        (true, false) => name.starts_with(pattern),
        (false, true) => name.ends_with(pattern),
        (false, false) => name.contains(pattern),
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("web-1", "web", true)]
    #[case("my-web", "web", true)]
    #[case("my-web", "^web", false)]
    #[case("web-1", "^/web-1$", true)]
    #[case("web-12", "^/web-1$", false)]
    #[case("db", "web", false)]
    fn names_are_matched(#[case] name: &str, #[case] pattern: &str, #[case] fits: bool) {
        assert_eq!(name_matches(name, pattern), fits);
    }

    #[rstest]
    #[case("24h", Some(1_000_000 - 86_400))]
    #[case("1h30m", Some(1_000_000 - 5400))]
    #[case("999", Some(999))]
    #[case("1970-01-02T00:00:00Z", Some(86_400))]
    #[case("yesterday", None)]
    #[case("", None)]
    fn times_are_read(#[case] text: &str, #[case] second: Option<i64>) {
        let now = jiff::Timestamp::from_second(1_000_000).unwrap();
        assert_eq!(instant(text, now).map(jiff::Timestamp::as_second), second);
    }

    #[test]
    fn an_unknown_filter_is_refused() {
        let filters = [("colour".to_owned(), vec!["red".to_owned()])].into();
        let options = ListOptions { filters, ..ListOptions::default() };
        let error = select(Vec::new(), &options, &|_| None).unwrap_err();
        assert_eq!(error.to_string(), "invalid filter 'colour'");
        let filters = [("status".to_owned(), vec!["asleep".to_owned()])].into();
        assert!(select(Vec::new(), &ListOptions { filters, ..ListOptions::default() }, &|_| None).is_err());
    }
}
