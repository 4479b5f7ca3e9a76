//! Archives for the tests, byte by byte where a library would refuse to write them.

use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use beeline_image::{Digest, Image, ImageId, ImportOptions, Store};
use serde_json::{Value, json};
use tar::{EntryType, Header};

/// A store in a directory of its own.
pub(crate) struct TestStore {
    pub(crate) directory: tempfile::TempDir,
    pub(crate) store: Store,
}

impl TestStore {
    pub(crate) fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(directory.path()).unwrap();
        Self { directory, store }
    }

    pub(crate) fn import(&self, name: &str, archive: &[u8]) -> ImageId {
        self.store.import(archive, &options(name)).unwrap()
    }

    /// The directory of the image's only layer.
    pub(crate) fn layer(&self, name: &str) -> PathBuf {
        let image = self.store.resolve(name).unwrap();
        let [layer] = image.layers.as_slice() else { panic!("{name} has {} layers", image.layers.len()) };
        layer.clone()
    }

    /// Everything in the store that is a layer, a blob or unfinished.
    pub(crate) fn contents(&self) -> Vec<PathBuf> {
        let root = self.directory.path().join("image");
        let entries = ["layers", "blobs/sha256", "tmp"].map(|part| fs::read_dir(root.join(part)).unwrap());
        entries.into_iter().flatten().map(|entry| entry.unwrap().path()).collect()
    }

    pub(crate) fn saved(&self, names: &[&str]) -> Vec<u8> {
        let mut archive = Vec::new();
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        self.store.save(&names, &mut archive).unwrap();
        archive
    }

    pub(crate) fn load(&self, archive: &[u8]) -> Result<Vec<String>, String> {
        let loaded = self.store.load(archive, &mut |_| {}).map_err(|error| error.to_string())?;
        Ok(loaded.iter().flat_map(|image| image.references.iter().map(ToString::to_string)).collect())
    }
}

pub(crate) fn options(name: &str) -> ImportOptions {
    ImportOptions { reference: Some(name.parse().unwrap()), ..ImportOptions::default() }
}

/// A tar archive under construction.
#[derive(Default)]
pub(crate) struct Tar(Vec<u8>);

impl Tar {
    pub(crate) fn file(self, name: &str, content: &[u8]) -> Self {
        self.entry(name.as_bytes(), EntryType::Regular, b"", content)
    }

    pub(crate) fn directory(self, name: &str) -> Self {
        self.entry(name.as_bytes(), EntryType::Directory, b"", b"")
    }

    pub(crate) fn symlink(self, name: &str, target: &str) -> Self {
        self.entry(name.as_bytes(), EntryType::Symlink, target.as_bytes(), b"")
    }

    pub(crate) fn hard_link(self, name: &str, target: &str) -> Self {
        self.entry(name.as_bytes(), EntryType::Link, target.as_bytes(), b"")
    }

    /// An entry with any name and target, as no honest tool would write it.
    pub(crate) fn entry(self, name: &[u8], kind: EntryType, target: &[u8], content: &[u8]) -> Self {
        self.entry_with(name, kind, target, content, |_| {})
    }

    pub(crate) fn entry_with(
        mut self,
        name: &[u8],
        kind: EntryType,
        target: &[u8],
        content: &[u8],
        change: impl FnOnce(&mut Header),
    ) -> Self {
        let mut header = Header::new_gnu();
        header.as_old_mut().name[..name.len()].copy_from_slice(name);
        header.as_old_mut().linkname[..target.len()].copy_from_slice(target);
        header.set_entry_type(kind);
        header.set_mode(if kind.is_dir() { 0o755 } else { 0o644 });
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(1_000_000_000);
        header.set_size(content.len() as u64);
        change(&mut header);
        header.set_cksum();
        self.0.extend_from_slice(header.as_bytes());
        self.0.extend_from_slice(content);
        self.0.resize(self.0.len().next_multiple_of(512), 0);
        self
    }

    /// PAX records for the next entry.
    pub(crate) fn pax(self, records: &[(&str, &[u8])]) -> Self {
        let mut data = Vec::new();
        for (key, value) in records {
            let body = key.len() + value.len() + 3;
            let mut length = body + body.to_string().len();
            length = body + length.to_string().len();
            data.extend(format!("{length} {key}=").into_bytes());
            data.extend(*value);
            data.push(b'\n');
        }
        self.entry(b"pax", EntryType::XHeader, b"", &data)
    }

