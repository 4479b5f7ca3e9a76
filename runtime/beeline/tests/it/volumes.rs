//! Volumes: named and without a name, with options, filled from images, and what a killed daemon leaves of them.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use crate::bed::{Bed, image_cache};

/// Where a volume's files are.
fn data(bed: &Bed, name: &str) -> PathBuf {
    bed.dirs.root().join("volumes").join(name).join("_data")
}

/// An image whose /data is a volume and has content.
fn image_with_content(bed: &Bed, name: &str) {
    let archive = beeline_testbed::busybox_tar(&image_cache()).unwrap();
    let tree = bed.dirs.path().join("tree");
    let line = format!(
        "mkdir -p {tree} && tar -xf {archive} -C {tree} && mkdir -p {tree}/data/sub && echo content > {tree}/data/file \
         && ln {tree}/data/file {tree}/data/sub/hard && ln -s file {tree}/data/soft && chown 101:102 {tree}/data/file \
         && chmod 2750 {tree}/data && chmod 4711 {tree}/data/sub && setfattr -n user.kind -v x {tree}/data/file \
         && tar --xattrs -cf {tree}.tar -C {tree} .",
        tree = tree.display(),
        archive = archive.display(),
    );
    bed.in_host(&line);
    let archive = format!("{}.tar", tree.display());
    bed.docker_ok(&["import", "--change", "VOLUME /data", &archive, name]);
}

#[test]
fn volumes_are_made_listed_inspected_and_removed() {
    let Some(bed) = Bed::new() else { return };
    bed.busybox();
    assert_eq!(bed.docker_ok(&["volume", "create", "--label", "tier=db", "data"]), "data");
    assert_eq!(bed.docker_ok(&["volume", "create", "data"]), "data", "it is there already");
    let mountpoint = data(&bed, "data").display().to_string();
    let format = "{{.Driver}} {{.Scope}} {{.Mountpoint}} {{.Labels}}";
    assert_eq!(
        bed.docker_ok(&["volume", "inspect", "--format", format, "data"]),
        format!("local local {mountpoint} map[tier:db]")
    );
    bed.docker_ok(&["volume", "create", "other"]);
    assert_eq!(bed.docker_ok(&["volume", "ls", "-q", "--filter", "label=tier=db"]), "data");
    assert_eq!(bed.docker_ok(&["volume", "ls", "-q", "--filter", "name=oth"]), "other");

    bed.docker_ok(&["run", "--name", "user", "-v", "data:/d", "busybox", "sh", "-c", "echo kept > /d/f"]);
    assert_eq!(bed.docker_ok(&["run", "--rm", "-v", "data:/d:ro", "busybox", "cat", "/d/f"]), "kept");
    let refused = bed.docker(&["run", "--rm", "-v", "data:/d:ro", "busybox", "touch", "/d/x"]);
    assert!(refused.stderr.contains("Read-only file system"), "{refused}");
    assert_eq!(bed.docker_ok(&["volume", "ls", "-q", "--filter", "dangling=true"]), "other");
    let used = bed.docker(&["volume", "rm", "data"]);
    let id = bed.inspect("user", "{{.Id}}");
    assert!(used.stderr.contains(&format!("remove data: volume is in use - [{id}]")), "{used}");
    let mount = bed.inspect("user", "{{range .Mounts}}{{.Type}} {{.Name}} {{.Source}} {{.RW}}{{end}}");
    assert_eq!(mount, format!("volume data {mountpoint} true"));
    for (filter, listed) in [("volume=data", "user"), ("volume=/d", "user"), ("volume=other", "")] {
        assert_eq!(bed.docker_ok(&["ps", "-a", "--format", "{{.Names}}", "--filter", filter]), listed);
    }

    bed.docker_ok(&["rm", "-v", "user"]);
    assert_eq!(
        fs::read_to_string(data(&bed, "data").join("f")).unwrap(),
        "kept\n",
        "it has a name, and stays"
    );
    assert_eq!(bed.docker_ok(&["volume", "rm", "data"]), "data");
    assert!(!data(&bed, "data").exists());
    let unknown = bed.docker(&["volume", "inspect", "data"]);
    assert!(unknown.stderr.contains("get data: no such volume"), "{unknown}");
    for (args, text) in [
        (&["volume", "create", "-d", "rexray", "x1"][..], "plugin \"rexray\" not found"),
        (&["volume", "create", "../x"], "includes invalid characters for a local volume name"),
        (&["volume", "create", "x"], "volume name is too short"),
        (&["volume", "create", "-o", "colour=red", "x1"], "invalid option: \"colour\""),
        (&["run", "--rm", "-v", "x?:/d", "busybox", "true"], "includes invalid characters"),
    ] {
        let refused = bed.docker(args);
        assert!(refused.code() != 0 && refused.stderr.contains(text), "{args:?}: {refused}");
    }
}

