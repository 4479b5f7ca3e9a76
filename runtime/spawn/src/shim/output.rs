//! The container's output, as the shim reads it.

use std::os::fd::OwnedFd;

use rustix::io::Errno;

use crate::protocol::Stream;

/// A pipe's reading end or the terminal.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) fd: OwnedFd,
    pub(super) stream: Stream,
}

/// What reading a source gave.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Output<'a> {
    Data(&'a [u8]),
    /// Nothing at present.
    Nothing,
    /// All writers have closed it.
    End,
}

impl Source {
    pub(super) fn read<'a>(&self, buffer: &'a mut [u8]) -> Output<'a> {
        match rustix::io::retry_on_intr(|| rustix::io::read(&self.fd, &mut *buffer)) {
            Ok(0) => Output::End,
            Ok(length) => Output::Data(&buffer[..length]),
            Err(Errno::AGAIN) => Output::Nothing,
            // A terminal's end is EIO.
            Err(_) => Output::End,
        }
    }
}
