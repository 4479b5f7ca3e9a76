//! Reading a log, and waiting for more of it.

use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use beeline_spawn::LogFormat;
use beeline_spawn::log::{ReadOptions, Reader};
use beeline_spawn::protocol::Stream;
use jiff::Timestamp;
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use tokio::net::unix::pipe::Receiver;
use tokio::sync::{mpsc, watch};

use super::{LogEntry, LogQuery, LogStream};
use crate::container::view::ContainerView;
use crate::error::Error;

/// How many records are on their way to a client at most.
const AHEAD: usize = 256;

/// What a timer waits beyond a moment, so that it has passed.
const MOMENT: Duration = Duration::from_millis(1);

/// How often a log is looked at when the kernel refuses to watch it.
const FALLBACK: Duration = Duration::from_millis(200);

/// Opens the log of a container.
///
/// # Errors
/// The container's log driver keeps none.
pub(crate) fn open(
    mut views: watch::Receiver<Arc<ContainerView>>,
    query: LogQuery,
) -> Result<LogStream, Error> {
    let view = views.borrow_and_update().clone();
    let Some(format) = view.config.host.log.format() else {
        return Err(Error::NotImplemented("configured logging driver does not support reading".into()));
    };
    if !query.stdout && !query.stderr {
        return Err(Error::Invalid("You must choose at least one stream".into()));
    }
    let (sender, entries) = mpsc::channel(AHEAD);
    let tty = view.config.tty;
    tokio::spawn(async move {
        let path = view.paths.log.clone();
        if let Err(source) = pump(&path, format, &query, views, &sender).await {
            // A client that is gone needs no error.
            let _ = sender.send(Err(Error::File { operation: "read log", path, source })).await;
        }
    });
    Ok(LogStream { tty, entries })
}

async fn pump(
    path: &Path,
    format: LogFormat,
    query: &LogQuery,
    mut views: watch::Receiver<Arc<ContainerView>>,
    sender: &mpsc::Sender<Result<LogEntry, Error>>,
) -> std::io::Result<()> {
    // Watched before it is read: what is written in between is not missed.
    let watched =
        if query.follow { path.parent().and_then(|directory| Watch::new(directory).ok()) } else { None };
    let options = ReadOptions { tail: query.tail, since: query.since, until: query.until };
    let opened = path.to_owned();
    let mut reader = blocking(move || Reader::open(&opened, format, options)).await?;
    let exits = views.borrow().exits;
    loop {
        // Both are looked at before reading: what was written by then, or by a run that has ended, is read to its end.
        let over = query.until.is_some_and(|until| Timestamp::now() > until);
        let ended = {
            let view = views.borrow_and_update();
            !view.status.state.is_running() || view.exits != exits
        };
        let exhausted;
        (reader, exhausted) = forward(reader, query, sender).await?;
        if !exhausted {
            continue;
        }
        if !query.follow || ended || over || sender.is_closed() {
            return Ok(());
        }
        tokio::select! {
            () = changed(watched.as_ref()) => {}
            result = views.changed() => if result.is_err() { return Ok(()) },
            () = passed(query.until) => {}
            () = sender.closed() => return Ok(()),
        }
    }
}

/// Sends some records; true if there are no more at present.
async fn forward(
    mut reader: Reader,
    query: &LogQuery,
    sender: &mpsc::Sender<Result<LogEntry, Error>>,
) -> std::io::Result<(Reader, bool)> {
    let (reader, lines) = blocking(move || {
        let mut lines = Vec::new();
        while lines.len() < AHEAD {
            match reader.next_line()? {
                Some(line) => lines.push(line),
                None => break,
            }
        }
        Ok((reader, lines))
    })
    .await?;
    let exhausted = lines.len() < AHEAD;
    for line in lines {
        let wanted = match line.stream {
            Stream::Stdout => query.stdout,
            Stream::Stderr => query.stderr,
        };
        let (stream, time, attributes) = (line.stream, line.time, line.attrs);
        let entry = LogEntry { stream, time, attributes, bytes: line.log.into() };
        if wanted && sender.send(Ok(entry)).await.is_err() {
            // The client is gone.
            return Ok((reader, true));
        }
    }
    Ok((reader, exhausted))
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> std::io::Result<T> + Send + 'static,
) -> std::io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(std::io::Error::other)?
}

/// Tells when a directory's files change: an inotify descriptor, read as the stream of bytes that it is.
struct Watch(Receiver);

impl Watch {
    fn new(directory: &Path) -> std::io::Result<Self> {
        let inotify = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK)?;
        let events = AddWatchFlags::IN_MODIFY | AddWatchFlags::IN_CREATE | AddWatchFlags::IN_MOVED_TO;
        inotify.add_watch(directory, events)?;
        // It is no pipe, but is polled and read like one.
        Receiver::from_file_unchecked(OwnedFd::from(inotify).into()).map(Self)
    }
}

/// Waits until a moment has passed, for ever if there is none.
async fn passed(until: Option<Timestamp>) {
    let Some(until) = until else { return std::future::pending().await };
    let left = Duration::try_from(until.duration_since(Timestamp::now())).unwrap_or_default();
    tokio::time::sleep(left + MOMENT).await;
}

/// Waits until something was written, or a moment if that cannot be told.
async fn changed(watch: Option<&Watch>) {
    let Some(Watch(descriptor)) = watch else {
        tokio::time::sleep(FALLBACK).await;
        return;
    };
    if descriptor.readable().await.is_ok() {
        // Which files changed does not matter; reading the events makes room for new ones.
        let mut events = [0; 4096];
        while descriptor.try_read(&mut events).is_ok_and(|bytes| bytes > 0) {}
    }
}
