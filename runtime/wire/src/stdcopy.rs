//! The framing that carries stdout and stderr over one connection:
//! `[stream, 0, 0, 0, length as 4 bytes big-endian]` and then the payload.

use std::fmt;

/// Bytes in a frame's header.
pub const HEADER_LEN: usize = 8;

/// Which stream a frame belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Stream {
    Stdin = 0,
    Stdout = 1,
    Stderr = 2,
    /// An error of the daemon's own, in place of output.
    System = 3,
}

/// A header whose first byte names no stream: the connection is not multiplexed, or out of step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnknownStream(pub u8);

impl fmt::Display for UnknownStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "unrecognized stream {} in a multiplexed connection", self.0)
    }
}

impl std::error::Error for UnknownStream {}

impl TryFrom<u8> for Stream {
    type Error = UnknownStream;

    fn try_from(byte: u8) -> Result<Self, UnknownStream> {
        match byte {
            0 => Ok(Self::Stdin),
            1 => Ok(Self::Stdout),
            2 => Ok(Self::Stderr),
            3 => Ok(Self::System),
            other => Err(UnknownStream(other)),
        }
    }
}

/// The header of a frame with `len` bytes of payload.
pub fn header(stream: Stream, len: u32) -> [u8; HEADER_LEN] {
    let [a, b, c, d] = len.to_be_bytes();
    [stream as u8, 0, 0, 0, a, b, c, d]
}

/// One whole frame. A payload beyond `u32::MAX` bytes is split into several.
pub fn frame(stream: Stream, payload: &[u8]) -> Vec<u8> {
    const LARGEST: usize = u32::MAX as usize;
    let mut frames = Vec::with_capacity(payload.len() + HEADER_LEN);
    for part in payload.chunks(LARGEST) {
        frames.extend_from_slice(&header(stream, u32::try_from(part.len()).unwrap_or(u32::MAX)));
        frames.extend_from_slice(part);
    }
    frames
}

/// Takes frames apart, fed with whatever pieces the connection delivers. Buffers headers only.
#[derive(Debug, Default)]
pub struct Decoder {
    header: [u8; HEADER_LEN],
    filled: usize,
    current: Option<(Stream, u32)>,
}

impl Decoder {
    /// A decoder at the start of a connection.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next piece of payload off the front of `input`; `None` when it is used up.
    ///
    /// # Errors
    /// Returns [`UnknownStream`] for a header that names no stream; the connection cannot be read on.
    pub fn next<'a>(&mut self, input: &mut &'a [u8]) -> Result<Option<(Stream, &'a [u8])>, UnknownStream> {
        loop {
            if let Some((stream, left)) = self.current {
                if left == 0 {
                    self.current = None;
                    continue;
                }
                if input.is_empty() {
                    return Ok(None);
                }
                let take = input.len().min(left as usize);
                let (payload, rest) = input.split_at(take);
                *input = rest;
                let taken = u32::try_from(take).unwrap_or(left);
                self.current = Some((stream, left - taken));
                return Ok(Some((stream, payload)));
            }
            let take = input.len().min(HEADER_LEN - self.filled);
            if take == 0 {
                return Ok(None);
            }
            let (part, rest) = input.split_at(take);
            self.header[self.filled..self.filled + take].copy_from_slice(part);
            self.filled += take;
            *input = rest;
            if self.filled == HEADER_LEN {
                self.filled = 0;
                let [stream, _, _, _, a, b, c, d] = self.header;
                self.current = Some((Stream::try_from(stream)?, u32::from_be_bytes([a, b, c, d])));
            }
        }
    }

    /// Whether the connection may end here: between two frames.
    pub fn at_boundary(&self) -> bool {
        self.filled == 0 && self.current.is_none_or(|(_, left)| left == 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn collect(pieces: &[&[u8]]) -> Vec<(Stream, Vec<u8>)> {
        let mut decoder = Decoder::new();
        let mut out: Vec<(Stream, Vec<u8>)> = Vec::new();
        for piece in pieces {
            let mut input = *piece;
            while let Some((stream, payload)) = decoder.next(&mut input).unwrap() {
                match out.last_mut() {
                    Some((last, bytes)) if *last == stream => bytes.extend_from_slice(payload),
                    _ => out.push((stream, payload.to_vec())),
                }
            }
        }
        assert!(decoder.at_boundary());
        out
    }

    #[test]
    fn frames_survive_being_cut_anywhere() {
        let mut bytes = frame(Stream::Stdout, b"hello ");
        bytes.extend(header(Stream::Stderr, 0));
        bytes.extend(frame(Stream::Stderr, b"world"));
        let expected = vec![(Stream::Stdout, b"hello ".to_vec()), (Stream::Stderr, b"world".to_vec())];
        for cut in 0..=bytes.len() {
            assert_eq!(collect(&[&bytes[..cut], &bytes[cut..]]), expected, "cut at {cut}");
        }
        let single: Vec<&[u8]> = bytes.chunks(1).collect();
        assert_eq!(collect(&single), expected);
    }

    #[test]
    fn a_raw_connection_is_noticed() {
        let mut input: &[u8] = b"plain text";
        assert_eq!(Decoder::new().next(&mut input), Err(UnknownStream(b'p')));
    }

    #[test]
    fn the_header_is_docker_s() {
        assert_eq!(header(Stream::Stderr, 258), [2, 0, 0, 0, 0, 0, 1, 2]);
    }
}
