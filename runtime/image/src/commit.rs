//! Makes an image of what a container changed: `docker commit`.

use std::io::Read;

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::config::Execution;
use crate::{Digest, Error, ImageId, ImageRef, Store, changes};

const WHAT: &str = "the container's changes";

/// How a container's changes become an image.
#[derive(Debug, Clone, Default)]
pub struct CommitOptions {
    /// The image that the container was made of.
    pub parent: String,
    /// The image's name; without, it goes by its id.
    pub reference: Option<ImageRef>,
    /// Who made it.
    pub author: String,
    /// A remark in the image's history.
    pub comment: String,
    /// What the container executed, for the history.
    pub created_by: String,
    /// The configuration, with Docker's names of its fields.
    pub config: Value,
    /// Dockerfile instructions (CMD, ENV, …) that change it.
    pub changes: Vec<String>,
}

impl Store {
    /// Makes an image of another one and the archive of a further layer.
    ///
    /// # Errors
    /// When the other image is gone, an instruction is not understood, or the archive cannot be read.
    pub fn commit(&self, layer: impl Read, options: &CommitOptions) -> Result<ImageId, Error> {
        if let Some(reference) = options.reference.as_ref().filter(|reference| reference.digest().is_some()) {
            return Err(Error::DigestAsTag(reference.to_string()));
        }
        let parent = self.resolve(&options.parent)?;
        let _kept = self.lease(&parent.diff_ids);
        let broken = |error: serde_json::Error| Error::json("image configuration", &error);
        let mut execution: Execution = serde_json::from_value(options.config.clone()).map_err(broken)?;
        for change in &options.changes {
            changes::apply(&mut execution, change)?;
        }
        let prepared = self.layers().prepare(layer, WHAT)?;
        if !prepared.complete {
            return Err(Error::archive(format!("read {WHAT}"), "the archive is truncated"));
        }
        let diff_id = prepared.info.diff_id;
        let _lease = self.lease(&[diff_id]);
        self.layers().commit(prepared)?;
        let mut document: Map<String, Value> =
            serde_json::from_slice(&self.config(&parent.id)?).map_err(broken)?;
        document.insert("config".to_owned(), serde_json::to_value(&execution).map_err(broken)?);
        describe(&mut document, options, diff_id);
        let config = serde_json::to_vec(&document).map_err(broken)?;
        let id = ImageId(Digest::of(&config));
        self.add(id, &config, options.reference.clone().into_iter().collect())?;
        Ok(id)
    }
}

/// Enters the new layer, and what is known of its making.
fn describe(document: &mut Map<String, Value>, options: &CommitOptions, diff_id: Digest) {
    let created = Timestamp::now().to_string();
    // What the image's own making left there is not true of this one.
    for stale in ["container", "container_config", "docker_version", "id", "parent"] {
        document.remove(stale);
    }
    let mut history = Map::new();
    for (key, value) in [
        ("created", &created),
        ("author", &options.author),
        ("created_by", &options.created_by),
        ("comment", &options.comment),
    ] {
        if !value.is_empty() {
            history.insert(key.to_owned(), json!(value));
        }
    }
    if options.author.is_empty() {
        document.remove("author");
    } else {
        document.insert("author".to_owned(), json!(options.author));
    }
    document.insert("created".to_owned(), json!(created));
    push(document.entry("history").or_insert_with(|| json!([])), Value::Object(history));
    let rootfs = document.entry("rootfs").or_insert_with(|| json!({"type": "layers"}));
    if let Value::Object(rootfs) = rootfs {
        push(rootfs.entry("diff_ids").or_insert_with(|| json!([])), json!(diff_id.to_string()));
    }
}

fn push(list: &mut Value, item: Value) {
    if let Value::Array(list) = list {
        list.push(item);
    }
}
