//! Images: the store's operations on threads that may block, with events.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::sync::Arc;

use beeline_image::{Image, ImageId, ImageRef, ImportOptions, LoadEvent, LoadedImage, Removed, Store};
use tokio::sync::mpsc;

use super::Engine;
use crate::container::filter::{Filters, label_matches};
use crate::error::Error;
use crate::event::EventSubject;
use crate::image::{ImageLoad, ImageView, ImportImage, RemovedImage};

impl Engine {
    /// Makes an image of a file system in a tar archive, and answers with its id.
    ///
    /// # Errors
    /// The archive is broken, or a name, change or platform is malformed.
    pub async fn import_image(
        &self,
        archive: impl Read + Send + 'static,
        request: ImportImage,
    ) -> Result<String, Error> {
        let reference = request.reference.map(|name| parse_reference(&name)).transpose()?;
        let name = reference.as_ref().map(ToString::to_string);
        let message = request.message.unwrap_or_default();
        let options =
            ImportOptions { reference, message, changes: request.changes, platform: request.platform };
        let id = self.with_images(move |images| images.import(archive, &options)).await?.to_string();
        self.image_event("import", &id, name.as_deref().unwrap_or(&id));
        Ok(id)
    }

    /// Loads an archive of images. Progress goes to `events`, whose receiver may be dropped.
    ///
    /// # Errors
    /// The archive is broken or of an unknown kind.
    pub async fn load_images(
        &self,
        archive: impl Read + Send + 'static,
        events: mpsc::UnboundedSender<ImageLoad>,
    ) -> Result<(), Error> {
        let engine = self.clone();
        let before = self.shared.images.list();
        self.with_images(move |images| {
            images.load(archive, &mut |event| {
                if let LoadEvent::Loaded(image) = event {
                    engine.loaded(&image, &before, &events);
                }
            })
        })
        .await?;
        Ok(())
    }

    /// Tells of an image that an archive held.
    fn loaded(&self, image: &LoadedImage, before: &[Arc<Image>], events: &mpsc::UnboundedSender<ImageLoad>) {
        let id = image.id.to_string();
        self.image_event("load", &id, &id);
        // Nobody may be listening to the progress.
        if image.references.is_empty() {
            let _ = events.send(ImageLoad::Loaded { image: id.clone(), named: false });
        }
        for reference in &image.references {
            let old = before.iter().find(|old| old.id != image.id && old.references.contains(reference));
            if let Some(old) = old {
                let _ = events.send(ImageLoad::Note(format!(
                    "The image {reference} already exists, renaming the old one with ID {} to empty string",
                    old.id
                )));
            }
            self.image_event("tag", &id, &reference.to_string());
            let _ = events.send(ImageLoad::Loaded { image: reference.to_string(), named: true });
        }
    }

    /// Writes images as an archive that [`Engine::load_images`] and Docker read.
    ///
    /// # Errors
    /// An image is unknown, or `out` fails.
    pub async fn save_images(
        &self,
        references: Vec<String>,
        out: impl Write + Send + 'static,
    ) -> Result<(), Error> {
        self.with_images(move |images| images.save(&references, out)).await
    }

    /// Images, the newest first. Understood filters: `reference`, `label`, `dangling`, `before`, `since`.
    ///
    /// # Errors
    /// A filter is unknown, or names an unknown image.
    pub async fn list_images(&self, filters: &Filters) -> Result<Vec<ImageView>, Error> {
        const KEYS: [&str; 5] = ["before", "dangling", "label", "reference", "since"];
        if let Some(key) = filters.keys().find(|key| !KEYS.contains(&key.as_str())) {
            return Err(Error::Invalid(format!("invalid filter '{key}'")));
        }
        let mut bounds = Vec::new();
        for (key, values) in filters.iter().filter(|(key, _)| matches!(key.as_str(), "before" | "since")) {
            for value in values {
                bounds.push((key.as_str(), self.view_of(&*self.shared.images.resolve(value)?).created));
            }
        }
        let mut views: Vec<_> = self.shared.images.list().iter().map(|image| self.view_of(image)).collect();
        views.retain(|view| {
            let between = bounds
                .iter()
                .all(|(key, at)| if *key == "before" { view.created < *at } else { view.created > *at });
            between && filters.iter().all(|(key, values)| values.is_empty() || matches(view, key, values))
        });
        views.sort_by(|a, b| b.created.cmp(&a.created).then_with(|| a.id.cmp(&b.id)));
        Ok(views)
    }

    /// An image by name, id or beginning of an id.
    ///
    /// # Errors
    /// There is no such image.
    pub async fn inspect_image(&self, reference: &str) -> Result<ImageView, Error> {
        Ok(self.view_of(&*self.shared.images.resolve(reference)?))
    }

