//! `GET /metrics`.

use std::sync::Arc;

use axum::extract::State;
use axum::http::header::{ACCEPT, CONTENT_TYPE, VARY};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use beeline_engine::Engine;
use beeline_metrics::{Exporter, Format};

#[derive(Clone)]
pub(super) struct Scrape {
    pub(super) engine: Engine,
    pub(super) exporter: Arc<Exporter>,
}

pub(super) async fn metrics(
    State(Scrape { engine, exporter }): State<Scrape>,
    headers: HeaderMap,
) -> Response {
    let format = wanted(headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok()));
    let rendered = tokio::task::spawn_blocking(move || exporter.render_as(&engine.metrics(), format)).await;
    match rendered {
        Ok(Ok(text)) => ([(CONTENT_TYPE, format.content_type()), (VARY, "Accept")], text).into_response(),
        Ok(Err(error)) => failed(&error),
        Err(error) => failed(&error),
    }
}

/// OpenMetrics for those who want it at least as much as the old format.
fn wanted<'a>(accept: impl Iterator<Item = &'a str>) -> Format {
    let (mut open, mut text) = (0.0, 0.0);
    for range in accept.flat_map(|header| header.split(',')) {
        let mut parts = range.split(';').map(str::trim);
        let media_type = parts.next().unwrap_or_default().to_ascii_lowercase();
        let (mut quality, mut version) = (1.0, "");
        for parameter in parts {
            match parameter.split_once('=') {
                Some(("q", value)) => quality = value.parse().unwrap_or(0.0),
                Some(("version", value)) => version = value,
                _ => {}
            }
        }
        match media_type.as_str() {
            "application/openmetrics-text" if matches!(version, "" | "1.0.0" | "0.0.1") => {
                open = f64::max(open, quality);
            }
            "text/plain" | "text/*" => text = f64::max(text, quality),
            _ => {}
        }
    }
    if open > 0.0 && open >= text { Format::OpenMetrics } else { Format::Text }
}

fn failed(error: &dyn std::error::Error) -> Response {
    tracing::error!(%error, "render the metrics");
    (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_format_is_the_one_that_is_asked_for() {
        let prometheus = "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,\
                          text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
        for (accept, format) in [
            (prometheus, Format::OpenMetrics),
            ("application/openmetrics-text; version=1.0.0; charset=utf-8", Format::OpenMetrics),
            ("text/plain;version=0.0.4, application/openmetrics-text;version=1.0.0;q=0.5", Format::Text),
            ("application/openmetrics-text;version=2.0.0", Format::Text),
            ("application/openmetrics-text;q=0", Format::Text),
            ("*/*", Format::Text),
            ("", Format::Text),
        ] {
            assert_eq!(wanted([accept].into_iter()), format, "{accept}");
        }
    }
}
