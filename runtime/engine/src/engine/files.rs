//! Containers' files: copying, comparing, exporting, and making images of them.

use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use beeline_image::CommitOptions;
use beeline_image::files::{Change, Root};
use beeline_spawn::cgroup::Cgroup;
use beeline_spawn::view::{self, Overlay};
use nix::libc::{O_DIRECTORY, O_PATH};
use serde_json::{Map, Value, json};

use super::Engine;
use crate::container::handle::Command;
use crate::container::view::ContainerView;
use crate::error::Error;
use crate::event::EventSubject;
use crate::files::{CommitContainer, ContainerFiles};

/// What a start puts into a container to mount on, as Docker's lowest layer has it.
const OWN: [&str; 12] = [
    "/.dockerenv",
    "/dev",
    "/dev/console",
    "/dev/mqueue",
    "/dev/pts",
    "/dev/shm",
    "/etc",
    "/etc/hostname",
    "/etc/hosts",
    "/etc/resolv.conf",
    "/proc",
    "/sys",
];

impl Engine {
    /// Opens a container's files, as it sees them: running or not.
    ///
    /// # Errors
    /// There is no such container.
    pub async fn files(&self, reference: &str) -> Result<ContainerFiles, Error> {
        self.open_files(reference, false).await
    }

    /// Opens a container's files without what is mounted in it.
    ///
    /// # Errors
    /// There is no such container.
    pub async fn files_alone(&self, reference: &str) -> Result<ContainerFiles, Error> {
        self.open_files(reference, true).await
    }

    /// Tells that a container's files were used.
    pub fn files_event(&self, files: &ContainerFiles, action: &str) {
        let view = &files.view;
        let mut attributes = view.config.labels.clone();
        attributes.insert("name".to_owned(), view.name.to_string());
        attributes.insert("image".to_owned(), view.config.image.clone());
        self.shared.events.publish(EventSubject::Container, action, view.id.as_str(), attributes);
    }

    async fn open_files(&self, reference: &str, alone: bool) -> Result<ContainerFiles, Error> {
        self.shared.directory.find(reference)?.ask(|reply| Command::Files { alone, reply }).await
    }

    /// What is different in a container from its image.
    ///
    /// # Errors
    /// There is no such container.
    pub async fn changes(&self, reference: &str) -> Result<Vec<Change>, Error> {
        let view = self.shared.directory.find(reference)?.view();
        let compared = tokio::task::spawn_blocking(move || {
            let Some((upper, image)) = layers(&view)? else { return Ok(Vec::new()) };
            Ok(upper.changes(&image, &OWN)?)
        });
        compared.await.map_err(|error| Error::internal("compare a container with its image", &error))?
    }

    /// Makes an image of a container; the answer is the image's id.
    ///
    /// # Errors
    /// There is no such container, or a name or change is malformed.
    pub async fn commit(&self, reference: &str, request: CommitContainer) -> Result<String, Error> {
        let view = self.shared.directory.find(reference)?.view();
        let name = request.reference.as_deref().map(str::parse).transpose();
        let name = name.map_err(beeline_image::Error::from)?;
        let image = self.shared.images.resolve(&view.image_id)?;
        let mut config = configuration(&view, &image);
        config.extend(request.config);
        let options = CommitOptions {
            parent: view.image_id.clone(),
            reference: name,
            author: request.author,
            comment: request.comment,
            created_by: view.argv.join(" "),
            config: Value::Object(config),
            changes: request.changes,
        };
        let (shared, container) = (self.shared.clone(), view.clone());
        let pause = request.pause && view.status.state.is_running();
        let committed = tokio::task::spawn_blocking(move || {
            let _still = if pause {
                let group = shared.hierarchy.cgroup(&shared.cgroup_path(&container.id, &container.config));
                let still = group.and_then(Cgroup::hold_still);
                still.map_err(|error| {
                    Error::internal("hold the container still (--pause=false does not)", &error)
                })?
            } else {
                None
            };
            commit(&shared.images, &container, &options)
        });
        let id =
            committed.await.map_err(|error| Error::internal("make an image of a container", &error))??;
        let mut attributes = view.config.labels.clone();
        attributes.insert("name".to_owned(), view.name.to_string());
        attributes.insert("image".to_owned(), view.config.image.clone());
        attributes.insert("imageID".to_owned(), id.clone());
        attributes.insert("comment".to_owned(), String::new());
        self.shared.events.publish(EventSubject::Container, "commit", view.id.as_str(), attributes);
        Ok(id)
    }
}

