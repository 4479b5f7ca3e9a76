//! Restart policies, as Docker's command line writes them.

use beeline_wire::container::host_config::RestartPolicy;

/// Reads `always`, `on-failure:3`, …. The daemon knows which names there are.
pub(crate) fn parse_policy(text: &str) -> Result<RestartPolicy, String> {
    let (name, times) = text.split_once(':').unwrap_or((text, "0"));
    let maximum_retry_count = times
        .parse()
        .map_err(|_| format!("{times:?} is not a number of times: use on-failure:3 for example"))?;
    Ok(RestartPolicy { name: name.to_owned(), maximum_retry_count })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_may_have_a_number_of_times() {
        let policy = parse_policy("on-failure:3").unwrap();
        assert_eq!((policy.name.as_str(), policy.maximum_retry_count), ("on-failure", 3));
        assert_eq!(parse_policy("always").unwrap().maximum_retry_count, 0);
        assert!(parse_policy("on-failure:x").unwrap_err().contains("\"x\""));
    }
}
