//! What archives hold arrives in the layer's directory.

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};

use tar::EntryType;

use crate::archives::{Tar, TestStore, gzip, root, text, zstd};

#[test]
fn files_directories_and_links_arrive() {
    let store = TestStore::new();
    let archive = Tar::default()
        .directory("./")
        .directory("usr/")
        .file("./usr/bin/tool", b"tool")
        .symlink("bin", "usr/bin")
        .file("bin/second", b"through the link")
        .hard_link("usr/bin/same", "usr/bin/tool")
        .symlink("dangling", "/nowhere")
        .entry(b"pipe", EntryType::Fifo, b"", b"")
        .file("implied/by/its/file", b"x")
        .finish();
    store.import("app", &archive);
    let layer = store.layer("app");
    assert_eq!(text(&layer, "usr/bin/tool"), "tool");
    assert_eq!(text(&layer, "usr/bin/second"), "through the link");
    let inode = |name: &str| fs::metadata(layer.join(name)).unwrap().ino();
    assert_eq!(inode("usr/bin/tool"), inode("usr/bin/same"));
    assert_eq!(fs::read_link(layer.join("dangling")).unwrap().to_str(), Some("/nowhere"));
    assert!(fs::symlink_metadata(layer.join("pipe")).unwrap().file_type().is_fifo());
    assert_eq!(fs::metadata(layer.join("implied/by")).unwrap().mode() & 0o7777, 0o755);
    assert_eq!(store.store.resolve("app").unwrap().size, 4 + 16 + 1);
}

#[test]
fn modes_and_times_are_the_archives() {
    let store = TestStore::new();
    let archive = Tar::default()
        .directory("dir")
        .entry_with(b"dir/setuid", EntryType::Regular, b"", b"x", |header| header.set_mode(0o4755))
        .pax(&[("mtime", b"1234567890.25")])
        .file("dir/fraction", b"x")
        .entry_with(b"tmp", EntryType::Directory, b"", b"", |header| header.set_mode(0o1777))
        .file("tmp/later", b"x")
        .symlink("link", "dir")
        .finish();
    store.import("app", &archive);
    let layer = store.layer("app");
    let metadata = |name: &str| fs::symlink_metadata(layer.join(name)).unwrap();
    assert_eq!(metadata("dir/setuid").mode() & 0o7777, 0o4755);
    assert_eq!(metadata("tmp").mode() & 0o7777, 0o1777);
    assert_eq!(
        (metadata("dir/fraction").mtime(), metadata("dir/fraction").mtime_nsec()),
        (1_234_567_890, 250_000_000)
    );
    for name in ["dir", "dir/setuid", "tmp", "link"] {
        assert_eq!(metadata(name).mtime(), 1_000_000_000, "{name}");
    }
}

#[test]
fn compressed_archives_are_the_same_layer() {
    let store = TestStore::new();
    let archive = Tar::default().file("a", &[b'a'; 100_000]).finish();
    for (name, bytes) in [("plain", archive.clone()), ("gzip", gzip(&archive)), ("zstd", zstd(&archive))] {
        store.import(name, &bytes);
    }
    let layer = |name: &str| store.store.resolve(name).unwrap().diff_ids.clone();
    assert_eq!(layer("plain"), layer("gzip"));
    assert_eq!(layer("plain"), layer("zstd"));
}

#[test]
fn a_later_entry_replaces_an_earlier_one() {
    let store = TestStore::new();
    let archive = Tar::default()
        .file("a", b"first")
        .file("a", b"second")
        .file("dir/inside", b"x")
        .file("dir", b"now a file")
        .symlink("link", "a")
        .file("link", b"not through it")
        .directory("d")
        .file("d/kept", b"kept")
        .directory("d")
        .finish();
    store.import("app", &archive);
    let layer = store.layer("app");
    assert_eq!(text(&layer, "a"), "second");
    assert_eq!(text(&layer, "dir"), "now a file");
    assert_eq!(text(&layer, "link"), "not through it");
    assert_eq!(text(&layer, "d/kept"), "kept");
    // What was replaced is still part of the archive.
    let image = store.store.resolve("app").unwrap();
    assert_eq!(crate::archives::saved_layer(&store.saved(&["app"]), &image, 0), archive);
}

