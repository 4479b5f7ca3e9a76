//! Which networks a listing shows.

use super::NetworkView;
use crate::container::filter::{Filters, label_matches, name_matches, truth};
use crate::error::Error;

/// The keys that are understood.
const KEYS: [&str; 7] = ["dangling", "driver", "id", "label", "name", "scope", "type"];

/// The networks that fit every filter.
///
/// # Errors
/// A filter is not known, or its value makes no sense.
pub(crate) fn select(views: Vec<NetworkView>, filters: &Filters) -> Result<Vec<NetworkView>, Error> {
    for (key, values) in filters {
        if !KEYS.contains(&key.as_str()) {
            return Err(Error::Invalid(format!("invalid filter '{key}'")));
        }
        if let Some(value) = values.iter().find(|value| !is_valid(key, value)) {
            return Err(Error::Invalid(format!("invalid filter '{key}={value}'")));
        }
    }
    let wanted = |network: &NetworkView| {
        filters.iter().all(|(key, values)| {
            let mut fits = values.iter().map(|value| matches(network, key, value));
            // Every label has to be there; of other keys one value has to fit.
            values.is_empty() || if key == "label" { fits.all(|fits| fits) } else { fits.any(|fits| fits) }
        })
    };
    Ok(views.into_iter().filter(wanted).collect())
}

fn is_valid(key: &str, value: &str) -> bool {
    match key {
        "dangling" => truth(value).is_some(),
        "type" => matches!(value, "builtin" | "custom"),
        "scope" => matches!(value, "local" | "global" | "swarm"),
        _ => true,
    }
}

fn matches(network: &NetworkView, key: &str, value: &str) -> bool {
    match key {
        // Those that are always there are never in anyone's way.
        "dangling" => Some(!network.builtin && network.members.is_empty()) == truth(value),
        "driver" => network.driver == value,
        "id" => network.id.starts_with(value),
        "label" => label_matches(&network.labels, value),
        "name" => name_matches(&network.name, value),
        "scope" => value == "local",
        _ => network.builtin == (value == "builtin"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view(name: &str, builtin: bool, labels: &[&str]) -> NetworkView {
        NetworkView {
            id: name.repeat(8),
            name: name.into(),
            builtin,
            driver: "bridge".into(),
            labels: labels.iter().map(|label| ((*label).to_owned(), String::new())).collect(),
            ..NetworkView::default()
        }
    }

    fn selected(filters: &[(&str, &[&str])]) -> Result<Vec<String>, String> {
        let views =
            vec![view("bridge", true, &[]), view("web", false, &["a", "b"]), view("web2", false, &["a"])];
        let filters = filters.iter().map(|(key, values)| {
            ((*key).to_owned(), values.iter().map(|value| (*value).to_owned()).collect())
        });
        let selected = select(views, &filters.collect()).map_err(|error| error.to_string())?;
        Ok(selected.into_iter().map(|view| view.name).collect())
    }

    #[test]
    fn filters_are_dockers() {
        for (filters, names) in [
            (&[][..], &["bridge", "web", "web2"][..]),
            (&[("type", &["custom"][..])], &["web", "web2"]),
            (&[("label", &["a", "b"])], &["web"]),
            (&[("name", &["^web$", "bri"])], &["bridge", "web"]),
            (&[("dangling", &["true"])], &["web", "web2"]),
            (&[("dangling", &["false"])], &["bridge"]),
            (&[("scope", &["swarm"])], &[]),
            (&[("id", &["web2web2"])], &["web2"]),
            (&[("driver", &["host"])], &[]),
        ] {
            assert_eq!(selected(filters).unwrap(), names, "{filters:?}");
        }
    }

    #[test]
    fn an_unknown_filter_or_value_is_named() {
        assert_eq!(selected(&[("colour", &["red"])]).unwrap_err(), "invalid filter 'colour'");
        assert_eq!(selected(&[("type", &["red"])]).unwrap_err(), "invalid filter 'type=red'");
        assert_eq!(selected(&[("dangling", &["maybe"])]).unwrap_err(), "invalid filter 'dangling=maybe'");
    }
}
