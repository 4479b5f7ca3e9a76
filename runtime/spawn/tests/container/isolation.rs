//! Namespaces, mounts, devices and the root.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};

use beeline_spawn::container::{NetNs, Rootfs};

use crate::sandbox::{Sandbox, bind, finish, is_root, write};

#[test]
fn true_exits_with_0_and_any_code_arrives() {
    if !is_root() {
        return;
    }
    let mut sandbox = Sandbox::new();
    assert_eq!(sandbox.run(&["true"]).code, 0);
    assert_eq!(sandbox.sh("exit 7").code, 7);
    assert_eq!(sandbox.sh("exit 255").code, 255);
}

#[test]
fn init_is_process_1_of_namespaces_of_its_own() {
    if !is_root() {
        return;
    }
    let mut sandbox = Sandbox::new();
    sandbox.spec.set_hostname(Some("bee".into()));
    let output = sandbox
        .output("echo $$; hostname; for n in mnt pid net ipc uts cgroup; do readlink /proc/self/ns/$n; done");
    let mut lines = output.lines();
    assert_eq!((lines.next(), lines.next()), (Some("1"), Some("bee")));
    for (name, inside) in ["mnt", "pid", "net", "ipc", "uts", "cgroup"].into_iter().zip(lines) {
        let host = fs::read_link(format!("/proc/self/ns/{name}")).unwrap();
        assert_ne!(inside, host.to_str().unwrap());
    }
}

#[test]
fn only_the_loopback_device_is_there_and_it_is_up() {
    if !is_root() {
        return;
    }
    let mut sandbox = Sandbox::new();
    let output = sandbox.output("ls /sys/class/net; cat /sys/class/net/lo/flags");
    assert_eq!(output, "lo\n0x9\n");
}

#[test]
fn a_given_network_namespace_is_joined() {
    if !is_root() {
        return;
    }
    let mut sandbox = Sandbox::new();
    let host = fs::read_link("/proc/self/ns/net").unwrap();
    let rootfs = sandbox.rootfs();
    for netns in [NetNs::Host, NetNs::Fd(fs::File::open("/proc/self/ns/net").unwrap().into())] {
        let (created, output) =
            sandbox.create_in(&["readlink", "/proc/self/ns/net"], netns, &rootfs).unwrap();
        assert_eq!(finish(created, output).unwrap().output.trim(), host.to_str().unwrap());
    }
}

#[test]
fn the_mounts_are_dockers_and_nothing_of_the_host_remains() {
    if !is_root() {
        return;
    }
    let mut sandbox = Sandbox::new();
    let output = sandbox.output("cat /proc/self/mounts");
    let mounts: Vec<(&str, &str)> = output
        .lines()
        .map(|line| {
            let mut fields = line.split(' ').skip(1);
            (fields.next().unwrap(), fields.next().unwrap())
        })
        .collect();
    let expected = [
        ("/", "overlay"),
        ("/proc", "proc"),
        ("/dev", "tmpfs"),
        ("/dev/pts", "devpts"),
        ("/dev/shm", "tmpfs"),
        ("/dev/mqueue", "mqueue"),
        ("/sys", "sysfs"),
    ];
    assert_eq!(mounts[..expected.len()], expected, "{output}");
    for (path, kind) in &mounts[expected.len()..] {
        let known =
            path.starts_with("/sys/fs/cgroup") || path.starts_with("/proc/") || *path == "/sys/firmware";
        assert!(known || *path == "/sys/devices/virtual/powercap", "{path} {kind}");
    }
}

#[test]
fn masked_paths_are_empty_and_readonly_paths_cannot_be_written() {
    if !is_root() {
        return;
    }
    let mut sandbox = Sandbox::new();
    let output = sandbox.output("cat /proc/interrupts /proc/keys; ls /sys/firmware");
    assert_eq!(output, "");
    let script = "(echo 0 > /proc/sys/vm/swappiness) 2>&1; (echo x > /proc/sys/kernel/hostname) 2>&1; (echo 1 > /sys/kernel/profiling) 2>&1";
    let output = sandbox.sh(script).output;
    assert_eq!(output.matches("Read-only file system").count(), 3, "{output}");
}

