//! Reads archives of images into the store.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use serde::Deserialize;

use super::oci::{self, Descriptor, Index, Manifest};
use super::spool::{Spool, Spooled};
use crate::config::Platform;
use crate::error::at;
use crate::image::Image;
use crate::{Digest, Error, ImageId, ImageRef, Store, compression};

/// Progress is told so often, in bytes.
const STEP: u64 = 1024 * 1024;
/// An index in an index in an index is no image.
const DEPTH_MAX: usize = 4;

/// What happens while an archive is loaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LoadEvent {
    /// A layer is being extracted.
    Layer {
        /// The layer's digest.
        diff_id: Digest,
        /// Bytes of the archive read so far.
        current: u64,
        /// Bytes the layer has in the archive.
        total: u64,
    },
    /// The store had the layer.
    LayerExists {
        /// The layer's digest.
        diff_id: Digest,
    },
    /// An image is in the store.
    Loaded(LoadedImage),
}

/// An image that an archive held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoadedImage {
    /// Its id.
    pub id: ImageId,
    /// The names that the archive gave it.
    pub references: Vec<ImageRef>,
}

/// An entry of `manifest.json`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct DockerManifest {
    config: String,
    #[serde(default)]
    repo_tags: Option<Vec<String>>,
    layers: Vec<String>,
}

/// An image of the archive: verified files, bottom layer first.
struct Found<'a> {
    config: &'a Spooled,
    layers: Vec<&'a Spooled>,
    references: Vec<ImageRef>,
}

impl Store {
    /// Loads every image of an archive: `docker save`'s, or an OCI layout; plain, gzip or zstd. Of an image for several
    /// platforms, the machine's own is taken. `events` is called as the work goes on.
    ///
    /// # Errors
    /// When the archive cannot be read, is incomplete, or differs from its digests. Images that came before the
    /// failure stay.
    pub fn load(
        &self,
        archive: impl Read,
        events: &mut dyn FnMut(LoadEvent),
    ) -> Result<Vec<LoadedImage>, Error> {
        let spool = Spool::read(archive, self.temporary())?;
        let images = if spool.contains("manifest.json") {
            docker_images(&spool)?
        } else if spool.contains("index.json") {
            oci_images(&spool)?
        } else {
            let reason =
                "it has neither manifest.json nor index.json: a file system is brought in with `import`";
            return Err(Error::archive("load image archive", reason));
        };
        if images.is_empty() {
            return Err(Error::archive("load image archive", "it holds no image"));
        }
        images.into_iter().map(|found| self.load_image(found, events)).collect()
    }

    fn load_image(&self, found: Found<'_>, events: &mut dyn FnMut(LoadEvent)) -> Result<LoadedImage, Error> {
        let config = found.config.json("configuration")?;
        let id = ImageId(found.config.digest);
        let image = Image::parse(id, &config)?;
        if image.diff_ids.len() != found.layers.len() {
            let reason =
                format!("it has {} layers, its configuration {}", found.layers.len(), image.diff_ids.len());
            return Err(Error::archive(format!("load image {id}"), reason));
        }
        let _lease = self.lease(&image.diff_ids);
        for (diff_id, layer) in image.diff_ids.iter().zip(&found.layers) {
            if self.layers().info(diff_id)?.is_some() {
                events(LoadEvent::LayerExists { diff_id: *diff_id });
            } else {
                self.load_layer(diff_id, layer, events)?;
            }
        }
        self.add(id, &config, found.references.clone())?;
        let loaded = LoadedImage { id, references: found.references };
        events(LoadEvent::Loaded(loaded.clone()));
        Ok(loaded)
    }

    fn load_layer(
        &self,
        diff_id: &Digest,
        layer: &Spooled,
        events: &mut dyn FnMut(LoadEvent),
    ) -> Result<(), Error> {
        let what = format!("layer {diff_id}");
        let file = File::open(&layer.path).map_err(at("open", &layer.path))?;
        let total = layer.size;
        let counted = Counted {
            inner: file,
            count: 0,
            told: 0,
            tell: |current| events(LoadEvent::Layer { diff_id: *diff_id, current, total }),
        };
        let prepared = self.layers().prepare(compression::decompress(counted, &what)?, &what)?;
        let found = prepared.info.diff_id;
        if found != *diff_id {
            return Err(Error::DigestMismatch { what, expected: *diff_id, found });
        }
        self.layers().commit(prepared)?;
        events(LoadEvent::Layer { diff_id: *diff_id, current: total, total });
        Ok(())
    }
}

