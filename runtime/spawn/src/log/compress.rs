//! Compressing a log's older files, on a thread: the container does not wait for it until the next rotation.

use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, Seek, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;
use std::time::UNIX_EPOCH;

use flate2::bufread::GzDecoder;
use flate2::{Compression as Level, GzBuilder};
use rustix::fs::{Mode, OFlags};

use super::reader::{Identity, compressed};

/// A file being compressed.
#[derive(Debug)]
pub(super) struct Compression(JoinHandle<()>);

impl Compression {
    pub(super) fn wait(self) {
        // A thread that failed has left the file as it was.
        let _ = self.0.join();
    }
}

/// Compresses `path` in its place. Without a thread it stays as it is, which is no harm.
pub(super) fn start(path: PathBuf) -> Option<Compression> {
    let work = move || {
        let temporary = path.with_extension("tmp");
        if compress(&path, &temporary).is_err() {
            // For want of space, most likely: the plain file can be read as well.
            let _ = fs::remove_file(&temporary);
        }
    };
    std::thread::Builder::new().name("log-gzip".into()).spawn(work).ok().map(Compression)
}

fn compress(path: &Path, temporary: &Path) -> io::Result<()> {
    let mut from = File::open(path)?;
    let to = File::create(temporary)?;
    fs::set_permissions(temporary, from.metadata()?.permissions())?;
    // A follower in the middle of the file knows by this that it is the same.
    let header = GzBuilder::new().extra(identity(&from)?.to_bytes());
    let mut encoder = header.write(BufWriter::new(to), Level::default());
    io::copy(&mut from, &mut encoder)?;
    encoder.finish()?.flush()?;
    fs::rename(temporary, compressed(path))?;
    fs::remove_file(path)
}

/// What tells a log's file from others, wherever it is moved.
pub(super) fn identity(file: &File) -> io::Result<Identity> {
    let meta = file.metadata()?;
    let born = meta.created().ok().and_then(|born| born.duration_since(UNIX_EPOCH).ok());
    // A number is used again when its file is gone, but not at the same moment.
    let born = born.and_then(|born| u64::try_from(born.as_nanos()).ok()).unwrap_or(0);
    Ok(Identity { inode: meta.ino(), born })
}

/// Opens a compressed file as the file that it was: unpacked into one without a name.
pub(super) fn open(path: &Path) -> io::Result<(File, Identity)> {
    let packed = File::open(path)?;
    let of_packed = identity(&packed)?;
    let mut decoder = GzDecoder::new(BufReader::new(packed));
    let extra = decoder.header().and_then(|header| header.extra());
    let identity = extra.and_then(Identity::from_bytes).unwrap_or(of_packed);
    let directory = path.parent().unwrap_or(Path::new("/"));
    let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
    let mut file: File = rustix::fs::open(directory, flags, Mode::RUSR | Mode::WUSR)?.into();
    io::copy(&mut decoder, &mut file)?;
    file.rewind()?;
    Ok((file, identity))
}
