//! `GET /containers/{name}/stats`.

use std::convert::Infallible;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::response::Response;
use beeline_engine::StatsStream;
use futures_util::{StreamExt, stream};

use crate::app::App;
use crate::convert;
use crate::http::error::ApiError;
use crate::http::params::Params;
use crate::http::reply;

/// A line a second; with `stream=0` the one that has a line before it to compare with; with `one-shot=1` as well the
/// one that can be had at once.
pub(crate) async fn stats(
    State(app): State<App>,
    Path(name): Path<String>,
    params: Params,
) -> Result<Response, ApiError> {
    let streams = params.get("stream").is_none() || params.flag("stream");
    let one_shot = params.flag("one-shot");
    if streams && one_shot {
        return Err(ApiError::bad_request("cannot have stream=true and one-shot=true"));
    }
    if one_shot {
        return Ok(reply::json(&convert::stats::stats(&app.engine.stats_now(&name).await?)));
    }
    let mut samples = app.engine.stats(&name)?;
    if !streams {
        return compared(&mut samples, &name).await;
    }
    let lines = stream::unfold(samples, async |mut samples| {
        let stats = samples.next().await?;
        Some((Ok::<_, Infallible>(reply::line(&convert::stats::stats(&stats))), samples))
    });
    let body = Body::from_stream(lines.take_until(Box::pin(app.shutdown.cancelled_owned())));
    Ok(reply::stream("application/json", body))
}

/// The first sample with one before it. A container that does not run has none, and its zeroes need not be waited for.
async fn compared(samples: &mut StatsStream, name: &str) -> Result<Response, ApiError> {
    while let Some(stats) = samples.next().await {
        if stats.now.is_none() || stats.before.is_some() {
            return Ok(reply::json(&convert::stats::stats(&stats)));
        }
    }
    Err(ApiError::from(beeline_engine::Error::NoSuchContainer { reference: name.to_owned() }))
}
