//! The client's standard streams, joined to a container's.

use std::io;

use anyhow::{Context, Result};
use beeline_wire::detach_keys::{self, DetachKeys};
use beeline_wire::stdcopy::{Decoder, Stream};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, copy};

use crate::client::Hijacked;
use crate::output;

/// How an attached session ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    /// The container closed its output.
    Closed,
    /// The user typed the detach keys.
    Detached,
}

/// What is joined.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Streams {
    /// Standard input goes to the container.
    pub(crate) stdin: bool,
    /// The container has a terminal: its output is raw, and the detach keys hold.
    pub(crate) tty: bool,
}

/// Shuttles until the container closes its output or the user detaches.
///
/// # Errors
/// When the connection breaks or nobody reads our output.
pub(crate) async fn shuttle(hijacked: Hijacked, streams: Streams, keys: DetachKeys) -> Result<Ended> {
    let (read, write) = tokio::io::split(hijacked.stream);
    let output = show(read, hijacked.multiplexed && !streams.tty);
    let input = async {
        if !streams.stdin {
            // Held open: closing would be taken for the end of input.
            std::future::pending::<()>().await;
        }
        feed(write, streams.tty, keys).await
    };
    tokio::pin!(output);
    tokio::select! {
        shown = &mut output => shown.map(|()| Ended::Closed),
        fed = input => match fed {
            Ok(Ended::Detached) => Ok(Ended::Detached),
            // The end of our input, or a container that reads no more: its output goes on.
            Ok(Ended::Closed) | Err(_) => output.await.map(|()| Ended::Closed),
        },
    }
}

/// Prints a container's output until it ends.
///
/// # Errors
/// As [`shuttle`].
pub(crate) async fn show(mut from: impl AsyncRead + Unpin, multiplexed: bool) -> Result<()> {
    let mut buffer = vec![0; 64 * 1024];
    let mut decoder = Decoder::new();
    loop {
        let count = match from.read(&mut buffer).await {
            Ok(0) => return Ok(()),
            Ok(count) => count,
            Err(error) => return Err(error).context("read the container's output"),
        };
        let mut input = &buffer[..count];
        if !multiplexed {
            output::bytes(input)?;
            continue;
        }
        while let Some((stream, payload)) = decoder.next(&mut input).context("read the container's output")? {
            match stream {
                Stream::Stderr | Stream::System => output::error_bytes(payload),
                Stream::Stdin | Stream::Stdout => output::bytes(payload)?,
            }
        }
    }
}

/// Sends standard input to the container, and its end.
async fn feed(mut to: impl AsyncWrite + Unpin, tty: bool, mut keys: DetachKeys) -> io::Result<Ended> {
    let mut stdin = tokio::io::stdin();
    if !tty {
        copy(&mut stdin, &mut to).await?;
        to.shutdown().await?;
        return Ok(Ended::Closed);
    }
    let mut buffer = [0; 4096];
    loop {
        let count = stdin.read(&mut buffer).await?;
        if count == 0 {
            to.shutdown().await?;
            return Ok(Ended::Closed);
        }
        let (passed, detached) = keys.filter(&buffer[..count]);
        to.write_all(&passed).await?;
        to.flush().await?;
        if detached {
            return Ok(Ended::Detached);
        }
    }
}

/// The keys that a flag `--detach-keys` says.
///
/// # Errors
/// Why they are none, for clap.
pub(crate) fn parse_keys(text: &str) -> Result<String, String> {
    detach_keys::parse(text).map(|_| text.to_owned()).map_err(|error| error.to_string())
}

/// A watch for the keys of a flag that [`parse_keys`] has read.
pub(crate) fn keys(flag: Option<&str>) -> DetachKeys {
    flag.and_then(|text| detach_keys::parse(text).ok()).map(DetachKeys::new).unwrap_or_default()
}
