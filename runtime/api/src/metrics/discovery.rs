//! `GET /sd`: containers that label themselves as scrape targets, for Prometheus' HTTP service discovery.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use beeline_engine::{ContainerView, ListOptions, Protocol};
use beeline_metrics::sanitize;
use serde::Serialize;

use super::scrape::Scrape;
use crate::http::error::ApiError;

/// The labels by which a container asks to be scraped.
const SCRAPE: &str = "prometheus.io/scrape";
const PORT: &str = "prometheus.io/port";
const PATH: &str = "prometheus.io/path";
const SCHEME: &str = "prometheus.io/scheme";
const NETWORK: &str = "prometheus.io/network";
/// What begins the labels that relabelling sees and series do not get.
const META: &str = "__meta_beeline";

/// An entry of the answer.
#[derive(Debug, PartialEq, Serialize)]
pub(super) struct TargetGroup {
    targets: Vec<String>,
    labels: BTreeMap<String, String>,
}

/// Containers that run and want to be scraped.
pub(super) async fn targets(State(Scrape { engine, .. }): State<Scrape>) -> Response {
    match engine.list(&ListOptions::default()) {
        Ok(views) => Json(groups(&views)).into_response(),
        Err(error) => ApiError::from(error).into_response(),
    }
}

fn groups(views: &[Arc<ContainerView>]) -> Vec<TargetGroup> {
    let wanted = views.iter().filter(|view| label(view, SCRAPE) == Some("true"));
    let group = |view: &Arc<ContainerView>| {
        let group = group(view);
        if let Err(reason) = &group {
            tracing::warn!(container = %view.name, "not among the scrape targets: {reason}");
        }
        group.ok()
    };
    wanted.filter_map(group).collect()
}

fn group(view: &ContainerView) -> Result<TargetGroup, String> {
    let (network, address) = place(view)?;
    let scheme = match label(view, SCHEME) {
        None => "http",
        Some(scheme @ ("http" | "https")) => scheme,
        Some(other) => return Err(format!("its label {SCHEME} is {other:?}; use http or https")),
    };
    let target = SocketAddr::new(address, port(view, scheme)?);
    let path = label(view, PATH).unwrap_or("/metrics");
    let meta = |name: &str| format!("{META}_{name}");
    let mut labels = BTreeMap::from([
        ("__scheme__".to_owned(), scheme.to_owned()),
        ("__metrics_path__".to_owned(), path.to_owned()),
        (meta("container_id"), view.id.to_string()),
        (meta("container_name"), view.name.to_string()),
        (meta("container_image"), view.config.image.clone()),
        (meta("network_name"), network.to_owned()),
        (meta("network_ip"), address.to_string()),
    ]);
    for (name, value) in &view.config.labels {
        labels.insert(meta(&format!("container_label_{}", sanitize(name))), value.clone());
    }
    Ok(TargetGroup { targets: vec![target.to_string()], labels })
}

/// The network by which it is scraped, and its address there. A container on the host's network is at the loopback address.
fn place(view: &ContainerView) -> Result<(&str, IpAddr), String> {
    if view.config.host.network_mode == "host" {
        return Ok(("host", Ipv4Addr::LOCALHOST.into()));
    }
    let asked = label(view, NETWORK);
    let mut endpoints = view.endpoints.iter().filter(|end| asked.is_none_or(|name| name == end.network));
    let found = endpoints.find_map(|end| Some((end.network.as_str(), end.addresses().next()?)));
    found.ok_or_else(|| match asked {
        Some(name) => format!("its label {NETWORK} is {name:?}, and it has no address there"),
        None => "it has no network of its own".to_owned(),
    })
}

/// The labelled port, else the lowest of TCP that it exposes, else the scheme's.
fn port(view: &ContainerView, scheme: &str) -> Result<u16, String> {
    if let Some(text) = label(view, PORT) {
        let port = text.parse().ok().filter(|port| *port != 0);
        return port.ok_or_else(|| format!("its label {PORT} is {text:?}; use a number from 1 to 65535"));
    }
    let exposed = view.ports.iter().filter(|port| port.protocol == Protocol::Tcp);
    let fallback = if scheme == "https" { 443 } else { 80 };
    Ok(exposed.map(|port| port.container_port).min().unwrap_or(fallback))
}

fn label<'a>(view: &'a ContainerView, name: &str) -> Option<&'a str> {
    view.config.labels.get(name).map(String::as_str)
}