#[test]
fn volumes_without_a_name_go_with_their_container_only_if_asked() {
    let Some(bed) = Bed::new() else { return };
    image_with_content(&bed, "stateful");
    let all = || bed.docker_ok(&["volume", "ls", "-q"]).lines().count();
    bed.docker_ok(&["run", "--rm", "-v", "/more", "stateful", "true"]);
    assert_eq!(all(), 0, "--rm takes them along");
    bed.docker_ok(&["create", "--name", "one", "-v", "/more", "stateful", "true"]);
    assert_eq!(all(), 2, "the image's and the user's");
    bed.docker_ok(&["rm", "one"]);
    assert_eq!(all(), 2);
    bed.docker_ok(&["create", "--name", "two", "-v", "named:/more", "stateful", "true"]);
    assert_eq!(all(), 4);
    bed.docker_ok(&["rm", "-v", "two"]);
    assert_eq!(all(), 3);
    let pruned = bed.docker_ok(&["volume", "prune", "-f"]);
    assert!(pruned.contains("Deleted Volumes:"), "{pruned}");
    assert_eq!(bed.docker_ok(&["volume", "ls", "-q"]), "named", "a named one stays");
    bed.docker_ok(&["volume", "prune", "-f", "--all"]);
    assert_eq!(all(), 0);
}

#[test]
fn an_empty_volume_gets_what_the_image_has_there() {
    let Some(bed) = Bed::new() else { return };
    image_with_content(&bed, "stateful");
    bed.docker_ok(&["create", "--name", "full", "-v", "full:/data", "stateful", "true"]);
    let listing = bed.in_host(&format!(
        "cd {} && stat -c '%n %a %u:%g %h' . file sub sub/hard && readlink soft && getfattr -n user.kind --only-values file",
        data(&bed, "full").display()
    ));
    let expected = ". 2750 0:0 3\nfile 644 101:102 2\nsub 4711 0:0 2\nsub/hard 644 101:102 2\nfile\nx";
    assert_eq!(listing, expected);
    bed.docker_ok(&["run", "--rm", "-v", "full:/data", "stateful", "rm", "/data/soft"]);
    assert_eq!(bed.docker_ok(&["run", "--rm", "-v", "full:/data", "stateful", "ls", "/data"]), "file\nsub");
    assert_eq!(bed.docker_ok(&["run", "--rm", "-v", "bare:/data:nocopy", "stateful", "ls", "/data"]), "");
    let mount = "type=volume,src=part,dst=/p,volume-subpath=sub";
    let missing = bed.docker(&["run", "--rm", "--mount", mount, "stateful", "true"]);
    assert!(missing.code() == 125 && missing.stderr.contains("sub"), "{missing}");
    let mount = "type=volume,src=full,dst=/p,volume-subpath=sub,readonly";
    assert_eq!(bed.docker_ok(&["run", "--rm", "--mount", mount, "stateful", "ls", "/p"]), "hard");
}

