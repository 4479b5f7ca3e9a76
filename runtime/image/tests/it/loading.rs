//! Archives of images as tools write them.

use std::process::Command;

use beeline_image::{Digest, LoadEvent};
use serde_json::json;
use tar::EntryType;

use crate::archives::{Layout, Tar, TestStore, config, gzip, options, text, zstd};

const NAME: &str = "io.containerd.image.name";
const REF: &str = "org.opencontainers.image.ref.name";

fn layers() -> [Vec<u8>; 2] {
    [Tar::default().file("base", b"base").finish(), Tar::default().file("top", b"top").finish()]
}

/// The layout of `docker save` before version 25, with one layer shared by a link.
fn legacy(layers: &[Vec<u8>; 2]) -> Vec<u8> {
    let [base, top] = layers.each_ref().map(|layer| Digest::of(layer));
    let (one, two) = (config(&[base, top], "amd64"), config(&[base], "amd64"));
    let name = |config: &[u8]| format!("{}.json", Digest::of(config).hex());
    let manifest = json!([
        {"Config": name(&one), "RepoTags": ["one:1", "localhost:5000/one:1"], "Layers": ["aa/layer.tar", "bb/layer.tar"]},
        {"Config": name(&two), "RepoTags": null, "Layers": ["cc/layer.tar"]},
    ]);
    Tar::default()
        .directory("aa/")
        .file("aa/VERSION", b"1.0")
        .file("aa/layer.tar", &layers[0])
        .file("bb/layer.tar", &layers[1])
        .symlink("cc/layer.tar", "../aa/layer.tar")
        .file(&name(&one)[..60], b"a decoy")
        .entry(name(&one).as_bytes(), EntryType::Regular, b"", &one)
        .entry(name(&two).as_bytes(), EntryType::Regular, b"", &two)
        .file("manifest.json", &serde_json::to_vec(&manifest).unwrap())
        .finish()
}

#[test]
fn the_older_layout_of_docker_save_is_loaded() {
    let store = TestStore::new();
    let archive = legacy(&layers());
    assert_eq!(store.load(&archive).unwrap(), ["one:1", "localhost:5000/one:1"]);
    let image = store.store.resolve("one:1").unwrap();
    assert_eq!(image.layers.len(), 2);
    assert_eq!(text(&image.layers[0], "base"), "base", "bottom first");
    assert_eq!(text(&image.layers[1], "top"), "top");
    assert_eq!(image.created.as_deref(), Some("2024-01-02T03:04:05Z"));
    assert_eq!(image.docker.healthcheck.as_ref().unwrap().test.as_ref().unwrap()[0], "CMD");
    assert_eq!(image.config.config().as_ref().unwrap().cmd().as_ref().unwrap(), &["/bin/x"]);
    assert_eq!(store.store.list().len(), 2, "one without a name");
}

#[test]
fn compressed_archives_and_layers_are_loaded() {
    let [base, top] = layers();
    for compress in [gzip, zstd, <[u8]>::to_vec] {
        let store = TestStore::new();
        let mut layout = Layout::default();
        let image = layout.image(&[&base, &top], "amd64", compress);
        layout.list(image, NAME, "docker.io/library/app:v1");
        assert_eq!(store.load(&compress(&layout.finish())).unwrap(), ["app:v1"]);
    }
}

#[test]
fn shared_layers_are_stored_once_and_told_as_present() {
    let store = TestStore::new();
    let [base, top] = layers();
    store.import("base", &base);
    let mut layout = Layout::default();
    let image = layout.image(&[&base, &top], "amd64", gzip);
    layout.list(image, NAME, "docker.io/library/app:v1");
    let mut events = Vec::new();
    store.store.load(layout.finish().as_slice(), &mut |event| events.push(event)).unwrap();
    assert_eq!(events[0], LoadEvent::LayerExists { diff_id: Digest::of(&base) });
    assert!(matches!(events.last(), Some(LoadEvent::Loaded(image)) if image.references.len() == 1));
    let app = store.store.resolve("app:v1").unwrap();
    assert_eq!(app.layers[0], store.layer("base"));
    assert_eq!(app.size, 7);
}

#[test]
fn of_several_platforms_the_machines_own_is_taken() {
    let host = store_architecture();
    let other = if host == "amd64" { "arm64" } else { "amd64" };
    let [base, top] = layers();
    // As an index below the layout's, with a manifest beside that describes no image.
    let store = TestStore::new();
    let mut layout = Layout::default();
    let (foreign, own) = (layout.image(&[&base], other, gzip), layout.image(&[&top], &host, gzip));
    let mut attestation = own.clone();
    attestation["platform"] = json!({"os": "unknown", "architecture": "unknown"});
    let index = json!({"schemaVersion": 2, "manifests": [attestation, foreign, own]});
    let index = layout.blob("application/vnd.oci.image.index.v1+json", &serde_json::to_vec(&index).unwrap());
    layout.list(index, NAME, "docker.io/library/app:v1");
    assert_eq!(store.load(&layout.finish()).unwrap(), ["app:v1"]);
    assert_eq!(store.store.resolve("app:v1").unwrap().architecture, host);

    // As several manifests under one name.
    let store = TestStore::new();
    let mut layout = Layout::default();
    for architecture in [other, &host] {
        let image = layout.image(&[&base], architecture, gzip);
        layout.list(image, REF, "app:v2");
    }
    assert_eq!(store.load(&layout.finish()).unwrap(), ["app:v2"]);
    assert_eq!(store.store.resolve("app:v2").unwrap().architecture, host);

    // With none for this machine, what there is is told.
    let mut layout = Layout::default();
    for architecture in ["s390x", "riscv64"] {
        let image = layout.image(&[&base], architecture, gzip);
        layout.list(image, REF, "app:v3");
    }
    let message = store.load(&layout.finish()).unwrap_err();
    assert!(message.contains("linux/s390x, linux/riscv64"), "{message}");
}