fn parse<T: for<'de> Deserialize<'de>>(file: &Spooled, name: &str) -> Result<T, Error> {
    serde_json::from_slice(&file.json(name)?).map_err(|error| Error::json(name, &error))
}

fn docker_images(spool: &Spool) -> Result<Vec<Found<'_>>, Error> {
    let manifests: Vec<DockerManifest> = parse(spool.get("manifest.json")?, "manifest.json")?;
    manifests.iter().map(|manifest| docker_image(spool, manifest)).collect()
}

fn docker_image<'a>(spool: &'a Spool, manifest: &DockerManifest) -> Result<Found<'a>, Error> {
    let file = |name: &String| {
        let file = spool.get(name)?;
        // Both layouts name files by digest, in the older one the layers by other ids.
        if let Some(digest) = digest_in(name).filter(|_| !name.ends_with("layer.tar")) {
            file.verify(&digest)?;
        }
        Ok(file)
    };
    let tags = manifest.repo_tags.iter().flatten();
    Ok(Found {
        config: file(&manifest.config)?,
        layers: manifest.layers.iter().map(file).collect::<Result<_, Error>>()?,
        references: tags.map(|tag| tag.parse()).collect::<Result<_, _>>()?,
    })
}

/// The digest that a file is named by: `blobs/sha256/HEX` or `HEX.json`.
fn digest_in(name: &str) -> Option<Digest> {
    let stem = Path::new(name).file_name()?.to_str()?;
    let stem = stem.split('.').next()?;
    format!("sha256:{stem}").parse().ok()
}

fn oci_images(spool: &Spool) -> Result<Vec<Found<'_>>, Error> {
    let index: Index = parse(spool.get("index.json")?, "index.json")?;
    let host = Platform::host();
    // Several manifests under one name are one image for several platforms.
    let mut named: BTreeMap<&str, Vec<&Descriptor>> = BTreeMap::new();
    let mut images: Vec<Vec<&Descriptor>> = Vec::new();
    for descriptor in
        index.manifests.iter().filter(|descriptor| descriptor.is_index() || descriptor.is_image())
    {
        match descriptor.name() {
            Some(name) => named.entry(name).or_default().push(descriptor),
            None => images.push(vec![descriptor]),
        }
    }
    images.extend(named.into_values());
    images
        .iter()
        .map(|candidates| {
            let chosen = oci::choose(candidates, &host).map_err(no_platform)?;
            let references = chosen.name().map(str::parse).transpose()?.into_iter().collect();
            oci_image(spool, chosen, &host, references, DEPTH_MAX)
        })
        .collect()
}

fn no_platform(reason: String) -> Error {
    Error::archive("load image archive", reason)
}

fn oci_image<'a>(
    spool: &'a Spool,
    descriptor: &Descriptor,
    host: &Platform,
    references: Vec<ImageRef>,
    depth: usize,
) -> Result<Found<'a>, Error> {
    let file = spool.blob(&descriptor.digest)?;
    if descriptor.is_index() {
        let index: Index = parse(file, "image index")?;
        let candidates: Vec<&Descriptor> =
            index.manifests.iter().filter(|candidate| candidate.is_index() || candidate.is_image()).collect();
        if candidates.is_empty() || depth == 0 {
            return Err(Error::archive("load image archive", "its index leads to no image"));
        }
        let chosen = oci::choose(&candidates, host).map_err(no_platform)?;
        return oci_image(spool, chosen, host, references, depth - 1);
    }
    let manifest: Manifest = parse(file, "image manifest")?;
    if !manifest.config.is_config() {
        let reason = format!("{} is not an image that can run", manifest.config.media_type);
        return Err(Error::archive("load image archive", reason));
    }
    Ok(Found {
        config: spool.blob(&manifest.config.digest)?,
        layers: manifest.layers.iter().map(|layer| spool.blob(&layer.digest)).collect::<Result<_, _>>()?,
        references,
    })
}

/// Tells how much of a layer has been read.
struct Counted<R, F> {
    inner: R,
    count: u64,
    told: u64,
    tell: F,
}

impl<R: Read, F: FnMut(u64)> Read for Counted<R, F> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.count += read as u64;
        if self.count - self.told >= STEP {
            self.told = self.count;
            (self.tell)(self.count);
        }
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_named_by_digest_are_recognised() {
        let hex = Digest::of(b"").hex();
        assert_eq!(digest_in(&format!("blobs/sha256/{hex}")), Some(Digest::of(b"")));
        assert_eq!(digest_in(&format!("{hex}.json")), Some(Digest::of(b"")));
        assert_eq!(digest_in("config.json"), None);
    }
}
