//! Archives that try to leave their layer.

use std::fs;
use std::path::Path;

use beeline_image::ErrorKind;
use proptest::prelude::*;
use tar::EntryType;

use crate::archives::{Tar, TestStore, options, saved_layer};

/// The error of an import that must fail, and leave nothing.
fn refused(archive: &[u8]) -> String {
    let store = TestStore::new();
    let error = store.store.import(archive, &options("app")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidParameter, "{error}");
    assert_eq!(store.contents(), [] as [&Path; 0], "nothing is left");
    assert!(store.store.list().is_empty());
    error.to_string()
}

#[test]
fn names_that_lead_out_are_refused() {
    for name in ["../out", "a/../../out", "..", "/../out", "a/.."] {
        let message = refused(&Tar::default().file(name, b"x").finish());
        assert!(message.contains(name) && message.contains("leads out of the layer"), "{message}");
    }
}

#[test]
fn links_do_not_lead_out() {
    let outside = tempfile::tempdir().unwrap();
    let victim = outside.path().join("victim");
    fs::write(&victim, "untouched").unwrap();
    let target = outside.path().to_str().unwrap();
    let store = TestStore::new();
    // Within the layer an absolute link leads to the same path inside of it, as it will in the container.
    let archive = Tar::default()
        .directory(target.trim_start_matches('/'))
        .symlink("out", target)
        .file("out/victim", b"written")
        .symlink("up", "../../../../../../../../../../..")
        .file("up/tmp-beeline-hostile", b"written")
        .finish();
    store.import("app", &archive);
    assert_eq!(fs::read_to_string(&victim).unwrap(), "untouched");
    let layer = store.layer("app");
    assert_eq!(
        fs::read_to_string(layer.join(target.trim_start_matches('/')).join("victim")).unwrap(),
        "written"
    );
    assert_eq!(fs::read_to_string(layer.join("tmp-beeline-hostile")).unwrap(), "written");
    assert!(!Path::new("/tmp-beeline-hostile").exists());
}

#[test]
fn hard_links_do_not_reach_out() {
    for target in ["../../../../../../../../etc/passwd", "/etc/passwd", "etc/passwd", ""] {
        refused(&Tar::default().hard_link("passwd", target).finish());
    }
    let through = Tar::default().symlink("root", "/").hard_link("passwd", "root/etc/passwd").finish();
    refused(&through);
    let looped = Tar::default().symlink("loop", "loop").hard_link("x", "loop/y").finish();
    refused(&looped);
}

#[test]
fn entries_that_no_layer_holds_are_refused() {
    let unknown = Tar::default().entry(b"x", EntryType::new(b'Z'), b"", b"").finish();
    assert!(refused(&unknown).contains("not supported"));
    let whiteout = Tar::default().file("dir/.wh.", b"").finish();
    assert!(refused(&whiteout).contains("a whiteout names what it hides"));
    for name in [".wh...", ".wh.."] {
        refused(&Tar::default().file(name, b"").finish());
    }
    let owner = Tar::default()
        .entry_with(b"x", EntryType::Regular, b"", b"", |header| header.set_uid(u64::from(u32::MAX)))
        .finish();
    if rustix::process::geteuid().is_root() {
        refused(&owner);
    }
}

#[test]
fn what_is_no_archive_is_told_so() {
    assert!(refused(&[b'x'; 4000]).contains("not a valid tar archive"));
    assert!(refused(b"hello").contains("truncated") || refused(b"hello").contains("not a valid tar"));
    assert!(refused(&[0xfd, b'7', b'z', b'X', b'Z', 0, 0, 0]).contains("xz -dc"));
    assert!(refused(b"BZh91AY").contains("bzip2 -dc"));
}

/// An entry made of few names, so that entries meet.
fn entry() -> impl Strategy<Value = (String, u8, String, Vec<u8>)> {
    let name =
        prop::sample::select(vec!["a", "b", "a/b", "b/a", "a/b/a", "c", "./c/a", ".wh.a", "b/.wh.b", "a/"]);
    let target = prop::sample::select(vec!["a", "b", "..", "/", "../a", "/b", "a/b", "../../../../etc", ""]);
    let content = prop::collection::vec(any::<u8>(), 0..700);
    (name.prop_map(str::to_owned), 0..5_u8, target.prop_map(str::to_owned), content)
}

fn archive(entries: &[(String, u8, String, Vec<u8>)]) -> Vec<u8> {
    let add = |tar: Tar, (name, kind, target, content): &(String, u8, String, Vec<u8>)| match kind {
        0 | 1 => tar.file(name, content),
        2 => tar.directory(name),
        3 => tar.symlink(name, target),
        _ => tar.hard_link(name, target),
    };
    entries.iter().fold(Tar::default(), add).finish()
}

/// The names directly in a directory.
fn names(directory: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

#[test]
fn whatever_is_extracted_is_saved_as_it_was_and_stays_inside() {
    let store = TestStore::new();
    let root = store.directory.path();
    let before = names(&root.join("image"));
    proptest!(ProptestConfig::with_cases(200), |(entries in prop::collection::vec(entry(), 1..8))| {
        let archive = archive(&entries);
        match store.store.import(archive.as_slice(), &options("app")) {
            Ok(_) => {
                let image = store.store.resolve("app").unwrap();
                prop_assert!(saved_layer(&store.saved(&["app"]), &image, 0) == archive);
                store.store.remove("app", false, &|_| false).unwrap();
            }
            Err(error) => prop_assert_ne!(error.kind(), ErrorKind::NotFound),
        }
        prop_assert_eq!(store.contents(), [] as [&Path; 0]);
    });
    let mut after = names(&root.join("image"));
    after.retain(|name| name != "images.json");
    assert_eq!(after, before);
    assert_eq!(names(root), ["image"]);
}
