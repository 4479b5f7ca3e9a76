//! Makes images of file systems: `docker import`, and the embedded image.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::time::UNIX_EPOCH;

use jiff::Timestamp;
use tar::Header;

use crate::config::{Document, Execution, History, Platform, RootFs};
use crate::error::at;
use crate::records::{Binary, Embedded, Records};
use crate::{Error, ImageId, ImageRef, Store, changes, compression};

const WHAT: &str = "file system archive";
const BLOCK: u64 = 512;
/// The image that needs no network: a server that tells who it is.
const EMBEDDED: &str = "beeline/whoami:latest";
const EMBEDDED_CHANGES: [&str; 2] = [r#"ENTRYPOINT ["/beeline", "whoami"]"#, "EXPOSE 80/tcp"];

/// How an archive becomes an image.
#[derive(Debug, Clone, Default)]
pub struct ImportOptions {
    /// The image's name; without, it goes by its id.
    pub reference: Option<ImageRef>,
    /// A remark in the image's history.
    pub message: String,
    /// Dockerfile instructions (CMD, ENV, …) for its configuration.
    pub changes: Vec<String>,
    /// `os/architecture[/variant]`; without, the machine's.
    pub platform: Option<String>,
}

impl Store {
    /// Makes an image of a file system: a tar archive, plain, gzip or zstd.
    ///
    /// # Errors
    /// When an option is not understood, or the archive cannot be read, is truncated or holds what a layer cannot.
    pub fn import(&self, archive: impl Read, options: &ImportOptions) -> Result<ImageId, Error> {
        let created = Timestamp::now().to_string();
        self.import_layer(archive, options, &created, |_, _| {})
    }

    /// Keeps the image `beeline/whoami`, whose only file is `executable`, a static Beeline. Nothing is done when it was
    /// made from this very file.
    ///
    /// # Errors
    /// When the file cannot be read, or the store not be written.
    pub fn install_embedded(&self, executable: &Path) -> Result<ImageId, Error> {
        let mut file = File::open(executable).map_err(at("open", executable))?;
        let metadata = file.metadata().map_err(at("examine", executable))?;
        let binary = Binary::of(&metadata);
        if let Some(embedded) = self.embedded()
            && embedded.binary == binary
            && self.resolve(EMBEDDED).is_ok_and(|image| image.id == embedded.image)
        {
            return Ok(embedded.image);
        }
        let modified = metadata.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
        let created = modified
            .and_then(|since| Timestamp::new(since.as_secs().try_into().ok()?, 0).ok())
            .unwrap_or(Timestamp::UNIX_EPOCH);
        let options = ImportOptions {
            reference: Some(EMBEDDED.parse()?),
            message: "Embedded in Beeline".to_owned(),
            changes: EMBEDDED_CHANGES.map(str::to_owned).to_vec(),
            platform: None,
        };
        let size = metadata.len();
        let header = header(size).map_err(at("describe", executable))?;
        let padding = size.next_multiple_of(BLOCK) - size + 2 * BLOCK;
        let archive = header.chain((&mut file).take(size)).chain(io::repeat(0).take(padding));
        self.import_layer(archive, &options, &created.to_string(), |records, image| {
            records.embedded = Some(Embedded { binary, image });
        })
    }

    fn import_layer(
        &self,
        archive: impl Read,
        options: &ImportOptions,
        created: &str,
        change: impl FnOnce(&mut Records, ImageId),
    ) -> Result<ImageId, Error> {
        if let Some(reference) = options.reference.as_ref().filter(|reference| reference.digest().is_some()) {
            return Err(Error::DigestAsTag(reference.to_string()));
        }
        let mut execution = Execution::default();
        for change in &options.changes {
            changes::apply(&mut execution, change)?;
        }
        let platform = match &options.platform {
            None => Platform::host(),
            Some(text) => Platform::parse(text).ok_or_else(|| {
                Error::archive(format!("read platform {text:?}"), "want os/architecture, as linux/amd64")
            })?,
        };
        let prepared = self.layers().prepare(compression::decompress(archive, WHAT)?, WHAT)?;
        if !prepared.complete {
            let reason = "it ends without an end-of-archive marker: the archive is truncated";
            return Err(Error::archive(format!("read {WHAT}"), reason));
        }
        let diff_id = prepared.info.diff_id;
        let _lease = self.lease(&[diff_id]);
        self.layers().commit(prepared)?;
        let document = Document {
            architecture: &platform.architecture,
            config: &execution,
            created,
            history: [History { created, comment: &options.message }],
            os: &platform.os,
            rootfs: RootFs { kind: "layers", diff_ids: [diff_id] },
            variant: platform.variant.as_deref(),
        };
        let config =
            serde_json::to_vec(&document).map_err(|error| Error::json("image configuration", &error))?;
        let id = ImageId(crate::Digest::of(&config));
        self.add_with(id, &config, |records| {
            records.add(id, options.reference.clone());
            change(records, id);
        })?;
        Ok(id)
    }
}

/// The header of the embedded image's one file: the same for the same binary.
fn header(size: u64) -> io::Result<io::Cursor<Vec<u8>>> {
    let mut header = Header::new_ustar();
    header.set_path("beeline")?;
    header.set_mode(0o755);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(size);
    header.set_cksum();
    Ok(io::Cursor::new(header.as_bytes().to_vec()))
}
