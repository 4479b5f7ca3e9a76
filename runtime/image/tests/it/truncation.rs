//! Archives that end too early: told, and nothing left.

use std::path::Path;

use beeline_image::ErrorKind;

use crate::archives::{Layout, Tar, TestStore, gzip, options, zstd};

fn archive() -> Vec<u8> {
    Tar::default()
        .directory("dir")
        .file("dir/small", b"small")
        .file("dir/large", &[7; 3000])
        .symlink("link", "dir/small")
        .pax(&[("mtime", b"5.5")])
        .file("last", b"end")
        .finish()
}

#[test]
fn an_import_cut_anywhere_is_refused_and_leaves_nothing() {
    let store = TestStore::new();
    let whole = archive();
    let content = whole.len() - 1024;
    // Every block boundary, and places within headers, contents and padding.
    let cuts = (0..=content).filter(|cut| matches!(cut % 512, 0 | 1 | 5 | 100 | 257 | 511));
    for cut in cuts {
        let error = store.store.import(&whole[..cut], &options("app")).expect_err(&format!("cut at {cut}"));
        assert_eq!(error.kind(), ErrorKind::InvalidParameter, "{cut}: {error}");
        assert_eq!(store.contents(), [] as [&Path; 0], "cut at {cut}");
    }
    assert!(store.store.list().is_empty());
    store.import("app", &whole);
}

#[test]
fn a_compressed_import_cut_anywhere_is_refused() {
    let store = TestStore::new();
    for whole in [gzip(&archive()), zstd(&archive())] {
        for cut in 0..whole.len() {
            let error = store.store.import(&whole[..cut], &options("app"));
            assert!(error.is_err(), "{cut} of {}", whole.len());
        }
        assert_eq!(store.contents(), [] as [&Path; 0]);
    }
}

#[test]
fn the_reason_is_told() {
    let store = TestStore::new();
    let message = |bytes: &[u8]| store.store.import(bytes, &options("app")).unwrap_err().to_string();
    let whole = archive();
    // Between two entries, where the tar format itself sees no fault.
    assert!(
        message(&whole[..512]).contains("without an end-of-archive marker"),
        "{}",
        message(&whole[..512])
    );
    assert!(message(&whole[..512 * 3]).contains("truncated"));
    assert!(message(&gzip(&whole)[..60]).contains("truncated"), "{}", message(&gzip(&whole)[..60]));
}

#[test]
fn a_load_cut_anywhere_is_refused_and_leaves_nothing() {
    let store = TestStore::new();
    let layer = archive();
    let mut layout = Layout::default();
    let image = layout.image(&[&layer], "amd64", gzip);
    layout.list(image, "io.containerd.image.name", "docker.io/library/app:latest");
    let whole = layout.finish();
    // The last member is not needed: an archive without it is complete.
    for cut in (0..whole.len() - 2048).filter(|cut| matches!(cut % 512, 0 | 3 | 256)) {
        let error = store.store.load(&whole[..cut], &mut |_| {}).expect_err(&format!("cut at {cut}"));
        assert_eq!(error.kind(), ErrorKind::InvalidParameter, "{cut}: {error}");
        assert_eq!(store.contents(), [] as [&Path; 0], "cut at {cut}");
    }
    assert_eq!(store.load(&whole).unwrap(), ["app:latest"]);
}

#[test]
fn a_layer_cut_within_an_archive_is_refused() {
    let store = TestStore::new();
    let layer = archive();
    for cut in [0, 512, 700, layer.len() - 1024] {
        let mut layout = Layout::default();
        let image = layout.image(&[&layer], "amd64", |layer| layer[..cut].to_vec());
        layout.list(image, "", "");
        let message = store.load(&layout.finish()).unwrap_err();
        assert!(message.contains("damaged") || message.contains("truncated"), "{cut}: {message}");
        assert_eq!(store.contents(), [] as [&Path; 0]);
    }
}
