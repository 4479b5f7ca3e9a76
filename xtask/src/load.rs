//! `cargo xtask load`: the two ends of a measured path. The bench starts them in network namespaces and containers.

use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use anyhow::{Context, Result};
use beeline_testbed::load::{self, Measurement};

use crate::bench::Kind;

/// Serve or make load; the bench calls this
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    end: End,
}

#[derive(Debug, clap::Subcommand)]
enum End {
    /// Answer every connection to this address
    Serve { address: SocketAddr },
    /// Measure against a server and print the rate
    Measure { kind: Kind, server: SocketAddr, seconds: f64 },
    /// Measure how often two threads take turns and print the rate
    Switches { seconds: f64 },
}

impl Arguments {
    #[allow(clippy::print_stdout, reason = "the bench reads the figure from here")]
    pub(crate) fn run(self) -> Result<()> {
        match self.end {
            End::Serve { address } => {
                let listener = TcpListener::bind(address).with_context(|| format!("listen on {address}"))?;
                load::serve(&listener).with_context(|| format!("serve on {address}"))
            }
            End::Measure { kind, server, seconds } => {
                let Measurement { rate, p99 } = measure(kind, server, Duration::from_secs_f64(seconds))
                    .with_context(|| format!("measure against {server}"))?;
                println!("{rate} {}", p99.as_secs_f64());
                Ok(())
            }
            End::Switches { seconds } => {
                let turns = load::switches(Duration::from_secs_f64(seconds)).context("measure switches")?;
                println!("{} {}", turns.rate, turns.p99.as_secs_f64());
                Ok(())
            }
        }
    }
}

fn measure(kind: Kind, server: SocketAddr, time: Duration) -> std::io::Result<Measurement> {
    match kind {
        Kind::Requests => load::request_response(server, time),
        Kind::Connections => load::connections(server, time),
        Kind::Stream => load::stream(server, time),
    }
}