/// Packs the changes in one thread while another makes a layer of them.
fn commit(
    images: &beeline_image::Store,
    view: &ContainerView,
    options: &CommitOptions,
) -> Result<String, Error> {
    let layers = layers(view)?;
    let (reader, mut writer) =
        io::pipe().map_err(|error| Error::internal("make a pipe for a container's changes", &error))?;
    std::thread::scope(|scope| {
        let packing = scope.spawn(move || match &layers {
            Some((upper, image)) => upper.layer(image, &OWN, writer),
            // It never ran: the archive is empty.
            None => io::Write::write_all(&mut writer, &[0; 1024])
                .map_err(|source| beeline_image::Error::Read { what: "pack the changes".to_owned(), source }),
        });
        let committed = images.commit(reader, options);
        // An archive that breaks off is the packer's fault.
        match packing.join() {
            Ok(Err(error)) => Err(error.into()),
            Ok(Ok(())) => Ok(committed?.to_string()),
            Err(_) => {
                Err(Error::Internal { operation: "pack the changes".into(), message: "panicked".into() })
            }
        }
    })
}

/// What the container changed, and its image; none if it never ran.
fn layers(view: &ContainerView) -> Result<Option<(Root, Root)>, Error> {
    if !view.paths.upper.exists() {
        return Ok(None);
    }
    let lower: Vec<PathBuf> = view.paths.layers.iter().rev().cloned().collect();
    if lower.is_empty() {
        return Err(Error::Conflict(format!("the image of container {} is gone", view.name)));
    }
    let image = view::stopped(&Overlay { lower, upper: None, read_only: true }, Vec::new());
    let image = image.map_err(|error| Error::internal("mount the image", &error))?;
    Ok(Some((open(&view.paths.upper)?, Root::new(image))))
}

fn open(path: &Path) -> Result<Root, Error> {
    let opened = OpenOptions::new().read(true).custom_flags(O_PATH | O_DIRECTORY).open(path);
    let opened = opened.map_err(|source| Error::File { operation: "open", path: path.to_owned(), source })?;
    Ok(Root::new(opened.into()))
}

/// The container's configuration as an image has it, by Docker's names.
fn configuration(view: &ContainerView, image: &Arc<beeline_image::Image>) -> Map<String, Value> {
    let config = &view.config;
    let set = |names: &std::collections::BTreeSet<String>| {
        names.iter().map(|name| (name.clone(), json!({}))).collect::<Map<_, _>>()
    };
    let mut all = Map::new();
    for (key, value) in [
        ("User", json!(config.user)),
        ("ExposedPorts", Value::Object(set(&config.exposed_ports))),
        ("Env", json!(config.env)),
        ("Entrypoint", json!(config.entrypoint)),
        ("Cmd", json!(config.cmd)),
        ("Volumes", Value::Object(set(&config.volumes))),
        ("WorkingDir", json!(config.working_dir)),
        ("Labels", json!(config.labels)),
        ("StopSignal", json!(config.stop_signal)),
        ("OnBuild", json!(image.docker.on_build)),
        ("Shell", json!(image.docker.shell)),
    ] {
        all.insert(key.to_owned(), value);
    }
    if let Some(check) = &config.healthcheck {
        let check = json!({
            "Test": check.test,
            "Interval": check.interval,
            "Timeout": check.timeout,
            "StartPeriod": check.start_period,
            "StartInterval": check.start_interval,
            "Retries": check.retries,
        });
        all.insert("Healthcheck".to_owned(), check);
    }
    all
}
