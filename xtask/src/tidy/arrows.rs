//! The arrows between the crates point one way: beeline -> api -> engine -> {spawn, image, net, metrics} -> abi.

use anyhow::{Context, Result};
use serde_json::Value;

use super::Problem;

/// Which of Beeline's own crates a crate may use. A crate that is not here is new: draw its arrows first.
const ARROWS: &[(&str, &[&str])] = &[
    ("beeline", &["beeline-api", "beeline-cli", "beeline-engine", "beeline-spawn"]),
    ("beeline-cli", &["beeline-wire"]),
    // The metrics endpoint is HTTP: what metrics renders, api serves.
    ("beeline-api", &["beeline-engine", "beeline-metrics", "beeline-wire"]),
    ("beeline-engine", &["beeline-image", "beeline-metrics", "beeline-net", "beeline-spawn"]),
    ("beeline-spawn", &[]),
    ("beeline-image", &[]),
    ("beeline-metrics", &[]),
    ("beeline-net", &["beeline-abi", "beeline-object"]),
    ("beeline-wire", &[]),
    ("beeline-abi", &[]),
    ("beeline-object", &[]),
    ("beeline-testbed", &[]),
    ("xtask", &["beeline-object", "beeline-testbed"]),
];

/// Libraries that only one crate may know, so that the concern stays in one place.
const RESERVED: &[(&str, &[&str])] = &[
    ("axum", &["beeline-api"]),
    // beeline-abi only marks its types as plain data, behind a feature that beeline-net asks for.
    ("aya", &["beeline-net", "beeline-abi"]),
    ("rtnetlink", &["beeline-net"]),
    ("rusqlite", &["beeline-engine"]),
    ("prometheus", &["beeline-metrics"]),
];

/// Checks the dependencies in the output of `cargo metadata`. Those of tests alone are free.
pub(super) fn check(metadata: &str) -> Result<Vec<Problem>> {
    let metadata: Value = serde_json::from_str(metadata).context("read cargo's metadata")?;
    let packages = metadata["packages"].as_array().context("cargo lists no packages")?;
    Ok(packages.iter().flat_map(check_package).collect())
}

fn check_package(package: &Value) -> Vec<Problem> {
    let name = package["name"].as_str().unwrap_or_default();
    let Some((_, allowed)) = ARROWS.iter().find(|(from, _)| *from == name) else {
        return vec![Problem::new(
            name,
            0,
            "this crate has no arrows in xtask/src/tidy/arrows.rs: draw them",
        )];
    };
    let dependencies = package["dependencies"].as_array().map(Vec::as_slice).unwrap_or_default();
    dependencies
        .iter()
        .filter(|dependency| dependency["kind"].as_str() != Some("dev"))
        .filter_map(|dependency| dependency["name"].as_str().map(|to| (to, dependency["path"].is_string())))
        .filter_map(|(to, ours)| {
            if ours && !allowed.contains(&to) {
                return Some(Problem::new(
                    name,
                    0,
                    format!("must not depend on {to} (ARCHITECTURE.md, the map)"),
                ));
            }
            let owners =
                RESERVED.iter().find(|(library, owners)| *library == to && !owners.contains(&name))?.1;
            Some(Problem::new(name, 0, format!("must not depend on {to}: only {} knows it", owners[0])))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metadata(name: &str, dependencies: &str) -> String {
        format!(r#"{{"packages":[{{"name":"{name}","dependencies":[{dependencies}]}}]}}"#)
    }

    #[test]
    fn an_arrow_that_points_back_is_found() {
        let back = metadata("beeline-spawn", r#"{"name":"beeline-engine","kind":null,"path":"/x"}"#);
        assert_eq!(check(&back).unwrap().len(), 1);
        let along = metadata("beeline-engine", r#"{"name":"beeline-spawn","kind":null,"path":"/x"}"#);
        assert_eq!(check(&along).unwrap(), []);
    }

    #[test]
    fn tests_may_use_any_crate() {
        let test = metadata("beeline-spawn", r#"{"name":"beeline-engine","kind":"dev","path":"/x"}"#);
        assert_eq!(check(&test).unwrap(), []);
    }

    #[test]
    fn a_library_stays_in_its_crate() {
        let stray = metadata("beeline-engine", r#"{"name":"axum","kind":null}"#);
        assert!(check(&stray).unwrap()[0].message.contains("only beeline-api"));
    }

    #[test]
    fn a_new_crate_must_draw_its_arrows() {
        assert_eq!(check(&metadata("beeline-new", "")).unwrap().len(), 1);
    }
}
