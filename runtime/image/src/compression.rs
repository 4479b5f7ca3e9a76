//! Recognises and undoes the compression of an archive.

use std::io::{self, BufRead, BufReader, Read};

use flate2::bufread::MultiGzDecoder;

use crate::Error;

/// Bytes read at once: large enough that system calls and decoders do not show.
const BUFFER: usize = 128 * 1024;

const GZIP: &[u8] = &[0x1f, 0x8b];
const ZSTD: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd];
/// Compressions we recognise in order to say what to do about them.
const REFUSED: [(&[u8], &str, &str); 3] = [
    (&[0xfd, b'7', b'z', b'X', b'Z', 0], "xz", "xz -dc"),
    (b"BZh", "bzip2", "bzip2 -dc"),
    (&[0x04, 0x22, 0x4d, 0x18], "lz4", "lz4 -dc"),
];

/// The uncompressed stream of `archive`, which may be plain, gzip or zstd.
pub(crate) fn decompress<'a>(archive: impl Read + 'a, what: &str) -> Result<Box<dyn Read + 'a>, Error> {
    let mut archive = BufReader::with_capacity(BUFFER, archive);
    let head = fill(&mut archive).map_err(|source| Error::Read { what: format!("read {what}"), source })?;
    if head.starts_with(GZIP) {
        return Ok(Box::new(BufReader::with_capacity(BUFFER, MultiGzDecoder::new(archive))));
    }
    if head.starts_with(ZSTD) {
        let decoder = zstd::stream::read::Decoder::with_buffer(archive)
            .map_err(|source| Error::Read { what: format!("decompress {what}"), source })?;
        return Ok(Box::new(BufReader::with_capacity(BUFFER, decoder)));
    }
    if let Some((_, name, command)) = REFUSED.iter().find(|(magic, ..)| head.starts_with(magic)) {
        let reason = format!("{name} compression is not supported: decompress it first with `{command}`");
        return Err(Error::archive(format!("read {what}"), reason));
    }
    Ok(Box::new(archive))
}

/// The first bytes without consuming them. A pipe may deliver fewer than a magic number in its first read, but then
/// it delivers too few for an archive, or they come with the writer's next write.
fn fill<R: Read>(archive: &mut BufReader<R>) -> io::Result<Vec<u8>> {
    loop {
        match archive.fill_buf() {
            Ok(head) => return Ok(head[..head.len().min(8)].to_vec()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}