#[test]
fn volumes_are_taken_over_from_other_containers() {
    let Some(bed) = Bed::new() else { return };
    bed.busybox();
    bed.docker_ok(&[
        "run",
        "--name",
        "one",
        "-v",
        "/a",
        "-v",
        "named:/b",
        "busybox",
        "sh",
        "-c",
        "echo 1 >/a/f; echo 2 >/b/f",
    ]);
    let cat = &["busybox", "cat", "/a/f", "/b/f"][..];
    assert_eq!(bed.docker_ok(&[&["run", "--rm", "--volumes-from", "one"], cat].concat()), "1\n2");
    assert_eq!(bed.beeline_ok(&[&["run", "--rm", "--volumes-from", "one"], cat].concat()), "1\n2");
    let write = bed.docker(&["run", "--rm", "--volumes-from", "one:ro", "busybox", "touch", "/a/x"]);
    assert!(write.stderr.contains("Read-only file system"), "{write}");
    // --rm of a container that took it over leaves the owner's volume.
    assert_eq!(bed.docker_ok(&["run", "--rm", "--volumes-from", "one", "busybox", "cat", "/a/f"]), "1");
    let unknown = bed.docker(&["run", "--rm", "--volumes-from", "nobody", "busybox", "true"]);
    assert!(unknown.stderr.contains("No such container: nobody"), "{unknown}");
}

#[test]
fn what_a_volumes_options_mount_is_mounted_while_it_is_used() {
    let Some(mut bed) = Bed::new() else { return };
    bed.busybox();
    bed.docker_ok(&[
        "volume",
        "create",
        "-o",
        "type=tmpfs",
        "-o",
        "device=tmpfs",
        "-o",
        "o=size=1m,mode=1770",
        "memory",
    ]);
    let mounted = |bed: &Bed| {
        let table = fs::read_to_string("/proc/self/mounts").unwrap();
        table.contains(&format!(" {} tmpfs ", data(bed, "memory").display()))
    };
    assert!(!mounted(&bed));
    let run = |bed: &Bed, name: &str| {
        bed.docker_ok(&["run", "-d", "--name", name, "-v", "memory:/m", "busybox", "sleep", "1000"])
    };
    run(&bed, "one");
    run(&bed, "two");
    assert!(mounted(&bed));
    let options =
        bed.docker_ok(&["run", "--rm", "-v", "memory:/m", "busybox", "grep", " /m ", "/proc/mounts"]);
    assert!(options.contains("tmpfs") && options.contains("size=1024k"), "{options}");
    bed.docker_ok(&["rm", "-f", "one"]);
    assert!(mounted(&bed), "the other one uses it");
    bed.kill_daemon();
    let pid = fs::read_dir(bed.dirs.run().join("containers")).unwrap().count();
    assert_eq!(pid, 1);
    bed.start();
    assert!(mounted(&bed), "it runs on");
    bed.docker_ok(&["stop", "-t", "0", "two"]);
    assert!(!mounted(&bed));
    // A daemon that dies while it is used, and containers that end meanwhile: nothing stays mounted.
    bed.docker_ok(&["start", "two"]);
    let init = bed.inspect("two", "{{.State.Pid}}");
    bed.kill_daemon();
    bed.in_host(&format!("kill -KILL {init}"));
    std::thread::sleep(Duration::from_millis(300));
    assert!(mounted(&bed));
    bed.start();
    assert!(!mounted(&bed), "what nobody uses is taken off at the start");

    let source = bed.dirs.path().join("srv");
    fs::create_dir(&source).unwrap();
    fs::write(source.join("f"), "bound").unwrap();
    let device = format!("device={}", source.display());
    bed.docker_ok(&["volume", "create", "-o", "type=none", "-o", "o=bind,ro", "-o", &device, "bound"]);
    assert_eq!(bed.docker_ok(&["run", "--rm", "-v", "bound:/m", "busybox", "cat", "/m/f"]), "bound");
    let write = bed.docker(&["run", "--rm", "-v", "bound:/m", "busybox", "touch", "/m/x"]);
    assert!(write.stderr.contains("Read-only file system"), "{write}");
    bed.docker_ok(&["volume", "create", "-o", "type=nosuchfs", "-o", "device=x", "broken"]);
    let broken = bed.docker(&["run", "--rm", "-v", "broken:/m", "busybox", "true"]);
    assert!(
        broken.code() == 125 && broken.stderr.contains("failed to mount local volume: mount x:"),
        "{broken}"
    );
}