    pub(crate) fn finish(mut self) -> Vec<u8> {
        self.0.resize(self.0.len() + 1024, 0);
        self.0
    }
}

pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

pub(crate) fn zstd(bytes: &[u8]) -> Vec<u8> {
    zstd::encode_all(bytes, 1).unwrap()
}

/// A configuration with these layers.
pub(crate) fn config(diff_ids: &[Digest], architecture: &str) -> Vec<u8> {
    let config = json!({
        "architecture": architecture, "os": "linux", "created": "2024-01-02T03:04:05Z",
        "config": {"Cmd": ["/bin/x"], "Env": ["A=b"], "Volumes": null, "Healthcheck": {"Test": ["CMD", "true"]}},
        "rootfs": {"type": "layers", "diff_ids": diff_ids.iter().map(ToString::to_string).collect::<Vec<_>>()},
    });
    serde_json::to_vec(&config).unwrap()
}

/// An OCI layout under construction.
#[derive(Default)]
pub(crate) struct Layout {
    tar: Tar,
    manifests: Vec<Value>,
}

impl Layout {
    /// Adds a blob; returns its descriptor.
    pub(crate) fn blob(&mut self, media_type: &str, bytes: &[u8]) -> Value {
        let digest = Digest::of(bytes);
        let tar = std::mem::take(&mut self.tar);
        self.tar = tar.file(&format!("blobs/sha256/{}", digest.hex()), bytes);
        json!({"mediaType": media_type, "digest": digest.to_string(), "size": bytes.len()})
    }

    /// Adds an image of uncompressed layers, kept as `compress` makes them; returns its manifest's descriptor.
    pub(crate) fn image(
        &mut self,
        layers: &[&[u8]],
        architecture: &str,
        compress: impl Fn(&[u8]) -> Vec<u8>,
    ) -> Value {
        let diff_ids: Vec<Digest> = layers.iter().map(|layer| Digest::of(layer)).collect();
        let config = self.blob("application/vnd.oci.image.config.v1+json", &config(&diff_ids, architecture));
        let layers: Vec<Value> = layers
            .iter()
            .map(|layer| self.blob("application/vnd.oci.image.layer.v1.tar+gzip", &compress(layer)))
            .collect();
        let manifest = json!({"schemaVersion": 2, "config": config, "layers": layers});
        let bytes = serde_json::to_vec(&manifest).unwrap();
        let mut descriptor = self.blob("application/vnd.oci.image.manifest.v1+json", &bytes);
        descriptor["platform"] = json!({"os": "linux", "architecture": architecture});
        descriptor
    }

    /// Lists a descriptor in the layout's index, under `name` when it is not empty.
    pub(crate) fn list(&mut self, mut descriptor: Value, key: &str, name: &str) {
        if !name.is_empty() {
            descriptor["annotations"] = json!({ key: name });
        }
        self.manifests.push(descriptor);
    }

    pub(crate) fn finish(self) -> Vec<u8> {
        let index = json!({"schemaVersion": 2, "manifests": self.manifests});
        let index = serde_json::to_vec(&index).unwrap();
        self.tar.file("index.json", &index).file("oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#).finish()
    }
}

/// The members of an archive, by name.
pub(crate) fn members(archive: &[u8]) -> std::collections::BTreeMap<String, Vec<u8>> {
    let mut archive = tar::Archive::new(archive);
    let mut members = std::collections::BTreeMap::new();
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        let mut content = Vec::new();
        entry.read_to_end(&mut content).unwrap();
        members.insert(entry.path().unwrap().display().to_string(), content);
    }
    members
}

/// The bytes of the image's layer number `index` in a saved archive.
pub(crate) fn saved_layer(archive: &[u8], image: &Image, index: usize) -> Vec<u8> {
    members(archive)[&format!("blobs/sha256/{}", image.diff_ids[index].hex())].clone()
}

/// Whether the test may go on as root; says so when it may not.
pub(crate) fn root() -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        println!("skipped: needs root");
    }
    root
}

/// The text of a file below `directory`.
pub(crate) fn text(directory: &Path, name: &str) -> String {
    fs::read_to_string(directory.join(name)).unwrap()
}
