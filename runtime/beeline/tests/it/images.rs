//! Images: import, load, save, list and remove through both clients.

use std::fs;

use crate::bed::{Bed, image_cache, with_input};

#[test]
fn an_archive_is_imported_from_a_file_and_from_standard_input() {
    let Some(bed) = Bed::new() else { return };
    let archive = beeline_testbed::busybox_tar(&image_cache()).unwrap();
    let bytes = fs::read(&archive).unwrap();
    let file = archive.display().to_string();
    bed.docker_ok(&["import", "--change", "CMD [\"echo\", \"hello\"]", &file, "one:v1"]);
    bed.beeline_ok(&["import", &file, "two"]);
    for (command, name) in [
        (bed.docker_command(&["import", "-", "three"]), "three"),
        (bed.beeline_command(&["import", "-", "four"]), "four"),
    ] {
        let output = with_input(command, &bytes);
        assert!(output.status.success(), "{name}: {output}");
        assert_eq!(bed.docker_ok(&["run", "--rm", name, "echo", "hi"]), "hi");
    }
    assert_eq!(bed.docker_ok(&["run", "--rm", "one:v1"]), "hello");
    for listing in [bed.docker_ok(&["images"]), bed.beeline_ok(&["images"])] {
        for name in ["one", "two", "three", "four", "beeline/whoami"] {
            assert!(listing.contains(name), "{name} in {listing}");
        }
    }
    // The same tree is stored once.
    let layer = |name: &str| bed.docker_ok(&["inspect", "--format", "{{.RootFS.Layers}}", name]);
    assert_eq!(layer("two"), layer("three"));
}

#[test]
fn a_saved_image_is_loaded_by_another_daemon() {
    let Some(first) = Bed::new() else { return };
    first.busybox();
    let archive = first.dirs.path().join("saved.tar");
    let archive = archive.to_str().unwrap();
    first.docker_ok(&["save", "-o", archive, "busybox"]);
    let id = first.docker_ok(&["inspect", "--format", "{{.Id}}", "busybox"]);

    let Some(second) = Bed::new() else { return };
    let loaded = second.docker_ok(&["load", "-i", archive]);
    assert!(loaded.contains("Loaded image: busybox:latest"), "{loaded}");
    assert_eq!(second.docker_ok(&["inspect", "--format", "{{.Id}}", "busybox"]), id);
    assert_eq!(second.beeline_ok(&["run", "--rm", "busybox", "echo", "moved"]), "moved");
    let again = second.beeline_ok(&["load", "-i", archive]);
    assert!(again.contains("busybox:latest"), "{again}");
}

#[test]
fn an_oci_archive_made_by_another_tool_is_loaded() {
    let Some(bed) = Bed::new() else { return };
    bed.busybox();
    let dir = bed.dirs.path();
    let (saved, oci) = (dir.join("saved.tar"), dir.join("oci.tar"));
    bed.docker_ok(&["save", "-o", saved.to_str().unwrap(), "busybox"]);
    bed.docker_ok(&["rmi", "busybox"]);
    bed.in_host(&format!(
        "skopeo copy --quiet docker-archive:{} oci-archive:{}:from-skopeo:v2",
        saved.display(),
        oci.display()
    ));
    let loaded = bed.docker_ok(&["load", "-i", oci.to_str().unwrap()]);
    assert!(loaded.contains("from-skopeo:v2"), "{loaded}");
    assert_eq!(bed.docker_ok(&["run", "--rm", "from-skopeo:v2", "echo", "hi"]), "hi");
}

#[test]
fn an_image_in_use_stays() {
    let Some(bed) = Bed::new() else { return };
    bed.busybox();
    bed.docker_ok(&["run", "-d", "--name", "user", "busybox", "sleep", "1000"]);
    let refused = bed.docker(&["rmi", "busybox"]);
    assert_eq!(refused.code(), 1, "{refused}");
    assert!(refused.stderr.contains("in use") || refused.stderr.contains("is using"), "{refused}");
    bed.docker_ok(&["rm", "-f", "user"]);
    bed.docker_ok(&["rmi", "busybox"]);
    assert!(!bed.docker_ok(&["images"]).contains("busybox"));
}
