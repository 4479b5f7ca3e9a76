//! Which volumes a listing shows.

use super::VolumeView;
use crate::container::filter::{Filters, label_matches, name_matches, truth};
use crate::error::Error;

/// The keys that are understood.
const KEYS: [&str; 4] = ["dangling", "driver", "label", "name"];

/// The volumes that fit every filter.
///
/// # Errors
/// A filter is not known, or its value makes no sense.
pub(crate) fn select(views: Vec<VolumeView>, filters: &Filters) -> Result<Vec<VolumeView>, Error> {
    for (key, values) in filters {
        if !KEYS.contains(&key.as_str()) {
            return Err(Error::Invalid(format!("invalid filter '{key}'")));
        }
        if let Some(value) = values.iter().find(|value| key == "dangling" && truth(value).is_none()) {
            return Err(Error::Invalid(format!("invalid filter '{key}={value}'")));
        }
    }
    let wanted = |volume: &VolumeView| {
        filters.iter().all(|(key, values)| {
            let mut fits = values.iter().map(|value| matches(volume, key, value));
            // Every label has to be there; of other keys one value has to fit.
            values.is_empty() || if key == "label" { fits.all(|fits| fits) } else { fits.any(|fits| fits) }
        })
    };
    Ok(views.into_iter().filter(wanted).collect())
}

fn matches(volume: &VolumeView, key: &str, value: &str) -> bool {
    match key {
        "dangling" => Some(volume.containers == 0) == truth(value),
        "driver" => value == "local",
        "label" => label_matches(&volume.labels, value),
        _ => name_matches(&volume.name, value),
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;

    fn selected(key: &str, values: &[&str]) -> Result<Vec<String>, String> {
        let view = |name: &str, containers, labels: &[&str]| VolumeView {
            name: name.into(),
            created: Timestamp::UNIX_EPOCH,
            mountpoint: "/x".into(),
            options: Default::default(),
            labels: labels.iter().map(|label| ((*label).to_owned(), String::new())).collect(),
            containers,
        };
        let views = vec![view("data", 1, &["a", "b"]), view("data2", 0, &["a"])];
        let values = values.iter().map(|value| (*value).to_owned()).collect();
        let selected =
            select(views, &[(key.to_owned(), values)].into()).map_err(|error| error.to_string())?;
        Ok(selected.into_iter().map(|view| view.name).collect())
    }

    #[test]
    fn filters_are_dockers() {
        for (key, values, names) in [
            ("name", &["data"][..], &["data", "data2"][..]),
            ("label", &["a", "b"], &["data"]),
            ("dangling", &["true"], &["data2"]),
            ("dangling", &["false"], &["data"]),
            ("driver", &["local"], &["data", "data2"]),
            ("driver", &["other"], &[]),
        ] {
            assert_eq!(selected(key, values).unwrap(), names, "{key} {values:?}");
        }
        assert_eq!(selected("colour", &["red"]).unwrap_err(), "invalid filter 'colour'");
        assert_eq!(selected("dangling", &["maybe"]).unwrap_err(), "invalid filter 'dangling=maybe'");
    }
}
