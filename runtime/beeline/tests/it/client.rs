//! The stock client: what it asks beside running containers, and from inside a container.

use crate::bed::Bed;

#[test]
fn version_and_info_are_complete() {
    let Some(bed) = Bed::new() else { return };
    let version = bed.docker_ok(&["version"]);
    assert!(version.contains("Server:") && version.to_lowercase().contains("beeline"), "{version}");
    let info = bed.docker(&["info"]);
    assert_eq!(info.code(), 0, "{info}");
    assert!(info.text().contains("Storage Driver: overlay"), "{info}");
    assert!(!info.text().contains("WARNING"), "{info}");
    assert!(bed.beeline_ok(&["version"]).contains(env!("CARGO_PKG_VERSION")));
    bed.beeline_ok(&["info"]);
}

#[test]
fn a_client_inside_a_container_sees_the_hosts_daemon() {
    let Some(bed) = Bed::new() else { return };
    bed.busybox();
    let docker = std::env::split_paths(&std::env::var_os("PATH").unwrap())
        .map(|dir| dir.join("docker"))
        .find(|path| path.exists())
        .unwrap();
    // The image is only in the store of the daemon outside.
    bed.docker_ok(&["tag", "busybox", "only-outside"]);
    let socket = format!("{}:/var/run/docker.sock", bed.dirs.socket().display());
    let client = format!("{}:/bin/docker:ro", docker.canonicalize().unwrap().display());
    let script = "docker images --format '{{.Repository}}'; docker ps --format '{{.Names}}'; \
                  docker run --rm only-outside echo from the inside";
    let answer = bed.docker_ok(&[
        "run", "--rm", "--name", "outer", "-v", &socket, "-v", &client, "busybox", "sh", "-c", script,
    ]);
    assert!(answer.contains("only-outside") && answer.contains("outer"), "{answer}");
    assert!(answer.ends_with("from the inside"), "{answer}");
}

#[test]
fn inspect_answers_with_what_was_asked_for() {
    let Some(bed) = Bed::new() else { return };
    bed.docker_ok(&[
        "run",
        "-d",
        "--name",
        "web",
        "-p",
        "8080:80",
        "--memory",
        "64m",
        "-e",
        "A=b",
        "--label",
        "k=v",
        "beeline/whoami",
    ]);
    assert_eq!(
        bed.inspect("web", "{{.Name}} {{.State.Running}} {{.HostConfig.Memory}}"),
        "/web true 67108864"
    );
    assert_eq!(bed.inspect("web", "{{json .Config.Labels}}"), r#"{"k":"v"}"#);
    assert!(bed.inspect("web", "{{.Config.Env}}").contains("A=b"));
    assert_eq!(
        bed.inspect("web", r#"{{(index (index .NetworkSettings.Ports "80/tcp") 0).HostPort}}"#),
        "8080"
    );
    assert_eq!(bed.docker_ok(&["port", "web"]), "80/tcp -> 0.0.0.0:8080");
    let ours: String = bed.beeline_ok(&["inspect", "web"]);
    assert!(ours.contains("\"Running\": true"), "{ours}");
}

#[test]
fn our_client_starts_a_daemon_when_none_answers() {
    let Some(bed) = Bed::without_daemon() else { return };
    // The default socket and directories are the machine's own; a mount namespace gives the test its own.
    let (var, run) = (bed.dirs.path().join("var"), bed.dirs.path().join("run-top"));
    std::fs::create_dir_all(&var).unwrap();
    std::fs::create_dir_all(&run).unwrap();
    let script = format!(
        "mount --bind {var} /var/lib && mount --bind {run} /run && \
         \"$0\" run --rm beeline/whoami --version; code=$?; cat /run/beeline/daemon.pid; echo; exit $code",
        var = var.display(),
        run = run.display()
    );
    let mut unshare = bed.topology.host.command("unshare");
    unshare.args(["--mount", "sh", "-c", &script]).arg(crate::bed::binary()).env_remove("DOCKER_HOST");
    let output = beeline_testbed::command::output(&mut unshare).unwrap();
    assert!(output.stderr.contains("daemon"), "it says that it started one: {output}");
    let pid: i32 = output.text().lines().last().unwrap_or_default().trim().parse().unwrap_or(0);
    assert!(pid > 1, "{output}");
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGTERM).unwrap();
    bed.eventually("the started daemon ends", || {
        (!std::path::Path::new("/proc").join(pid.to_string()).exists()).then_some(())
    });
}
