//! Images leave the store as they came.

use beeline_image::ErrorKind;
use serde_json::Value;

use crate::archives::{Layout, Tar, TestStore, gzip, members, saved_layer};

#[test]
fn a_saved_image_is_the_same_image_in_another_store() {
    let first = TestStore::new();
    let base = Tar::default().directory("d").file("d/base", &[1; 5000]).finish();
    let top =
        Tar::default().file("d/top", b"top").hard_link("d/link", "d/top").file("d/.wh.base", b"").finish();
    let mut layout = Layout::default();
    let image = layout.image(&[&base, &top], "amd64", gzip);
    layout.list(image, "io.containerd.image.name", "docker.io/library/app:v1");
    first.load(&layout.finish()).unwrap();
    let archive = first.saved(&["app:v1"]);
    let second = TestStore::new();
    assert_eq!(second.load(&archive).unwrap(), ["app:v1"]);
    let (ours, theirs) = (first.store.resolve("app:v1").unwrap(), second.store.resolve("app:v1").unwrap());
    assert_eq!((ours.id, &ours.diff_ids, ours.size), (theirs.id, &theirs.diff_ids, theirs.size));
    assert_eq!(saved_layer(&archive, &ours, 0), base);
    assert_eq!(saved_layer(&archive, &ours, 1), top);
    assert_eq!(second.saved(&["app:v1"]), archive, "the same images make the same archive");
}

#[test]
fn both_indexes_name_the_image() {
    let store = TestStore::new();
    let layer = Tar::default().file("a", b"a").finish();
    let id = store.import("app:v1", &layer);
    store.store.tag("app:v1", &"localhost:5000/other:v2".parse().unwrap()).unwrap();
    let members = members(&store.saved(&["app:v1", "localhost:5000/other:v2"]));
    let manifest: Value = serde_json::from_slice(&members["manifest.json"]).unwrap();
    assert_eq!(manifest[0]["Config"], format!("blobs/sha256/{}", id.hex()));
    assert_eq!(manifest[0]["RepoTags"], serde_json::json!(["app:v1", "localhost:5000/other:v2"]));
    let index: Value = serde_json::from_slice(&members["index.json"]).unwrap();
    assert_eq!(index["manifests"][0]["annotations"]["io.containerd.image.name"], "docker.io/library/app:v1");
    assert_eq!(index["manifests"][1]["annotations"]["org.opencontainers.image.ref.name"], "v2");
    assert!(members.contains_key("oci-layout"));
}

#[test]
fn an_image_saved_by_id_has_no_name() {
    let store = TestStore::new();
    let id = store.import("app", &Tar::default().file("a", b"a").finish());
    let second = TestStore::new();
    assert_eq!(second.load(&store.saved(&[&id.short()])).unwrap(), [""; 0]);
    assert_eq!(second.store.list()[0].id, id);
}

#[test]
fn a_layer_that_was_changed_is_not_saved_as_if_it_were_not() {
    let store = TestStore::new();
    store.import("app", &Tar::default().file("a", b"content").finish());
    let file = store.layer("app").join("a");
    for content in ["CONTENT", "short", "longer than before"] {
        std::fs::write(&file, content).unwrap();
        let error = store.store.save(&["app".to_owned()], std::io::sink()).unwrap_err();
        assert!(error.to_string().contains("was changed in the store"), "{content}: {error}");
    }
    std::fs::remove_file(&file).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", &file).unwrap();
    assert!(store.store.save(&["app".to_owned()], std::io::sink()).is_err());
}

#[test]
fn an_unknown_image_is_told_before_anything_is_written() {
    let store = TestStore::new();
    let mut out = Vec::new();
    let error = store.store.save(&["gone".to_owned()], &mut out).unwrap_err();
    assert_eq!(
        (error.kind(), error.to_string().as_str()),
        (ErrorKind::NotFound, "No such image: gone:latest")
    );
    assert!(out.is_empty());
}