#[test]
fn dev_has_the_default_nodes_and_links() {
    if !is_root() {
        return;
    }
    let mut sandbox = Sandbox::new();
    let script = "cd /dev; stat -c '%n %t:%T %a' null zero full random urandom tty; \
                  for l in fd stdin stdout stderr ptmx; do readlink $l; done; \
                  cat /dev/null; echo x > /dev/zero; ls /dev/pts";
    let expected = "null 1:3 666\nzero 1:5 666\nfull 1:7 666\nrandom 1:8 666\nurandom 1:9 666\ntty 5:0 666\n\
                    /proc/self/fd\n/proc/self/fd/0\n/proc/self/fd/1\n/proc/self/fd/2\npts/ptmx\nptmx\n";
    assert_eq!(sandbox.output(script), expected);
}

#[test]
fn writes_go_to_the_upper_layer_unless_the_root_is_read_only() {
    if !is_root() {
        return;
    }
    let mut sandbox = Sandbox::new();
    sandbox.output("echo hello > /tmp/x");
    assert_eq!(fs::read_to_string(sandbox.path("upper/tmp/x")).unwrap(), "hello\n");
    sandbox.spec.root_mut().as_mut().unwrap().set_readonly(Some(true));
    let outcome = sandbox.sh("echo hello > /tmp/y");
    assert_ne!(outcome.code, 0);
    assert!(outcome.output.contains("Read-only file system"), "{}", outcome.output);
    sandbox.output("echo x > /dev/shm/x");
}

#[test]
fn the_topmost_of_many_layers_wins() {
    if !is_root() {
        return;
    }
    let mut sandbox = Sandbox::new();
    for number in 0..120 {
        // Longer together than a page of mount options.
        let layer = sandbox.path(&format!("layers/{number:064}/diff"));
        write(&layer.join("which"), &format!("{number}\n"));
        write(&layer.join(format!("only-{number}")), "");
        sandbox.layers.push(layer);
    }
    assert_eq!(sandbox.output("cat /which; ls / | grep -c only-"), "0\n120\n");
}

#[test]
fn a_very_long_layer_path_is_mounted_too() {
    if !is_root() {
        return;
    }
    let mut sandbox = Sandbox::new();
    let layer = sandbox.path(&format!("{0}/{0}:,\\/diff", "d".repeat(150)));
    write(&layer.join("which"), "deep\n");
    sandbox.layers.push(layer);
    assert_eq!(sandbox.output("cat /which"), "deep\n");
    assert_eq!(sandbox.output("cat /proc/self/mounts | grep -c ' / overlay'"), "1\n");
}

#[test]
fn a_directory_can_be_the_root() {
    if !is_root() {
        return;
    }
    let mut sandbox = Sandbox::new();
    let rootfs = Rootfs::Directory(sandbox.path("busybox"));
    let (created, output) = sandbox.create_in(&["sh", "-c", "echo hi > /new"], NetNs::New, &rootfs).unwrap();
    assert_eq!(finish(created, output).unwrap().code, 0);
    assert_eq!(fs::read_to_string(sandbox.image("new")).unwrap(), "hi\n");
}

#[test]
fn binds_of_files_and_directories_get_their_targets_made() {
    if !is_root() {
        return;
    }
    let mut sandbox = Sandbox::new();
    write(&sandbox.path("host/file"), "from the host\n");
    let file = sandbox.path("host/file");
    let directory = sandbox.path("host");
    sandbox.add_mount(bind(&file, "/deep/er/file", &["rbind", "ro", "rprivate"]));
    sandbox.add_mount(bind(&directory, "/mnt/dir", &["rbind", "rprivate"]));
    assert_eq!(sandbox.output("cat /deep/er/file; echo x > /mnt/dir/new"), "from the host\n");
    assert_eq!(fs::read_to_string(sandbox.path("host/new")).unwrap(), "x\n");
    let outcome = sandbox.sh("echo y > /deep/er/file");
    assert!(outcome.output.contains("Read-only file system"), "{}", outcome.output);
}

