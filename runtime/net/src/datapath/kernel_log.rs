//! What the programs log, brought to the daemon's tracing.

use std::{
    io,
    os::fd::{AsFd as _, OwnedFd},
    thread::JoinHandle,
};

use aya_log::EbpfLogger;
use log::{Level, Log, Metadata, Record};
use nix::{
    poll::{PollFd, PollFlags, PollTimeout, poll},
    unistd::pipe,
};

/// A thread that reads the ring buffer until it is dropped. A ring buffer has one reader.
#[derive(Debug)]
pub(super) struct KernelLog {
    /// Closing it ends the thread.
    stop: Option<OwnedFd>,
    thread: Option<JoinHandle<()>>,
}

impl KernelLog {
    /// Reads what the program with this id, and all that share its buffer, log.
    pub(super) fn start(program_id: u32) -> io::Result<Self> {
        let mut logger =
            EbpfLogger::init_from_id_with_logger(program_id, ToTracing).map_err(io::Error::other)?;
        let (stopped, stop) = pipe()?;
        let thread = std::thread::Builder::new().name("bpf-log".into()).spawn(move || {
            loop {
                let mut fds = [
                    PollFd::new(logger.as_fd(), PollFlags::POLLIN),
                    PollFd::new(stopped.as_fd(), PollFlags::POLLIN),
                ];
                let polled = poll(&mut fds, PollTimeout::NONE);
                let is_stopped = fds[1].any().unwrap_or(true);
                if is_stopped || polled.is_err_and(|errno| errno != nix::Error::EINTR) {
                    return;
                }
                logger.flush();
            }
        })?;
        Ok(Self { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for KernelLog {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

/// Turns the programs' records into events of the target `beeline_net::kernel`.
#[derive(Debug)]
struct ToTracing;

impl Log for ToTracing {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        let message = record.args();
        let program = record.target();
        match record.level() {
            Level::Error => tracing::error!(target: "beeline_net::kernel", program, "{message}"),
            Level::Warn => tracing::warn!(target: "beeline_net::kernel", program, "{message}"),
            Level::Info => tracing::info!(target: "beeline_net::kernel", program, "{message}"),
            Level::Debug => tracing::debug!(target: "beeline_net::kernel", program, "{message}"),
            Level::Trace => tracing::trace!(target: "beeline_net::kernel", program, "{message}"),
        }
    }

    fn flush(&self) {}
}
