use std::fs::File;
use std::io::{self, IsTerminal, Write};
use std::net::IpAddr;
use std::num::NonZeroU64;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, anyhow};
use beeline_wire::pcapng::Tally;
use clap::Args;
use tokio::io::unix::AsyncFd;
use tokio::io::{AsyncReadExt, AsyncWriteExt, Interest};
use tokio::signal::unix::{SignalKind, signal};

use crate::client::{Client, path, query};
use crate::error::Outcome;
use crate::output;

/// Flags of `beeline capture`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  beeline capture web | tcpdump -nr -
  beeline capture web --port 80 | wireshark -k -i -
  beeline capture web --host 192.0.2.7 --proto tcp --duration 1m -w web.pcapng")]
pub(crate) struct Capture {
    /// The file to write; `-` is standard output
    #[arg(short, long, value_name = "FILE", default_value = "-")]
    write: PathBuf,
    /// Only by the interface on this network
    #[arg(long)]
    network: Option<String>,
    /// Only packets from or to this address; may be repeated
    #[arg(long, value_name = "ADDRESS")]
    host: Vec<IpAddr>,
    /// Only TCP, UDP or SCTP from or to this port; may be repeated
    #[arg(long)]
    port: Vec<u16>,
    /// Only this protocol: tcp, udp, sctp, icmp (of both families), arp or a number; may be repeated
    #[arg(long, value_name = "PROTOCOL")]
    proto: Vec<String>,
    /// Only the first bytes of each packet
    #[arg(short, long, value_name = "BYTES", value_parser = clap::value_parser!(u32).range(1..=262_144))]
    snaplen: Option<u32>,
    /// End after so many packets
    #[arg(short, long, value_name = "PACKETS")]
    count: Option<NonZeroU64>,
    /// End after this time, such as 30s or 5m
    #[arg(long, value_name = "TIME", value_parser = duration)]
    duration: Option<u64>,
    /// Name or id
    container: String,
}

impl Capture {
    pub(crate) async fn run(self, client: &Client) -> Outcome {
        let is_stdout = self.write == Path::new("-");
        if is_stdout && io::stdout().is_terminal() {
            return Err(anyhow!(
                "packets are nothing for a terminal: use -w FILE or a pipe, such as `beeline capture {} | tcpdump -r -`",
                self.container
            )
            .into());
        }
        let connection = client.hijack(&self.route()).await?;
        let tally = if is_stdout {
            let stdout = io::stdout();
            copy(connection.stream, stdout.lock(), has_no_reader(io::stdout())).await
        } else {
            let file =
                File::create(&self.write).with_context(|| format!("create {}", self.write.display()))?;
            copy(connection.stream, file, std::future::pending()).await
        };
        output::complain(&summary(&tally?));
        Ok(ExitCode::SUCCESS)
    }

    fn route(&self) -> String {
        let mut parameters: Vec<(&str, String)> = Vec::new();
        parameters.extend(self.network.iter().map(|network| ("network", network.clone())));
        parameters.extend(self.host.iter().map(|host| ("host", host.to_string())));
        parameters.extend(self.port.iter().map(|port| ("port", port.to_string())));
        parameters.extend(self.proto.iter().map(|proto| ("proto", proto.clone())));
        parameters.extend(self.snaplen.map(|snaplen| ("snaplen", snaplen.to_string())));
        parameters.extend(self.count.map(|count| ("count", count.to_string())));
        parameters.extend(self.duration.map(|duration| ("duration", duration.to_string())));
        let parameters: Vec<_> = parameters.iter().map(|(name, value)| (*name, value.as_str())).collect();
        query(&path("/beeline/containers/{}/capture", &self.container), &parameters)
    }
}

/// Nanoseconds.
fn duration(text: &str) -> Result<u64, String> {
    let duration = text.parse::<jiff::SignedDuration>().ok().filter(jiff::SignedDuration::is_positive);
    let nanoseconds = duration.and_then(|duration| u64::try_from(duration.as_nanos()).ok());
    nanoseconds.ok_or_else(|| "use a duration such as 30s or 5m".to_owned())
}

/// Copies packets until the daemon ends. A signal, or that nobody reads any more, asks it to: it tells first what was lost.
async fn copy(
    stream: impl tokio::io::AsyncRead + tokio::io::AsyncWrite,
    mut to: impl Write,
    has_no_reader: impl Future<Output = ()>,
) -> Result<Tally> {
    let (mut from_daemon, mut to_daemon) = tokio::io::split(stream);
    let mut interrupted = signal(SignalKind::interrupt()).context("handle SIGINT")?;
    let mut terminated = signal(SignalKind::terminate()).context("handle SIGTERM")?;
    let enough = async {
        tokio::select! {
            _ = interrupted.recv() => {}
            _ = terminated.recv() => {}
            () = has_no_reader => {}
        }
    };
    tokio::pin!(enough);
    let (mut tally, mut is_enough) = (Tally::default(), false);
    let mut buffer = vec![0; 256 << 10];
    loop {
        tokio::select! {
            () = &mut enough, if !is_enough => {
                is_enough = true;
                to_daemon.shutdown().await.context("end the capture")?;
            }
            read = from_daemon.read(&mut buffer) => {
                let piece = &buffer[..read.context("read packets")?];
                if piece.is_empty() {
                    return Ok(tally);
                }
                tally.feed(piece);
                to.write_all(piece).and_then(|()| to.flush()).context("write packets")?;
            }
        }
    }
}

/// Waits until a pipe's reading end is closed; for ever if it is no pipe.
async fn has_no_reader(pipe: impl AsFd) {
    let Ok(pipe) = pipe.as_fd().try_clone_to_owned() else { return std::future::pending().await };
    #[allow(
        deprecated,
        reason = "its replacement is unsafe for the sake of owners that change their descriptor; an OwnedFd keeps it"
    )]
    let watched = AsyncFd::with_interest(pipe, Interest::ERROR);
    // A file is not watched: it has no end.
    let Ok(watched) = watched else { return std::future::pending().await };
    while let Ok(mut guard) = watched.ready(Interest::ERROR).await {
        if guard.ready().is_error() {
            return;
        }
        guard.clear_ready();
    }
}

/// What a person wants to know at the end.
fn summary(tally: &Tally) -> String {
    let captured = match tally.packets {
        1 => "1 packet captured".to_owned(),
        packets => format!("{packets} packets captured"),
    };
    let dropped = match tally.dropped {
        Some(dropped) => format!("{dropped} dropped by the kernel"),
        None => "the daemon ended before it told how many were dropped".to_owned(),
    };
    let why = tally.comment.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
    format!("beeline: {captured}, {dropped}{why}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_tells_what_was_lost_and_why_it_came() {
        let mut tally = Tally::default();
        (tally.packets, tally.dropped) = (2, Some(0));
        tally.comment = Some("container web has ended".into());
        assert_eq!(
            summary(&tally),
            "beeline: 2 packets captured, 0 dropped by the kernel: container web has ended"
        );
        (tally.packets, tally.dropped, tally.comment) = (1, None, None);
        assert_eq!(
            summary(&tally),
            "beeline: 1 packet captured, the daemon ended before it told how many were dropped"
        );
    }

    #[test]
    fn a_time_is_longer_than_nothing() {
        assert_eq!(duration("1m 30s"), Ok(90_000_000_000));
        assert!(duration("0s").is_err() && duration("-1s").is_err() && duration("soon").is_err());
    }
}