#[test]
fn whiteouts_become_overlayfs_marks() {
    let store = TestStore::new();
    let archive = Tar::default().file("etc/.wh.gone", b"").file(".wh..wh.plnk", b"").finish();
    store.import("app", &archive);
    let gone = fs::symlink_metadata(store.layer("app").join("etc/gone")).unwrap();
    assert!(gone.file_type().is_char_device());
    assert_eq!(gone.rdev(), 0);
    assert_eq!(fs::read_dir(store.layer("app")).unwrap().count(), 1, "aufs's book-keeping is not a file");
}

#[test]
fn opaque_directories_become_overlayfs_marks() {
    if !root() {
        return;
    }
    let store = TestStore::new();
    let archive = Tar::default()
        .directory("opaque")
        .file("opaque/.wh..wh..opq", b"")
        .file("opaque/new", b"x")
        .directory("both")
        .file(".wh.both", b"")
        .file(".wh.reversed", b"")
        .directory("reversed")
        .file(".wh.file", b"")
        .file("file", b"stays")
        .directory("plain")
        .finish();
    store.import("app", &archive);
    let layer = store.layer("app");
    let opaque = |name: &str| {
        let mut value = [0; 8];
        let length = rustix::fs::getxattr(layer.join(name), "trusted.overlay.opaque", &mut value);
        length.is_ok_and(|length| &value[..length] == b"y")
    };
    for name in ["opaque", "both", "reversed"] {
        assert!(opaque(name), "{name}");
    }
    assert!(!opaque("plain"));
    assert_eq!(text(&layer, "file"), "stays");
}

#[test]
fn owners_devices_and_capabilities_arrive() {
    if !root() {
        return;
    }
    let store = TestStore::new();
    // A capability set in the kernel's layout, with a newline among its bytes.
    let capability = b"\x01\x00\x00\x02\x0a\x04\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00";
    let archive = Tar::default()
        .pax(&[
            ("SCHILY.xattr.security.capability", capability),
            ("SCHILY.xattr.trusted.overlay.opaque", b"y"),
        ])
        .entry_with(b"owned", EntryType::Regular, b"", b"x", |header| {
            header.set_uid(1234);
            header.set_gid(5678);
            header.set_mode(0o6755);
        })
        .entry_with(b"null", EntryType::Char, b"", b"", |header| {
            header.set_device_major(1).unwrap();
            header.set_device_minor(3).unwrap();
            header.set_mode(0o666);
        })
        .finish();
    store.import("app", &archive);
    let layer = store.layer("app");
    let owned = fs::metadata(layer.join("owned")).unwrap();
    assert_eq!((owned.uid(), owned.gid(), owned.mode() & 0o7777), (1234, 5678, 0o6755));
    let mut value = [0; 64];
    let length = rustix::fs::getxattr(layer.join("owned"), "security.capability", &mut value).unwrap();
    assert_eq!(&value[..length], capability);
    assert!(rustix::fs::getxattr(layer.join("owned"), "trusted.overlay.opaque", &mut value).is_err());
    let null = fs::metadata(layer.join("null")).unwrap();
    assert!(null.file_type().is_char_device());
    assert_eq!((null.rdev(), null.mode() & 0o7777), (rustix::fs::makedev(1, 3), 0o666));
}

#[test]
fn a_sparse_file_is_whole_and_saved_as_it_was() {
    let directory = tempfile::tempdir().unwrap();
    let sparse = fs::File::create(directory.path().join("sparse")).unwrap();
    sparse.set_len(1 << 20).unwrap();
    std::os::unix::fs::FileExt::write_at(&sparse, b"middle", 300_000).unwrap();
    let tar = std::process::Command::new("tar")
        .args(["--create", "--sparse", "--format=gnu", "--directory"])
        .arg(directory.path())
        .arg("sparse")
        .output()
        .unwrap();
    assert!(tar.stdout.len() < 1 << 19, "tar keeps the holes out");
    let store = TestStore::new();
    store.import("app", &tar.stdout);
    let content = fs::read(store.layer("app").join("sparse")).unwrap();
    assert_eq!((content.len(), &content[300_000..300_006]), (1 << 20, &b"middle"[..]));
    let image = store.store.resolve("app").unwrap();
    assert_eq!(crate::archives::saved_layer(&store.saved(&["app"]), &image, 0), tar.stdout);
}