#[test]
fn events_and_disk_usage_tell_of_volumes() {
    let Some(bed) = Bed::new() else { return };
    bed.busybox();
    let since = bed.in_host("date +%s.%N");
    bed.docker_ok(&[
        "run",
        "--rm",
        "-v",
        "data:/d",
        "busybox",
        "dd",
        "if=/dev/zero",
        "of=/d/f",
        "bs=1k",
        "count=9",
    ]);
    let df = bed.docker_ok(&["system", "df", "-v", "--format", "{{json .Volumes}}"]);
    assert!(df.contains("\"Name\":\"data\"") && df.contains("9.216kB"), "{df}");
    bed.docker_ok(&["volume", "rm", "data"]);
    let until = bed.in_host("date +%s.%N");
    let format = "{{.Action}} {{.Actor.ID}} {{index .Actor.Attributes \"driver\"}}";
    let args =
        ["events", "--since", &since, "--until", &until, "--filter", "type=volume", "--format", format];
    let actions = ["create", "mount", "unmount", "destroy"].map(|action| format!("{action} data local"));
    assert_eq!(bed.docker_ok(&args), actions.join("\n"));
}

#[test]
fn our_own_client_manages_volumes() {
    let Some(bed) = Bed::new() else { return };
    bed.busybox();
    assert_eq!(
        bed.beeline_ok(&["volume", "create", "--label", "a=b", "-o", "type=tmpfs", "-o", "device=t", "data"]),
        "data"
    );
    let listing = bed.beeline_ok(&["volume", "ls", "--filter", "label=a"]);
    assert!(listing.contains("data") && listing.contains("local"), "{listing}");
    assert!(bed.beeline_ok(&["volume", "inspect", "data"]).contains("\"type\": \"tmpfs\""));
    assert!(bed.beeline_ok(&["inspect", "--type", "volume", "data"]).contains("\"Name\": \"data\""));
    bed.beeline_ok(&["run", "--rm", "--mount", "type=volume,src=data,dst=/d", "busybox", "touch", "/d/x"]);
    bed.beeline_ok(&["run", "--name", "anonymous", "-v", "/more", "busybox", "true"]);
    bed.beeline_ok(&["rm", "anonymous"]);
    assert_eq!(bed.beeline_ok(&["volume", "prune"]).lines().count(), 1);
    assert_eq!(bed.beeline_ok(&["volume", "rm", "data"]), "data");
    assert!(bed.beeline(&["volume", "rm", "data"]).stderr.contains("no such volume"));
}

#[test]
fn a_daemon_killed_in_the_middle_of_a_copy_leaves_no_half_of_it() {
    let Some(mut bed) = Bed::new() else { return };
    let archive = beeline_testbed::busybox_tar(&image_cache()).unwrap();
    let tree = bed.dirs.path().join("tree");
    bed.in_host(&format!(
        "mkdir -p {tree}/data && tar -xf {archive} -C {tree} && cd {tree}/data && for i in $(seq 3000); do echo $i > $i; done \
         && tar -cf {tree}.tar -C {tree} .",
        tree = tree.display(),
        archive = archive.display(),
    ));
    bed.docker_ok(&["import", "--change", "VOLUME /data", &format!("{}.tar", tree.display()), "many"]);
    for delay in [30, 60, 100, 160, 260] {
        let mut client = bed.docker_command(&["create", "-v", "/other", "-v", "named:/data", "many", "true"]);
        client.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
        let mut client = client.spawn().unwrap();
        std::thread::sleep(Duration::from_millis(delay));
        bed.kill_daemon();
        client.wait().unwrap();
        bed.start();
        // All or nothing, and nobody's volume without a name is left.
        let files = fs::read_dir(data(&bed, "named")).map_or(0, Iterator::count);
        assert!(files == 0 || files == 3000, "{files} files after {delay} ms");
        let containers = bed.docker_ok(&["ps", "-aq"]);
        let volumes = bed.docker_ok(&["volume", "ls", "-q", "--filter", "dangling=true"]);
        let nameless = volumes.lines().filter(|name| *name != "named").count();
        assert_eq!(nameless, 0, "after {delay} ms: {volumes}");
        for id in containers.lines() {
            bed.docker_ok(&["rm", "-v", id]);
        }
        bed.docker_ok(&["volume", "prune", "--all", "-f"]);
        assert_eq!(fs::read_dir(bed.dirs.root().join("volumes")).unwrap().count(), 0);
    }
}
