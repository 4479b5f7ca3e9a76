//! Containers' files: copied in and out, compared, exported, committed; and those who try to lead the daemon astray.

use std::fs;
use std::os::unix::fs::MetadataExt;

use crate::bed::{Bed, with_input};

fn text(path: &std::path::Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn files_are_copied_both_ways_by_both_clients_running_or_not() {
    let Some(bed) = Bed::new() else { return };
    bed.busybox();
    let here = bed.dirs.path().join("here");
    fs::create_dir_all(here.join("tree/sub")).unwrap();
    fs::write(here.join("file"), "from here").unwrap();
    fs::write(here.join("tree/sub/deep"), "deep").unwrap();
    let at = |name: &str| here.join(name).display().to_string();
    bed.docker_ok(&["run", "-d", "--name", "running", "-v", "vol:/vol", "busybox", "sleep", "1000"]);
    bed.docker_ok(&[
        "create",
        "--name",
        "stopped",
        "-v",
        "vol2:/vol",
        "busybox",
        "sh",
        "-c",
        "cat /tmp/file /vol/file",
    ]);
    for (client, name) in
        [("docker", "running"), ("beeline", "running"), ("docker", "stopped"), ("beeline", "stopped")]
    {
        let ok = |args: &[&str]| if client == "docker" { bed.docker_ok(args) } else { bed.beeline_ok(args) };
        let inside = |path: &str| format!("{name}:{path}");
        ok(&["cp", &at("file"), &inside("/tmp")]);
        ok(&["cp", &at("file"), &inside("/tmp/renamed")]);
        ok(&["cp", &at("file"), &inside("/vol/")]);
        ok(&["cp", &at("tree"), &inside("/tmp")]);
        ok(&["cp", &at("tree/."), &inside("/tmp/content")]);
        let back = bed.dirs.path().join(format!("back-{client}-{name}"));
        fs::create_dir(&back).unwrap();
        let back_at = |path: &str| back.join(path).display().to_string();
        ok(&["cp", &inside("/tmp/renamed"), &back_at("")]);
        ok(&["cp", &inside("/tmp/file"), &back_at("other")]);
        ok(&["cp", &inside("/vol/file"), &back_at("volume")]);
        ok(&["cp", &inside("/tmp/tree"), &back_at("new")]);
        ok(&["cp", &inside("/tmp/content/."), &back_at("")]);
        for (file, content) in [
            ("renamed", "from here"),
            ("other", "from here"),
            ("volume", "from here"),
            ("new/sub/deep", "deep"),
            ("sub/deep", "deep"),
        ] {
            assert_eq!(text(&back.join(file)), content, "{client} {name} {file}");
        }
        let refuse = |args: &[&str]| if client == "docker" { bed.docker(args) } else { bed.beeline(args) };
        let missing = refuse(&["cp", &inside("/none"), &back_at("")]);
        assert!(missing.code() != 0 && missing.stderr.contains("/none"), "{missing}");
        let refused = refuse(&["cp", &at("tree"), &inside("/tmp/file")]);
        assert!(refused.code() != 0, "a directory does not replace a file: {refused}");
    }
    assert_eq!(bed.docker_ok(&["start", "-a", "stopped"]), "from herefrom here");
    let tar = bed.docker(&["cp", "running:/tmp/file", "-"]);
    assert!(tar.stdout.windows(9).any(|bytes| bytes == b"from here"));
    let sent = with_input(bed.beeline_command(&["cp", "-", "running:/vol"]), &tar.stdout);
    assert_eq!(sent.code(), 0, "{sent}");
    let proc = bed.docker(&["cp", "running:/proc", &at("proc")]);
    assert!(proc.code() != 0 && proc.stderr.contains("files of the kernel"), "{proc}");
}

#[test]
fn links_are_followed_inside_the_container_only() {
    let Some(bed) = Bed::new() else { return };
    bed.busybox();
    let secret = bed.dirs.path().join("secret");
    fs::write(&secret, "the host's").unwrap();
    let outside = secret.display().to_string();
    let script = format!(
        "mkdir -p /real {dir} && echo inside > /real/file && ln -s /real /link && ln -s {outside} /out \
         && ln -s {dir} /dir && echo own > {outside} && sleep 1000",
        dir = bed.dirs.path().display(),
    );
    bed.docker_ok(&["run", "-d", "--name", "box", "busybox", "sh", "-c", &script]);
    let back = bed.dirs.path().join("back");
    let to = back.display().to_string();
    bed.eventually("the links are there", || {
        bed.docker(&["cp", "box:/dir/secret", &to]).status.success().then_some(())
    });
    assert_eq!(text(&back), "own\n", "an absolute link means the container's file");
    bed.docker_ok(&["cp", "-L", "box:/out", &to]);
    assert_eq!(text(&back), "own\n");
    bed.docker_ok(&["cp", "box:/link/file", &to]);
    assert_eq!(text(&back), "inside\n");
    let new = bed.dirs.path().join("new");
    fs::write(&new, "new").unwrap();
    bed.docker_ok(&["cp", &new.display().to_string(), "box:/out"]);
    assert_eq!(text(&secret), "the host's", "what is written through a link stays inside");
    bed.docker_ok(&["cp", "-L", "box:/out", &to]);
    assert_eq!(text(&back), "new");
    bed.docker_ok(&["cp", &new.display().to_string(), "box:/dir/planted"]);
    assert!(!bed.dirs.path().join("planted").exists());
}

/// CVE-2018-15664: a directory that becomes a link between the check and the use.
#[test]
fn a_directory_that_a_container_swaps_for_a_link_never_leads_out() {
    let Some(bed) = Bed::new() else { return };
    bed.busybox();
    let host = bed.dirs.path().join("host");
    fs::create_dir(&host).unwrap();
    fs::write(host.join("secret"), "the host's").unwrap();
    let outside = host.display();
    let script = format!(
        "mkdir -p /swap {outside}; echo inside > /swap/secret; echo inside > {outside}/secret; ln -s {outside} /link; \
         touch /ready; while :; do mv /swap /away; mv /link /swap; mv /swap /link; mv /away /swap; done"
    );
    bed.docker_ok(&["run", "-d", "--name", "racer", "busybox", "sh", "-c", &script]);
    let back = bed.dirs.path().join("back");
    let to = back.display().to_string();
    bed.eventually("it races", || bed.docker(&["cp", "racer:/ready", &to]).status.success().then_some(()));
    let planted = bed.dirs.path().join("planted");
    fs::write(&planted, "planted").unwrap();
    let planted = planted.display().to_string();
    for _ in 0..40 {
        let _ = fs::remove_file(&back);
        let copied = bed.docker(&["cp", "racer:/swap/secret", &to]);
        if copied.status.success() {
            assert_eq!(text(&back), "inside\n");
        }
        bed.docker(&["cp", &planted, "racer:/swap/"]);
        assert!(!host.join("planted").exists(), "a file was written to the host");
    }
    assert_eq!(text(&host.join("secret")), "the host's");
}

#[test]
fn read_only_places_are_refused_and_owners_are_kept_or_changed() {
    let Some(bed) = Bed::new() else { return };
    bed.busybox();
    let file = bed.dirs.path().join("file");
    fs::write(&file, "x").unwrap();
    std::os::unix::fs::chown(&file, Some(33), Some(33)).unwrap();
    let file = file.display().to_string();
    bed.docker_ok(&[
        "create",
        "--name",
        "ro",
        "--read-only",
        "-v",
        "vol:/rw",
        "-v",
        "vol2:/ro:ro",
        "busybox",
        "true",
    ]);
    for (path, reason) in [
        ("ro:/tmp", "container rootfs is marked read-only"),
        ("ro:/ro", "mounted volume is marked read-only"),
    ] {
        let refused = bed.docker(&["cp", &file, path]);
        assert!(refused.stderr.contains(reason), "{path}: {refused}");
    }
    bed.docker_ok(&["cp", &file, "ro:/rw"]);
    let owner = |name: &str, file: &str| {
        let metadata =
            fs::metadata(bed.dirs.root().join("volumes").join(name).join("_data").join(file)).unwrap();
        (metadata.uid(), metadata.gid())
    };
    assert_eq!(owner("vol", "file"), (33, 33), "as in the archive");
    bed.docker_ok(&["create", "--name", "user", "--user", "redis", "-v", "vol3:/v", "busybox", "true"]);
    bed.docker_ok(&["cp", "-a", &file, "user:/v"]);
    assert_eq!(owner("vol3", "file"), (102, 102), "the container's user");
}

#[test]
fn what_is_different_is_listed() {
    let Some(bed) = Bed::new() else { return };
    bed.busybox();
    bed.docker_ok(&["create", "--name", "fresh", "busybox", "true"]);
    assert_eq!(bed.docker_ok(&["diff", "fresh"]), "");
    let script = "echo x > /new; rm /etc/group; echo y >> /etc/passwd; rm -r /var/log && mkdir /var/log && echo z > /var/log/z; chmod 700 /run";
    bed.docker_ok(&["run", "--name", "changed", "busybox", "sh", "-c", script]);
    let mut expected = vec![
        "A /new",
        "A /var/log/z",
        "C /etc",
        "C /etc/passwd",
        "C /run",
        "C /var",
        "C /var/log",
        "D /etc/group",
        "D /var/log/nginx",
    ];
    expected.sort_unstable();
    for listing in [bed.docker_ok(&["diff", "changed"]), bed.beeline_ok(&["diff", "changed"])] {
        let mut lines: Vec<&str> = listing.lines().collect();
        lines.sort_unstable();
        assert_eq!(lines, expected);
    }
}

#[test]
fn everything_but_what_is_mounted_is_exported() {
    let Some(bed) = Bed::new() else { return };
    bed.busybox();
    let script = "echo x > /new; echo y > /vol/y; rm /etc/group; touch /done; sleep 1000";
    bed.docker_ok(&["run", "-d", "--name", "box", "-v", "vol:/vol", "busybox", "sh", "-c", script]);
    bed.eventually("it has written", || bed.docker_ok(&["diff", "box"]).contains("/done").then_some(()));
    let check = |listing: &str, when: &str| {
        let names: Vec<&str> = listing.lines().collect();
        for name in ["new", "bin/busybox", "vol/", "etc/passwd"] {
            assert!(names.contains(&name), "{when}: {name} in {listing}");
        }
        for name in ["vol/y", "etc/group", "proc/version", "sys/kernel/"] {
            assert!(!names.contains(&name), "{when}: {name} in {listing}");
        }
    };
    let archive = bed.dirs.path().join("export.tar").display().to_string();
    bed.docker_ok(&["export", "-o", &archive, "box"]);
    check(&bed.in_host(&format!("tar -tf {archive}")), "running");
    bed.docker_ok(&["kill", "box"]);
    bed.beeline_ok(&["export", "-o", &archive, "box"]);
    check(&bed.in_host(&format!("tar -tf {archive}")), "stopped");
    bed.docker_ok(&["import", &archive, "again"]);
    assert_eq!(bed.docker_ok(&["run", "--rm", "again", "cat", "/new"]), "x");
}

#[test]
fn an_image_is_made_of_a_container() {
    let Some(bed) = Bed::new() else { return };
    bed.busybox();
    let script = "echo x > /new; rm /etc/group; rm -r /var/log; mkdir /var/log; ln /new /hard; touch /done; sleep 1000";
    bed.docker_ok(&[
        "run", "-d", "--name", "box", "-e", "A=1", "--label", "l=m", "busybox", "sh", "-c", script,
    ]);
    bed.eventually("it has written", || bed.docker_ok(&["diff", "box"]).contains("/done").then_some(()));
    let id = bed.docker_ok(&[
        "commit",
        "-a",
        "me",
        "-m",
        "why",
        "--change",
        "CMD [\"cat\", \"/new\"]",
        "--change",
        "ENV B=2",
        "box",
        "made:v1",
    ]);
    assert!(id.starts_with("sha256:"), "{id}");
    assert_eq!(bed.inspect("box", "{{.State.Status}}"), "running", "it goes on");
    assert_eq!(bed.docker_ok(&["run", "--rm", "made:v1"]), "x");
    let format = "{{.Author}} {{.Config.Cmd}} {{.Config.Env}} {{.Config.Labels}} {{len .RootFS.Layers}}";
    let described = bed.docker_ok(&["inspect", "--format", format, "made:v1"]);
    assert!(
        described.starts_with("me [cat /new]") && described.contains("A=1") && described.contains("B=2"),
        "{described}"
    );
    assert!(described.contains("l:m") && described.ends_with(" 2"), "{described}");
    let listing = bed.docker_ok(&[
        "run",
        "--rm",
        "made:v1",
        "sh",
        "-c",
        "ls /etc/group /var/log; stat -c %h /new; true",
    ]);
    assert!(!listing.contains("nginx") && listing.contains('2'), "{listing}");
    // The layer goes through an archive and back: it is an image as any other.
    let archive = bed.dirs.path().join("made.tar").display().to_string();
    bed.docker_ok(&["save", "-o", &archive, "made:v1"]);
    bed.docker_ok(&["stop", "-t", "0", "box"]);
    let second = bed.beeline_ok(&["commit", "-m", "again", "box", "made:v2"]);
    assert!(second.starts_with("sha256:") && second != id);
    bed.docker_ok(&["rm", "box"]);
    bed.docker_ok(&["rmi", "made:v2"]);
    assert_eq!(bed.docker_ok(&["run", "--rm", "made:v1"]), "x", "layers that are shared stay");
}