    /// Gives an image another name.
    ///
    /// # Errors
    /// There is no such image, or the name is malformed.
    pub async fn tag_image(&self, reference: &str, repository: &str, tag: &str) -> Result<(), Error> {
        let name = if tag.is_empty() { repository.to_owned() } else { format!("{repository}:{tag}") };
        let (source, target) = (reference.to_owned(), parse_reference(&name)?);
        let shown = target.to_string();
        let id = self.with_images(move |images| images.tag(&source, &target)).await?;
        self.image_event("tag", &id.to_string(), &shown);
        Ok(())
    }

    /// Removes a name of an image, and with the last name the image, unless a container uses it.
    ///
    /// # Errors
    /// There is no such image; `Conflict` if a container uses it.
    pub async fn remove_image(&self, reference: &str, force: bool) -> Result<Vec<RemovedImage>, Error> {
        let (reference, shared) = (reference.to_owned(), self.shared.clone());
        let before = self.shared.images.resolve(&reference)?.id.to_string();
        let removed = self
            .with_images(move |images| {
                let in_use = |id: &ImageId| {
                    let id = id.to_string();
                    shared.directory.views().iter().any(|view| view.image_id == id)
                };
                images.remove(&reference, force, &in_use)
            })
            .await?;
        let mut steps = Vec::new();
        for step in removed {
            match step {
                Removed::Untagged(reference) => {
                    self.image_event("untag", &before, &reference.to_string());
                    steps.push(RemovedImage::Untagged(reference.to_string()));
                }
                Removed::Deleted(id) => {
                    let id = id.to_string();
                    self.image_event("delete", &id, &id);
                    steps.push(RemovedImage::Deleted(id));
                }
                Removed::DeletedLayer(digest) => steps.push(RemovedImage::Deleted(digest.to_string())),
            }
        }
        Ok(steps)
    }

    fn view_of(&self, image: &Image) -> ImageView {
        let id = image.id.to_string();
        let containers = self.shared.directory.views().iter().filter(|view| view.image_id == id).count();
        ImageView {
            id,
            references: image.references.iter().map(ToString::to_string).collect(),
            created: image.created.as_ref().and_then(|created| created.parse().ok()),
            size: image.size,
            os: image.os.clone(),
            architecture: image.architecture.clone(),
            config: Arc::new(image.config.clone()),
            containers,
        }
    }

    async fn with_images<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Store) -> Result<T, beeline_image::Error> + Send + 'static,
    ) -> Result<T, Error> {
        let images = self.shared.images.clone();
        let done = tokio::task::spawn_blocking(move || work(&images)).await;
        Ok(done.map_err(|error| Error::internal("work in the image store", &error))??)
    }

    fn image_event(&self, action: &str, id: &str, name: &str) {
        let attributes = BTreeMap::from([("name".to_owned(), name.to_owned())]);
        self.shared.events.publish(EventSubject::Image, action, id, attributes);
    }
}

fn parse_reference(name: &str) -> Result<ImageRef, Error> {
    name.parse::<ImageRef>().map_err(|error| Error::Invalid(error.to_string()))
}

fn matches(view: &ImageView, key: &str, values: &[String]) -> bool {
    match key {
        "reference" => {
            values.iter().any(|pattern| view.references.iter().any(|name| reference_matches(name, pattern)))
        }
        "label" => {
            let labels =
                view.config.config().as_ref().and_then(|config| config.labels().clone()).unwrap_or_default();
            let labels = labels.into_iter().collect();
            values.iter().all(|wanted| label_matches(&labels, wanted))
        }
        "dangling" => {
            let wanted = values.iter().any(|value| matches!(value.as_str(), "true" | "1"));
            view.references.is_empty() == wanted
        }
        // Judged by the caller.
        _ => true,
    }
}

/// Whether `pattern`, with or without a tag and with `*` for any text but a slash, fits a familiar name.
fn reference_matches(name: &str, pattern: &str) -> bool {
    let untagged = name.rsplit_once(':').map_or(name, |(name, _)| name);
    glob(pattern.as_bytes(), name.as_bytes()) || glob(pattern.as_bytes(), untagged.as_bytes())
}

fn glob(pattern: &[u8], text: &[u8]) -> bool {
    match (pattern.split_first(), text.split_first()) {
        (None, None) => true,
        (Some((b'*', rest)), _) if glob(rest, text) => true,
        (Some((b'*', _)), Some((byte, after))) => *byte != b'/' && glob(pattern, after),
        (Some((b'?', rest)), Some((byte, after))) => *byte != b'/' && glob(rest, after),
        (Some((wanted, rest)), Some((byte, after))) => wanted == byte && glob(rest, after),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("busybox:latest", "busybox", true)]
    #[case("busybox:latest", "busybox:*", true)]
    #[case("busybox:latest", "busy*", true)]
    #[case("beeline/whoami:latest", "beeline/*", true)]
    #[case("beeline/whoami:latest", "*whoami", false)]
    #[case("busybox:1", "busybox:2", false)]
    fn references_are_matched(#[case] name: &str, #[case] pattern: &str, #[case] fits: bool) {
        assert_eq!(reference_matches(name, pattern), fits);
    }
}
