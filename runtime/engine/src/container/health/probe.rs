//! One probe: an exec whose output is read and cut.

use std::path::Path;
use std::time::{Duration, Instant};

use beeline_spawn::protocol::Exec as Wanted;
use jiff::Timestamp;
use tokio::io::AsyncReadExt as _;
use tokio::net::UnixStream;

use super::{Probe, Settings};
use crate::container::view::ContainerView;
use crate::error::{Error, chain};
use crate::exec::{self, ExecConfig, Started};
use crate::identity::ContainerId;
use crate::shared::Shared;

/// How much of a probe's output is kept, in bytes.
const KEPT: usize = 4096;

/// Docker's exit code for a probe that has none.
const FAILED: i64 = -1;

/// Probes the container, and returns when the probe has ended or was killed for having taken too long.
pub(super) async fn run(shared: &Shared, view: &ContainerView, settings: &Settings) -> Probe {
    let start = Timestamp::now();
    shared.recorder.health_check();
    let (exit_code, output) = match try_run(shared, view, settings).await {
        Ok(result) => result,
        Err(error) => {
            shared.recorder.health_check_failed();
            (FAILED, error.full())
        }
    };
    Probe { start, end: Timestamp::now(), exit_code, output }
}

async fn try_run(shared: &Shared, view: &ContainerView, settings: &Settings) -> Result<(i64, String), Error> {
    let began = Instant::now();
    let id = ContainerId::random()?.to_string();
    let config = ExecConfig { cmd: settings.argv.clone(), ..ExecConfig::default() };
    let wanted = Wanted {
        id: id.clone(),
        stdout: true,
        stderr: true,
        raw: true,
        timeout_ms: Some(u64::try_from(settings.timeout.as_millis()).unwrap_or(u64::MAX).max(1)),
        ..Wanted::default()
    };
    let run_dir = shared.run_dir(&view.id);
    exec::created(shared, view, &config, &id);
    let Started { stream, .. } = exec::start(shared, view, &config, wanted).await?;
    shared.recorder.health_check_started(began.elapsed());
    let result = finish(&run_dir, &id, stream, settings.timeout).await;
    exec::forget_file(&run_dir, &id).await;
    let code = if let Ok((code, _)) = &result { *code } else { FAILED };
    exec::died(shared, view, &id, code);
    result
}

/// Reads the output to its end, which is the probe's, and asks how it ended.
async fn finish(
    run_dir: &Path,
    id: &str,
    stream: UnixStream,
    timeout: Duration,
) -> Result<(i64, String), Error> {
    let failed = |error: &(dyn std::error::Error + 'static)| Error::Internal {
        operation: "probe the container's health".into(),
        message: chain(error),
    };
    let output = read(stream).await.map_err(|error| failed(&error))?;
    let exit = exec::exit_of(run_dir, id).await.map_err(|error| failed(&error))?;
    if !exit.timed_out {
        return Ok((exit.exit.code.into(), output));
    }
    let text = if output.is_empty() {
        format!("Health check exceeded timeout ({timeout:?})")
    } else {
        format!("Health check exceeded timeout ({timeout:?}): {output}")
    };
    Ok((FAILED, text))
}

/// The beginning of what comes; the rest is received as well, or the probe would wait for its reader.
async fn read(mut stream: UnixStream) -> std::io::Result<String> {
    let mut kept = Vec::new();
    let mut more = false;
    let mut buffer = [0; 4096];
    loop {
        let count = stream.read(&mut buffer).await?;
        if count == 0 {
            break;
        }
        let room = KEPT - kept.len();
        more |= count > room;
        kept.extend_from_slice(&buffer[..count.min(room)]);
    }
    let mut text = String::from_utf8_lossy(&kept).into_owned();
    if more {
        text.push_str("...");
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt as _;

    use super::*;

    async fn output(written: Vec<u8>) -> String {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let writer = tokio::spawn(async move { theirs.write_all(&written).await });
        let text = read(ours).await.unwrap();
        writer.await.unwrap().unwrap();
        text
    }

    #[tokio::test]
    async fn output_is_cut_at_dockers_limit() {
        assert_eq!(output(vec![b'x'; KEPT]).await, "x".repeat(KEPT));
        assert_eq!(output(vec![b'x'; 1_000_000]).await, "x".repeat(KEPT) + "...");
    }
}
