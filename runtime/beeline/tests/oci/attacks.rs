//! Attacks on the runtime by images and configurations.

use std::fs;
use std::io::ErrorKind;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::process::{Command, Stdio};

use serde_json::json;

use crate::bed::{Bed, is_root};

/// CVE-2019-5736: an image whose command is the runtime itself, and which then writes to the file it was executed from.
#[test]
fn an_image_cannot_write_to_the_runtime_that_executes_it() {
    if !is_root() {
        return;
    }
    let bed = Bed::new();
    // A copy, as the kernel lets nobody write to a file that another test executes.
    let runtime = bed.path("beeline");
    fs::copy(env!("CARGO_BIN_EXE_beeline"), &runtime).unwrap();
    let call = |operation: &[&str]| {
        let mut command = Command::new(&runtime);
        command.args(["oci", "--root", &bed.text("state")]).args(operation).stdin(Stdio::null());
        bed.finish(command)
    };
    // The runtime executes itself, in the container.
    bed.args(&["/proc/self/exe", "oci", "--version"]);
    assert!(call(&["run", "--bundle", &bed.text(""), bed.id()]).stdout.contains("spec: 1."));
    fs::write(bed.path("rootfs/entry"), "#!/proc/self/exe\n").unwrap();
    fs::set_permissions(bed.path("rootfs/entry"), fs::Permissions::from_mode(0o755)).unwrap();
    bed.args(&["/entry"]);
    assert_ne!(call(&["run", "--bundle", &bed.text(""), bed.id()]).code, Some(0));
    // Somebody keeps the file of the waiting runtime open, and opens it for writing when nobody executes it any more.
    assert_eq!(call(&["create", "--bundle", &bed.text(""), bed.id()]).code, Some(0));
    let kept = fs::File::open(format!("/proc/{}/exe", bed.state()["pid"])).unwrap();
    bed.succeed(&["delete", "--force", bed.id()]);
    let again = format!("/proc/self/fd/{}", kept.as_raw_fd());
    let refused = fs::OpenOptions::new().write(true).open(again).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::ReadOnlyFilesystem, "{refused}");
}

/// CVE-2024-21626: a working directory by way of a descriptor that was leaked into the container.
#[test]
fn a_working_directory_does_not_lead_out_of_the_container() {
    if !is_root() {
        return;
    }
    let bed = Bed::new();
    for fd in 3..12 {
        bed.configure(|config| config["process"]["cwd"] = json!(format!("/proc/self/fd/{fd}")));
        let said = bed.refuse();
        assert!(said.contains("the working directory"), "{said}");
    }
    // The same for a further process, and by a link of the image.
    bed.configure(|config| config["process"]["cwd"] = json!("/"));
    symlink("/proc/self/fd/5", bed.path("rootfs/way")).unwrap();
    bed.args(&["sleep", "1000"]);
    bed.create();
    bed.succeed(&["start", bed.id()]);
    for cwd in ["/proc/self/fd/5", "/proc/1/root", "/way", "/proc/self/cwd"] {
        let said = bed.fail(&["exec", "--cwd", cwd, bed.id(), "pwd"]);
        assert!(said.contains("the working directory"), "{cwd}: {said}");
    }
}

/// What the runtime has open is neither the waiting init's nor the command's.
#[test]
fn init_holds_nothing_of_the_host_while_it_waits() {
    if !is_root() {
        return;
    }
    let bed = Bed::new();
    bed.create();
    let pid = bed.state()["pid"].to_string();
    let mut open: Vec<String> = fs::read_dir(format!("/proc/{pid}/fd"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| !matches!(path.file_name().unwrap().to_str(), Some("0" | "1" | "2")))
        .map(|path| fs::read_link(path).unwrap().to_string_lossy().into_owned())
        .collect();
    open.sort_unstable();
    assert_eq!(open.len(), 2, "{open:?}");
    assert!(open[0].ends_with("/start") && open[1].ends_with("/started"), "{open:?}");
}

/// A symbolic link of the image does not decide where a mount goes.
#[test]
fn a_link_does_not_lead_a_mount_out_of_the_container() {
    if !is_root() {
        return;
    }
    let bed = Bed::new();
    symlink("/", bed.path("rootfs/up")).unwrap();
    fs::create_dir(bed.path("data")).unwrap();
    fs::write(bed.path("data/file"), "x").unwrap();
    bed.configure(|config| {
        config["mounts"].as_array_mut().unwrap().push(json!({
            "destination": "/up/mnt", "source": bed.text("data"), "options": ["bind"],
        }));
    });
    assert_eq!(bed.sh("cat /mnt/file"), "x");
    assert!(!std::path::Path::new("/mnt/file").exists());
}

/// CVE-2025-52881: nothing else is taken for /proc when the runtime writes kernel parameters there.
#[test]
fn nothing_lies_over_proc_when_kernel_parameters_are_written() {
    if !is_root() {
        return;
    }
    let bed = Bed::new();
    fs::create_dir_all(bed.path("data/kernel")).unwrap();
    fs::write(bed.path("data/kernel/shmmax"), "planted\n").unwrap();
    bed.configure(|config| config["linux"]["sysctl"] = json!({ "kernel.shmmax": "12345" }));
    assert_eq!(bed.sh("cat /proc/sys/kernel/shmmax"), "12345\n");
    for (destination, message) in
        [("/proc", "has to be a proc file system"), ("/proc/sys", "cannot be mounted on: it is inside /proc")]
    {
        let over = json!({ "destination": destination, "source": bed.text("data"), "options": ["bind"] });
        bed.configure(|config| config["mounts"].as_array_mut().unwrap().push(over));
        let said = bed.refuse();
        assert!(said.contains(message), "{destination}: {said}");
        bed.configure(|config| drop(config["mounts"].as_array_mut().unwrap().pop()));
    }
    // Nor by way of a link of the image.
    symlink("/proc/sys", bed.path("rootfs/way")).unwrap();
    let over = json!({ "destination": "/way", "source": bed.text("data"), "options": ["bind"] });
    bed.configure(|config| config["mounts"].as_array_mut().unwrap().push(over));
    let said = bed.refuse();
    assert!(said.contains("file system of the kernel's"), "{said}");
    assert_eq!(bed.read("data/kernel/shmmax"), "planted\n");
}
