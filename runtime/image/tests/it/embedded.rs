//! The image made of the running binary.

use std::fs;
use std::os::unix::fs::MetadataExt;

use crate::archives::TestStore;

const NAME: &str = "beeline/whoami";

#[test]
fn the_binary_becomes_an_image_that_can_be_saved() {
    let store = TestStore::new();
    let binary = store.directory.path().join("beeline");
    fs::write(&binary, [0x7f; 100_001]).unwrap();
    let id = store.store.install_embedded(&binary).unwrap();
    let image = store.store.resolve(NAME).unwrap();
    assert_eq!(image.id, id);
    let config = image.config.config().as_ref().unwrap();
    assert_eq!(config.entrypoint().as_ref().unwrap(), &["/beeline", "whoami"]);
    assert_eq!(config.exposed_ports().as_ref().unwrap(), &["80/tcp"]);
    let file = store.layer(NAME).join("beeline");
    assert_eq!(fs::read(&file).unwrap(), fs::read(&binary).unwrap());
    assert_eq!(fs::metadata(&file).unwrap().mode() & 0o7777, 0o755);
    let second = TestStore::new();
    assert_eq!(second.load(&store.saved(&[NAME])).unwrap(), ["beeline/whoami:latest"]);
    assert_eq!(second.store.resolve(NAME).unwrap().id, id);
}

#[test]
fn it_is_installed_again_only_when_the_binary_changed() {
    let store = TestStore::new();
    let binary = store.directory.path().join("beeline");
    fs::write(&binary, "one").unwrap();
    let first = store.store.install_embedded(&binary).unwrap();
    let inode = || fs::metadata(store.layer(NAME).join("beeline")).unwrap().ino();
    let before = inode();
    assert_eq!(store.store.install_embedded(&binary).unwrap(), first);
    assert_eq!(inode(), before);
    // The user's removal lasts until the next start.
    store.store.remove(NAME, false, &|_| false).unwrap();
    assert_eq!(store.store.install_embedded(&binary).unwrap(), first);
    fs::write(&binary, "another").unwrap();
    let second = store.store.install_embedded(&binary).unwrap();
    assert_ne!(second, first);
    assert_eq!(store.store.resolve(NAME).unwrap().id, second);
}
