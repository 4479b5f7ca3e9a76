//! Logs that a server keeps.

mod journald;
mod syslog;

use std::io;

use super::record::Record;
use crate::shim::RemoteLog;
use journald::Journald;
use syslog::Syslog;

/// A connection to a server. What it does not take is dropped and counted.
#[derive(Debug)]
pub(super) struct Remote {
    server: Server,
    dropped: u64,
}

#[derive(Debug)]
enum Server {
    Syslog(Syslog),
    Journald(Journald),
}

impl Remote {
    pub(super) fn connect(config: &RemoteLog) -> io::Result<Self> {
        let server = match config {
            RemoteLog::Syslog(config) => Server::Syslog(Syslog::connect(config.clone())?),
            RemoteLog::Journald { socket, fields } => Server::Journald(Journald::connect(socket, fields)?),
        };
        Ok(Self { server, dropped: 0 })
    }

    pub(super) fn record(&mut self, record: &Record) {
        let sent = match &mut self.server {
            Server::Syslog(syslog) => syslog.send(record),
            Server::Journald(journald) => journald.send(record),
        };
        if sent.is_err() {
            self.dropped += record.text.len() as u64;
        }
    }

    pub(super) fn dropped(&self) -> u64 {
        self.dropped
    }
}
