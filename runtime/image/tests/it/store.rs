//! Names, removal, and what outlives a crash.

use std::fs;

use beeline_image::{ErrorKind, ImportOptions, Removed, Store};

use crate::archives::{Tar, TestStore, options};

fn archive(content: &str) -> Vec<u8> {
    Tar::default().file("file", content.as_bytes()).finish()
}

#[test]
fn an_image_is_found_by_name_id_and_the_ids_beginning() {
    let store = TestStore::new();
    let id = store.import("localhost:5000/app:v1", &archive("a"));
    let hex = id.hex();
    for text in ["localhost:5000/app:v1", &id.to_string(), &hex, &hex[..12], &format!("sha256:{}", &hex[..8])]
    {
        assert_eq!(store.store.resolve(text).unwrap().id, id, "{text}");
    }
    for text in ["localhost:5000/app", "app:v1", "sha256:", "", "ffffffffffffffffffffffff", "Not A Name"] {
        let error = store.store.resolve(text).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound, "{text}");
        assert!(error.to_string().starts_with("No such image: "), "{error}");
    }
}

#[test]
fn the_beginning_of_several_ids_is_ambiguous() {
    let store = TestStore::new();
    // Seventeen images: two of their ids begin with the same digit.
    let mut ids: Vec<String> =
        (0..17).map(|n| store.import(&format!("app:{n}"), &archive(&n.to_string())).hex()).collect();
    ids.sort();
    let twin = ids.windows(2).find(|pair| pair[0][..1] == pair[1][..1]).unwrap();
    assert_eq!(store.store.resolve(&twin[0][..1]).unwrap_err().kind(), ErrorKind::InvalidParameter);
    assert_eq!(store.store.resolve(&twin[0]).unwrap().id.hex(), twin[0]);
}

#[test]
fn a_name_moves_to_the_newer_image() {
    let store = TestStore::new();
    let old = store.import("app", &archive("old"));
    let new = store.import("app", &archive("new"));
    assert_eq!(store.store.resolve("app").unwrap().id, new);
    assert!(store.store.resolve(&old.hex()).unwrap().references.is_empty());
    store.store.tag(&old.hex(), &"app".parse().unwrap()).unwrap();
    assert_eq!(store.store.resolve("app").unwrap().id, old);
    let digest = format!("app@{old}").parse().unwrap();
    assert_eq!(store.store.tag("app", &digest).unwrap_err().kind(), ErrorKind::InvalidParameter);
}

#[test]
fn an_image_goes_with_its_last_name_and_a_layer_with_its_last_image() {
    let store = TestStore::new();
    let layer = archive("shared");
    let one = store.import("one", &layer);
    let changed = ImportOptions { changes: vec!["CMD x".to_owned()], ..options("two") };
    let two = store.store.import(layer.as_slice(), &changed).unwrap();
    assert_ne!(one, two);
    store.store.tag("one", &"alias".parse().unwrap()).unwrap();
    let remove = |name: &str| store.store.remove(name, false, &|_| false).unwrap();
    assert_eq!(remove("alias"), [Removed::Untagged("alias".parse().unwrap())]);
    assert_eq!(remove("one"), [Removed::Untagged("one".parse().unwrap()), Removed::Deleted(one)]);
    let layer = store.store.resolve("two").unwrap().diff_ids[0];
    assert!(store.layer("two").exists());
    assert_eq!(remove(&two.hex())[1..], [Removed::Deleted(two), Removed::DeletedLayer(layer)]);
    assert!(store.contents().is_empty());
    assert_eq!(store.store.remove("one", true, &|_| false).unwrap_err().kind(), ErrorKind::NotFound);
}

#[test]
fn an_image_with_several_names_is_removed_by_id_only_with_force() {
    let store = TestStore::new();
    let id = store.import("one", &archive("a"));
    store.store.tag("one", &"two".parse().unwrap()).unwrap();
    let error = store.store.remove(&id.short(), false, &|_| false).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    assert_eq!(store.store.remove(&id.short(), true, &|_| false).unwrap().len(), 4);
    assert!(store.contents().is_empty());
}

#[test]
fn an_image_that_a_container_needs_stays() {
    let store = TestStore::new();
    let id = store.import("app", &archive("a"));
    let used = |image: &_| *image == id;
    let error = store.store.remove("app", false, &used).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    assert!(error.to_string().contains("is using the image"), "{error}");
    // Forced, it loses its name only: the container can be started again.
    assert_eq!(store.store.remove("app", true, &used).unwrap(), [Removed::Untagged("app".parse().unwrap())]);
    assert!(store.layer(&id.hex()).exists());
    assert_eq!(store.store.remove(&id.hex(), true, &used).unwrap_err().kind(), ErrorKind::Conflict);
}

#[test]
fn images_outlive_the_process() {
    let TestStore { directory, store } = TestStore::new();
    let id = store.import(archive("a").as_slice(), &options("app:v1")).unwrap();
    let busy = Store::open(directory.path()).err().expect("the store is open");
    assert_eq!(busy.kind(), ErrorKind::Unavailable);
    drop(store);
    let store = Store::open(directory.path()).unwrap();
    let image = store.resolve("app:v1").unwrap();
    assert_eq!(image.id, id);
    assert!(image.layers[0].join("file").exists());
}