fn store_architecture() -> String {
    let store = TestStore::new();
    store.import("x", &Tar::default().finish());
    store.store.resolve("x").unwrap().architecture.clone()
}

#[test]
fn a_bare_tag_names_nothing() {
    let store = TestStore::new();
    let mut layout = Layout::default();
    let image = layout.image(&[&layers()[0]], "amd64", gzip);
    layout.list(image, REF, "latest");
    assert_eq!(store.load(&layout.finish()).unwrap(), [""; 0]);
    assert_eq!(store.store.list().len(), 1);
}

#[test]
fn content_that_differs_from_its_digest_is_refused() {
    let store = TestStore::new();
    let [base, _] = layers();
    let lie = Digest::of(b"something else");
    let config = config(&[lie], "amd64");
    let manifest = json!([{"Config": "config.json", "RepoTags": ["app:v1"], "Layers": ["layer.tar"]}]);
    let archive = Tar::default()
        .file("config.json", &config)
        .file("layer.tar", &base)
        .file("manifest.json", &serde_json::to_vec(&manifest).unwrap())
        .finish();
    let message = store.load(&archive).unwrap_err();
    assert!(message.contains(&lie.to_string()) && message.contains("damaged"), "{message}");
    assert_eq!(store.contents().len(), 0);

    // A blob that is not what its name says.
    let blob = format!("blobs/sha256/{}", Digest::of(b"config").hex());
    let manifest = json!([{"Config": blob, "RepoTags": [], "Layers": []}]);
    let archive = Tar::default()
        .file(&blob, &config)
        .file("manifest.json", &serde_json::to_vec(&manifest).unwrap())
        .finish();
    assert!(store.load(&archive).unwrap_err().contains("damaged"));
}

#[test]
fn archives_that_are_incomplete_or_no_images_say_so() {
    let store = TestStore::new();
    let message = |archive: Vec<u8>| store.load(&archive).unwrap_err();
    assert!(message(Tar::default().file("etc/passwd", b"").finish()).contains("`import`"));
    assert!(message(Tar::default().file("manifest.json", b"[]").finish()).contains("no image"));
    assert!(message(Tar::default().file("manifest.json", b"{").finish()).contains("manifest.json"));
    let missing = br#"[{"Config":"gone.json","Layers":[]}]"#;
    assert!(message(Tar::default().file("manifest.json", missing).finish()).contains("gone.json is missing"));
    let looped = Tar::default().symlink("gone.json", "gone.json").file("manifest.json", missing).finish();
    assert!(message(looped).contains("gone.json is missing"));
    let count = br#"[{"Config":"c.json","Layers":[]}]"#;
    let archive =
        Tar::default().file("manifest.json", count).file("c.json", &config(&[Digest::of(b"")], "amd64"));
    assert!(message(archive.finish()).contains("it has 0 layers, its configuration 1"));
    let tag = br#"[{"Config":"c.json","RepoTags":["No:Good:Tag"],"Layers":[]}]"#;
    let archive = Tar::default().file("manifest.json", tag).file("c.json", &config(&[], "amd64"));
    assert!(message(archive.finish()).contains("invalid reference format"));
}

#[test]
fn what_skopeo_makes_of_a_saved_image_is_loaded() {
    if Command::new("skopeo").arg("--version").output().is_err() {
        println!("skipped: needs skopeo");
        return;
    }
    let first = TestStore::new();
    first.store.import(layers()[0].as_slice(), &options("app:v1")).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name).display().to_string();
    std::fs::write(path("saved.tar"), first.saved(&["app:v1"])).unwrap();
    let skopeo = |from: &str, to: &str| {
        let mut skopeo = Command::new("skopeo");
        let output = skopeo.args(["--insecure-policy", "copy", from, to]).output().unwrap();
        assert!(output.status.success(), "{from} {to}: {}", String::from_utf8_lossy(&output.stderr));
    };
    let docker = format!("docker-archive:{}", path("saved.tar"));
    skopeo(&docker, &format!("oci-archive:{}:renamed:v2", path("oci.tar")));
    skopeo(&docker, &format!("docker-archive:{}:renamed:v3", path("docker.tar")));
    // Our archive as an OCI layout.
    skopeo(
        &format!("oci-archive:{}", path("saved.tar")),
        &format!("oci-archive:{}:renamed:v4", path("again.tar")),
    );
    let second = TestStore::new();
    let layer = first.store.resolve("app:v1").unwrap().diff_ids.clone();
    for (file, name) in [("oci.tar", "renamed:v2"), ("docker.tar", "renamed:v3"), ("again.tar", "renamed:v4")]
    {
        assert_eq!(second.load(&std::fs::read(path(file)).unwrap()).unwrap(), [name]);
        assert_eq!(second.store.resolve(name).unwrap().diff_ids, layer);
    }
}
