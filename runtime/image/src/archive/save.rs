//! Writes images as an archive that `docker load`, older and newer, and OCI tools read.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};

use serde::Serialize;
use tar::{EntryType, Header};

use super::oci::{self, Descriptor, DescriptorPlatform, Index, Manifest};
use crate::image::Image;
use crate::{Digest, Error, ImageId, ImageRef, Store};

const BLOCK: u64 = 512;
const BLOBS: &str = "blobs/sha256/";

/// An entry of `manifest.json`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct DockerManifest {
    config: String,
    repo_tags: Option<Vec<String>>,
    layers: Vec<String>,
}

impl Store {
    /// Writes images, each under the names it is asked for by, to `out` as `docker save` does.
    ///
    /// # Errors
    /// When an image does not exist, a layer was changed in the store, or `out` cannot be written.
    pub fn save(&self, images: &[String], out: impl Write) -> Result<(), Error> {
        let mut chosen: BTreeMap<ImageId, BTreeSet<ImageRef>> = BTreeMap::new();
        for name in images {
            let (image, reference) = self.find(name)?;
            chosen.entry(image.id).or_default().extend(reference);
        }
        let mut writer = Writer { out, blobs: BTreeSet::new() };
        writer.directory("blobs/")?;
        writer.directory(BLOBS)?;
        let mut index = Index { schema_version: 2, media_type: oci::INDEX.to_owned(), manifests: Vec::new() };
        let mut manifests = Vec::new();
        for (id, references) in &chosen {
            let image = self.resolve(&id.to_string())?;
            let _lease = self.lease(&image.diff_ids);
            let descriptor = writer.image(self, &image)?;
            index.manifests.extend(named(&descriptor, references));
            let tags: Vec<String> = references.iter().map(ToString::to_string).collect();
            manifests.push(DockerManifest {
                config: blob(&id.digest()),
                repo_tags: (!tags.is_empty()).then_some(tags),
                layers: image.diff_ids.iter().map(blob).collect(),
            });
        }
        writer.file("oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#)?;
        writer.file("index.json", &json(&index)?)?;
        writer.file("manifest.json", &json(&manifests)?)?;
        writer.finish()
    }
}

fn blob(digest: &Digest) -> String {
    format!("{BLOBS}{}", digest.hex())
}

fn json(value: &impl Serialize) -> Result<Vec<u8>, Error> {
    serde_json::to_vec(value).map_err(|error| Error::json("image manifest", &error))
}

/// One descriptor a name; one without when there is none.
fn named(descriptor: &Descriptor, references: &BTreeSet<ImageRef>) -> Vec<Descriptor> {
    if references.is_empty() {
        return vec![descriptor.clone()];
    }
    let with_name = |reference: &ImageRef| {
        let mut descriptor = descriptor.clone();
        descriptor.annotations.insert(oci::IMAGE_NAME.to_owned(), reference.canonical());
        if let Some(tag) = reference.tag() {
            descriptor.annotations.insert(oci::REF_NAME.to_owned(), tag.to_owned());
        }
        descriptor
    };
    references.iter().map(with_name).collect()
}

/// The archive: every blob once.
struct Writer<W> {
    out: W,
    blobs: BTreeSet<Digest>,
}

impl<W: Write> Writer<W> {
    fn image(&mut self, store: &Store, image: &Image) -> Result<Descriptor, Error> {
        let mut layers = Vec::new();
        for diff_id in &image.diff_ids {
            let size = store.layers().info(diff_id)?.map_or(0, |info| info.archive_size);
            if self.blobs.insert(*diff_id) {
                self.header(&blob(diff_id), size, EntryType::Regular)?;
                store.layers().write_archive(diff_id, &mut self.out)?;
                self.pad(size)?;
            }
            layers.push(descriptor(oci::LAYER, *diff_id, size));
        }
        let config = store.config(&image.id)?;
        self.blob(&config)?;
        let manifest = json(&Manifest {
            schema_version: 2,
            media_type: oci::MANIFEST.to_owned(),
            config: descriptor(oci::CONFIG, image.id.digest(), config.len() as u64),
            layers,
        })?;
        let digest = self.blob(&manifest)?;
        let mut descriptor = descriptor(oci::MANIFEST, digest, manifest.len() as u64);
        descriptor.platform = Some(DescriptorPlatform {
            architecture: image.architecture.clone(),
            os: image.os.clone(),
            variant: image.config.variant().clone(),
        });
        Ok(descriptor)
    }

    fn blob(&mut self, bytes: &[u8]) -> Result<Digest, Error> {
        let digest = Digest::of(bytes);
        if self.blobs.insert(digest) {
            self.file(&blob(&digest), bytes)?;
        }
        Ok(digest)
    }

    fn file(&mut self, name: &str, bytes: &[u8]) -> Result<(), Error> {
        self.header(name, bytes.len() as u64, EntryType::Regular)?;
        self.out.write_all(bytes).map_err(unwritten)?;
        self.pad(bytes.len() as u64)
    }

    fn directory(&mut self, name: &str) -> Result<(), Error> {
        self.header(name, 0, EntryType::Directory)
    }

    /// Times and owners are zero, so that the same images make the same archive.
    fn header(&mut self, name: &str, size: u64, kind: EntryType) -> Result<(), Error> {
        let mut header = Header::new_gnu();
        header.set_path(name).map_err(unwritten)?;
        header.set_entry_type(kind);
        header.set_mode(if kind.is_dir() { 0o755 } else { 0o644 });
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        header.set_size(size);
        header.set_cksum();
        self.out.write_all(header.as_bytes()).map_err(unwritten)
    }

    fn pad(&mut self, size: u64) -> Result<(), Error> {
        let padding = size.next_multiple_of(BLOCK) - size;
        io::copy(&mut io::Read::take(io::repeat(0), padding), &mut self.out).map(drop).map_err(unwritten)
    }

    fn finish(mut self) -> Result<(), Error> {
        self.out.write_all(&[0; 2 * BLOCK as usize]).and_then(|()| self.out.flush()).map_err(unwritten)
    }
}

fn descriptor(media_type: &str, digest: Digest, size: u64) -> Descriptor {
    Descriptor {
        media_type: media_type.to_owned(),
        digest,
        size,
        annotations: BTreeMap::new(),
        platform: None,
    }
}

fn unwritten(source: io::Error) -> Error {
    Error::Read { what: "write image archive".to_owned(), source }
}