#[test]
fn what_a_crash_left_is_swept_and_a_damaged_image_left_out() {
    let TestStore { directory, store } = TestStore::new();
    let kept = store.import(archive("kept").as_slice(), &options("kept")).unwrap();
    let damaged = store.import(archive("damaged").as_slice(), &options("damaged")).unwrap();
    let orphan = store.import(archive("orphan").as_slice(), &options("orphan")).unwrap();
    let layer = store.resolve("orphan").unwrap().layers[0].clone();
    drop(store);
    let root = directory.path().join("image");
    // As if the process had ended before the record named the image.
    let records = fs::read_to_string(root.join("images.json")).unwrap();
    let mut records: serde_json::Value = serde_json::from_str(&records).unwrap();
    records["images"].as_object_mut().unwrap().remove(&orphan.to_string());
    fs::write(root.join("images.json"), records.to_string()).unwrap();
    fs::create_dir_all(root.join("tmp/half/diff/deep")).unwrap();
    fs::write(root.join("images.new"), "half").unwrap();
    let store = Store::open(directory.path()).unwrap();
    assert_eq!(fs::read_dir(root.join("tmp")).unwrap().count(), 0);
    assert!(!layer.exists() && !root.join("blobs/sha256").join(orphan.hex()).exists());
    assert_eq!(store.list().len(), 2);

    drop(store);
    fs::write(root.join("blobs/sha256").join(damaged.hex()), "{").unwrap();
    let store = Store::open(directory.path()).unwrap();
    assert_eq!(store.list().iter().map(|image| image.id).collect::<Vec<_>>(), [kept]);
    assert_eq!(fs::read_dir(root.join("layers")).unwrap().count(), 1, "its layer goes with it");
}

#[test]
fn concurrent_imports_and_removals_do_not_lose_layers() {
    let store = TestStore::new();
    let layer = archive("shared");
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let (store, layer) = (&store, &layer);
            scope.spawn(move || {
                for round in 0..8 {
                    let name = format!("app:{thread}");
                    let changed = ImportOptions {
                        changes: vec![format!("LABEL round={round}-{thread}")],
                        ..options(&name)
                    };
                    store.store.import(layer.as_slice(), &changed).unwrap();
                    assert!(store.layer(&name).join("file").exists(), "{name} in round {round}");
                    store.store.remove(&name, false, &|_| false).unwrap();
                }
            });
        }
    });
    assert!(store.contents().is_empty());
}

#[test]
fn the_configuration_says_what_the_changes_said() {
    let store = TestStore::new();
    let options = ImportOptions {
        message: "made by hand".to_owned(),
        changes: vec!["CMD [\"/bin/x\"]".to_owned(), "ENV A=b".to_owned(), "EXPOSE 80".to_owned()],
        platform: Some("linux/arm64/v8".to_owned()),
        ..options("app")
    };
    store.store.import(archive("a").as_slice(), &options).unwrap();
    let image = store.store.resolve("app").unwrap();
    let config = image.config.config().as_ref().unwrap();
    assert_eq!(config.cmd().as_ref().unwrap(), &["/bin/x"]);
    assert_eq!(config.env().as_ref().unwrap(), &["A=b"]);
    assert_eq!(config.exposed_ports().as_ref().unwrap(), &["80/tcp"]);
    assert_eq!((image.os.as_str(), image.architecture.as_str()), ("linux", "arm64"));
    assert_eq!(image.config.history().as_ref().unwrap()[0].comment().as_deref(), Some("made by hand"));
    assert!(image.created.as_ref().unwrap().ends_with('Z'));
    let wrong = ImportOptions { platform: Some("a/b/c/d".to_owned()), ..ImportOptions::default() };
    let error = store.store.import(archive("a").as_slice(), &wrong).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidParameter);
}

#[test]
fn a_layer_is_noted_as_written_back() {
    let store = TestStore::new();
    store.import("app", &archive("a"));
    let info = store.layer("app").with_file_name("layer.json");
    let note = || fs::read_to_string(&info).unwrap().contains("unsynced_in_boot");
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
    while note() && std::time::Instant::now() < deadline {
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    assert!(!note());
}

#[test]
fn layers_are_checked_after_a_loss_of_power() {
    let TestStore { directory, store } = TestStore::new();
    let mut layers = Vec::new();
    for name in ["whole", "damaged", "empty"] {
        store.import(archive(name).as_slice(), &options(name)).unwrap();
        layers.push(store.resolve(name).unwrap().layers[0].clone());
    }
    drop(store);
    for layer in &layers {
        // As if the machine had stopped before the layer was written back.
        let info = layer.with_file_name("layer.json");
        let mut text: serde_json::Value = serde_json::from_str(&fs::read_to_string(&info).unwrap()).unwrap();
        text["unsynced_in_boot"] = "another boot".into();
        fs::write(&info, text.to_string()).unwrap();
    }
    fs::write(layers[1].join("file"), "").unwrap();
    fs::write(layers[2].with_file_name("layer.json"), "").unwrap();
    let store = Store::open(directory.path()).unwrap();
    assert_eq!(store.resolve("whole").unwrap().layers, layers[..1]);
    for name in ["damaged", "empty"] {
        assert_eq!(store.resolve(name).unwrap_err().kind(), ErrorKind::NotFound);
        // Loaded again, it is whole again.
        store.import(archive(name).as_slice(), &options(name)).unwrap();
        assert!(store.resolve(name).unwrap().layers[0].join("file").metadata().unwrap().len() > 0);
    }
    assert!(!fs::read_to_string(layers[0].with_file_name("layer.json")).unwrap().contains("unsynced"));
}
