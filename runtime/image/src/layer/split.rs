//! A layer's archive without its files' contents, so that the very bytes that were extracted can be written again.
//!
//! The record is a zstd stream of frames: bytes of the archive, or a reference to a file in the layer's directory
//! whose contents stood there. Its size is a few bytes a file.

use std::fs::File;
use std::io::{self, BufReader, Read, Write};

/// Level 1 costs next to nothing, and headers compress well at any level.
const LEVEL: i32 = 1;
const RAW: u8 = 0;
const PAYLOAD: u8 = 1;
/// No path in an archive is longer; a longer length is a damaged record.
const FIELD_MAX: u64 = 64 * 1024;

/// One stretch of the archive.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Frame {
    /// Bytes as they stood in the archive.
    Raw(Vec<u8>),
    /// The contents of a file in the layer: its path and length.
    Payload { path: Vec<u8>, length: u64 },
}

/// Writes the record while the archive is extracted.
pub(super) struct Writer(zstd::stream::write::Encoder<'static, File>);

impl Writer {
    pub(super) fn new(file: File) -> io::Result<Self> {
        zstd::stream::write::Encoder::new(file, LEVEL).map(Self)
    }

    pub(super) fn raw(&mut self, bytes: &[u8]) -> io::Result<()> {
        for bytes in bytes.chunks(FIELD_MAX as usize) {
            self.0.write_all(&[RAW])?;
            self.0.write_all(&(bytes.len() as u64).to_le_bytes())?;
            self.0.write_all(bytes)?;
        }
        Ok(())
    }

    pub(super) fn payload(&mut self, path: &[u8], length: u64) -> io::Result<()> {
        self.0.write_all(&[PAYLOAD])?;
        self.0.write_all(&length.to_le_bytes())?;
        self.0.write_all(&(path.len() as u64).to_le_bytes())?;
        self.0.write_all(path)
    }

    pub(super) fn finish(self) -> io::Result<()> {
        self.0.finish().map(drop)
    }
}

/// Reads a record's frames in order.
pub(super) struct Reader(zstd::stream::read::Decoder<'static, BufReader<File>>);

impl Reader {
    pub(super) fn new(file: File) -> io::Result<Self> {
        zstd::stream::read::Decoder::new(file).map(Self)
    }

    /// The next frame; none after the last.
    pub(super) fn next_frame(&mut self) -> io::Result<Option<Frame>> {
        let mut kind = [0];
        if self.0.read(&mut kind)? == 0 {
            return Ok(None);
        }
        let length = self.number()?;
        match kind[0] {
            RAW => self.field(length).map(|bytes| Some(Frame::Raw(bytes))),
            PAYLOAD => {
                let path_length = self.number()?;
                let path = self.field(path_length)?;
                Ok(Some(Frame::Payload { path, length }))
            }
            _ => Err(damaged()),
        }
    }

    fn number(&mut self) -> io::Result<u64> {
        let mut bytes = [0; 8];
        self.0.read_exact(&mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }

    fn field(&mut self, length: u64) -> io::Result<Vec<u8>> {
        let length = usize::try_from(length.min(FIELD_MAX + 1)).map_err(|_| damaged())?;
        if length as u64 > FIELD_MAX {
            return Err(damaged());
        }
        let mut bytes = vec![0; length];
        self.0.read_exact(&mut bytes)?;
        Ok(bytes)
    }
}

fn damaged() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "the layer's record is damaged")
}

#[cfg(test)]
mod tests {
    use std::io::Seek;

    use super::*;

    #[test]
    fn frames_read_back_in_order() {
        let mut file = tempfile::tempfile().unwrap();
        let mut writer = Writer::new(file.try_clone().unwrap()).unwrap();
        writer.raw(b"header").unwrap();
        writer.payload(b"bin/sh", 7).unwrap();
        writer.raw(&[0; 1024]).unwrap();
        writer.finish().unwrap();
        file.rewind().unwrap();
        let mut reader = Reader::new(file).unwrap();
        assert_eq!(reader.next_frame().unwrap(), Some(Frame::Raw(b"header".to_vec())));
        assert_eq!(
            reader.next_frame().unwrap(),
            Some(Frame::Payload { path: b"bin/sh".to_vec(), length: 7 })
        );
        assert_eq!(reader.next_frame().unwrap(), Some(Frame::Raw(vec![0; 1024])));
        assert_eq!(reader.next_frame().unwrap(), None);
    }
}