/// CVE-2021-30465 and its kin: a link in the image or a volume as a mount's target.
#[test]
fn a_link_as_a_mounts_target_stays_in_the_root() {
    if !is_root() {
        return;
    }
    let mut sandbox = Sandbox::new();
    let outside = tempfile::tempdir().unwrap();
    let source = sandbox.path("host");
    write(&source.join("file"), "mounted\n");
    symlink(outside.path(), sandbox.image("escape")).unwrap();
    symlink("../../../../../..", sandbox.image("up")).unwrap();
    fs::create_dir_all(sandbox.image(outside.path().to_str().unwrap().trim_start_matches('/'))).unwrap();
    sandbox.add_mount(bind(&source, "/escape", &["rbind"]));
    sandbox.add_mount(bind(&source, "/up/below", &["rbind"]));
    let script = format!("cat {}/file /below/file", outside.path().display());
    assert_eq!(sandbox.output(&script), "mounted\nmounted\n");
    assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 0);
}

/// CVE-2024-21626 and CVE-2019-16884: an image whose /proc is a link could fake what is masked.
#[test]
fn a_link_in_place_of_proc_is_refused() {
    if !is_root() {
        return;
    }
    let mut sandbox = Sandbox::new();
    fs::create_dir(sandbox.image("fake")).unwrap();
    symlink("fake", sandbox.image("proc")).unwrap();
    let error = sandbox.create(&["true"]).map(drop).unwrap_err();
    assert!(error.to_string().starts_with("mount proc on /proc"), "{error}");
}

#[test]
fn a_tmpfs_has_its_size_and_mode() {
    if !is_root() {
        return;
    }
    let mut sandbox = Sandbox::new();
    let mount = oci_spec::runtime::MountBuilder::default()
        .destination("/scratch")
        .typ("tmpfs")
        .source("tmpfs")
        .options(vec!["noexec".to_owned(), "size=1m".to_owned(), "mode=1770".to_owned()])
        .build()
        .unwrap();
    sandbox.add_mount(mount);
    let output = sandbox.output("stat -c %a /scratch; cat /proc/self/mounts | grep /scratch");
    assert!(output.starts_with("1770\n"), "{output}");
    assert!(output.contains("size=1024k") && output.contains("noexec"), "{output}");
}

#[test]
fn a_missing_working_directory_is_made() {
    if !is_root() {
        return;
    }
    let mut sandbox = Sandbox::new();
    sandbox.process(|process| {
        process.set_cwd("/srv/app".into());
    });
    assert_eq!(sandbox.output("pwd"), "/srv/app\n");
    let made = fs::metadata(sandbox.path("upper/srv/app")).unwrap();
    assert_eq!((made.permissions().mode() & 0o7777, made.uid()), (0o755, 0));
}

/// CVE-2024-21626: a working directory by way of a leaked descriptor.
#[test]
fn the_working_directory_cannot_be_reached_through_a_descriptor() {
    if !is_root() {
        return;
    }
    for number in 3..16 {
        let mut sandbox = Sandbox::new();
        sandbox.process(|process| {
            process.set_cwd(format!("/proc/self/fd/{number}").into());
        });
        assert!(sandbox.create(&["true"]).is_err(), "descriptor {number}");
    }
}

#[test]
fn a_kernel_parameter_of_the_containers_namespaces_is_set() {
    if !is_root() {
        return;
    }
    let mut sandbox = Sandbox::new();
    sandbox.linux(|linux| {
        linux.set_sysctl(Some([("net.ipv4.ip_forward".to_owned(), "1".to_owned())].into()));
    });
    assert_eq!(sandbox.output("cat /proc/sys/net/ipv4/ip_forward"), "1\n");
}

#[test]
fn nothing_is_left_on_the_host() {
    if !is_root() {
        return;
    }
    let mounts = || fs::read_to_string("/proc/self/mountinfo").unwrap();
    let before = mounts();
    let mut sandbox = Sandbox::new();
    sandbox.output("touch /x");
    drop(sandbox.create(&["true"]).unwrap());
    assert!(sandbox.cgroup.processes().unwrap().is_empty());
    assert_eq!(mounts(), before);
}
