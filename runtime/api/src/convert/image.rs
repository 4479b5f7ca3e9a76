//! Images.

use std::collections::BTreeMap;

use beeline_engine::{ImageView, RemovedImage};
use beeline_wire::container::config::Config;
use beeline_wire::container::inspect::GraphDriver;
use beeline_wire::go::{Empty, Set, StrSlice, ZERO_TIME};
use beeline_wire::image::{DeletedImage, HistoryItem, ImageInspect, ImageMetadata, ImageSummary, RootFs};
use beeline_wire::version::ApiVersion;
use jiff::Timestamp;

use super::signed;

pub(crate) fn summary(image: &ImageView) -> ImageSummary {
    let labels = image.config.config().as_ref().and_then(|config| config.labels().clone());
    ImageSummary {
        // Docker counts on request only.
        containers: -1,
        created: image.created.map_or(0, Timestamp::as_second),
        id: image.id.clone(),
        labels: labels.map(|labels| labels.into_iter().collect()),
        parent_id: String::new(),
        repo_digests: Vec::new(),
        repo_tags: image.references.clone(),
        shared_size: -1,
        size: signed(image.size),
        virtual_size: None,
    }
}

pub(crate) fn inspect(image: &ImageView, version: ApiVersion) -> ImageInspect {
    let size = signed(image.size);
    let rootfs = image.config.rootfs();
    let comment = image.config.history().as_ref().and_then(|history| history.last()?.comment().clone());
    ImageInspect {
        id: image.id.clone(),
        repo_tags: image.references.clone(),
        repo_digests: Vec::new(),
        parent: String::new(),
        comment: comment.unwrap_or_default(),
        created: image.created.map_or_else(|| ZERO_TIME.to_owned(), |created| created.to_string()),
        container: (!version.since(45)).then(String::new),
        container_config: (!version.since(45)).then(Config::default),
        docker_version: String::new(),
        author: image.config.author().clone().unwrap_or_default(),
        config: Some(config(image)),
        architecture: image.architecture.clone(),
        variant: image.config.variant().clone().unwrap_or_default(),
        os: image.os.clone(),
        os_version: image.config.os_version().clone().unwrap_or_default(),
        size,
        virtual_size: (!version.since(44)).then_some(size),
        graph_driver: GraphDriver { data: Some(BTreeMap::new()), name: "overlay2".to_owned() },
        root_fs: RootFs { kind: rootfs.typ().clone(), layers: rootfs.diff_ids().clone() },
        metadata: ImageMetadata { last_tag_time: ZERO_TIME.to_owned() },
    }
}

/// What the image says about its containers.
fn config(image: &ImageView) -> Config {
    let Some(given) = image.config.config() else { return Config::default() };
    Config {
        user: given.user().clone().unwrap_or_default(),
        exposed_ports: given.exposed_ports().as_deref().map(set).unwrap_or_default(),
        env: given.env().clone(),
        cmd: given.cmd().clone().map(StrSlice),
        volumes: given.volumes().as_deref().map(set),
        working_dir: given.working_dir().clone().unwrap_or_default(),
        entrypoint: given.entrypoint().clone().map(StrSlice),
        labels: given.labels().clone().map(|labels| labels.into_iter().collect()),
        stop_signal: given.stop_signal().clone().unwrap_or_default(),
        ..Config::default()
    }
}

fn set(names: &[String]) -> Set {
    names.iter().map(|name| (name.clone(), Empty {})).collect()
}

/// Newest step first. Sizes of single layers are not kept: an image of one layer has its whole size there.
pub(crate) fn history(image: &ImageView) -> Vec<HistoryItem> {
    let steps = image.config.history().as_deref().unwrap_or_default();
    let one_layer = image.config.rootfs().diff_ids().len() == 1;
    let mut items: Vec<_> = steps
        .iter()
        .rev()
        .map(|step| HistoryItem {
            comment: step.comment().clone().unwrap_or_default(),
            created: step.created().as_deref().and_then(unix).unwrap_or_default(),
            created_by: step.created_by().clone().unwrap_or_default(),
            id: "<missing>".to_owned(),
            size: if one_layer && step.empty_layer() != Some(true) { signed(image.size) } else { 0 },
            tags: None,
        })
        .collect();
    if let Some(newest) = items.first_mut() {
        newest.id.clone_from(&image.id);
        newest.tags = super::list(image.references.clone());
    }
    items
}

fn unix(time: &str) -> Option<i64> {
    time.parse().ok().map(Timestamp::as_second)
}

pub(crate) fn deleted(step: RemovedImage) -> DeletedImage {
    match step {
        RemovedImage::Untagged(name) => DeletedImage { untagged: Some(name), deleted: None },
        RemovedImage::Deleted(id) => DeletedImage { untagged: None, deleted: Some(id) },
    }
}
