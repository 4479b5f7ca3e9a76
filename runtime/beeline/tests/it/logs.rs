//! Log drivers: what is kept where, how it is rotated and read, and who waits for whom.

use std::fs;
use std::io::Read as _;
use std::net::UdpSocket;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::time::Duration;

use beeline_testbed::HOST_ADDRESS;

use crate::bed::Bed;

#[test]
fn json_files_carry_labels_and_are_rotated_and_compressed() {
    let Some(bed) = Bed::new() else { return };
    bed.busybox();
    let options = [
        "max-size=2k",
        "max-file=3",
        "compress=true",
        "labels=tier",
        "env=COLOUR",
        "tag={{.Name}}/{{.ImageName}}",
    ];
    let mut args = vec!["run", "--name", "talk", "--label", "tier=front", "-e", "COLOUR=red"];
    args.extend(options.iter().flat_map(|option| ["--log-opt", option]));
    args.extend(["busybox", "sh", "-c", "for i in $(seq 1000); do echo line $i; done"]);
    bed.beeline_ok(&args);
    let path = bed.inspect("talk", "{{.LogPath}}");
    let last = fs::read_to_string(&path).unwrap();
    let attributes = r#""attrs":{"COLOUR":"red","tag":"talk/busybox","tier":"front"}"#;
    assert!(last.lines().all(|line| line.contains(attributes)), "{last}");
    assert!(fs::exists(format!("{path}.1.gz")).unwrap() && fs::exists(format!("{path}.2.gz")).unwrap());
    assert!(!fs::exists(format!("{path}.3.gz")).unwrap() && !fs::exists(format!("{path}.3")).unwrap());
    for logs in [Bed::docker_ok, Bed::beeline_ok] {
        let detailed = logs(&bed, &["logs", "--details", "--tail", "1", "talk"]);
        assert_eq!(detailed, "COLOUR=red,tag=talk%2Fbusybox,tier=front line 1000");
    }
    let log = bed.docker_ok(&["logs", "talk"]);
    let lines: Vec<_> = log.lines().map(str::to_owned).collect();
    assert!(lines.len() > 20, "more than one file is read");
    let expected: Vec<_> = (1001 - lines.len()..=1000).map(|number| format!("line {number}")).collect();
    assert_eq!(lines, expected);
    let tail = bed.docker_ok(&["logs", "--tail", "20", "talk"]);
    assert_eq!(tail.lines().collect::<Vec<_>>(), lines[lines.len() - 20..]);
}

#[test]
fn the_local_driver_is_followed_across_rotations_and_bounded_by_time() {
    let Some(bed) = Bed::new() else { return };
    bed.busybox();
    let script = "for i in $(seq 200); do echo line $i; [ $((i % 20)) = 0 ] && sleep 0.1; done; echo end >&2";
    let options = ["--log-driver", "local", "--log-opt", "max-size=1k", "--log-opt", "max-file=9"];
    let run = [&["run", "-d", "--name", "talk"][..], &options, &["busybox", "sh", "-c", script]].concat();
    bed.docker_ok(&run);
    let followed = bed.docker(&["logs", "--follow", "talk"]);
    let expected: Vec<_> = (1..=200).map(|number| format!("line {number}")).collect();
    assert_eq!(followed.text().lines().collect::<Vec<_>>(), expected);
    assert_eq!(followed.stderr, "end\n");
    assert_eq!(bed.inspect("talk", "{{.HostConfig.LogConfig.Type}} {{.LogPath}}"), "local");
    let stamped = bed.docker_ok(&["logs", "--timestamps", "talk"]);
    let time = |number: usize| {
        let line = stamped.lines().find(|line| line.ends_with(&format!(" line {number}"))).unwrap();
        line.split(' ').next().unwrap().to_owned()
    };
    let between = bed.docker_ok(&["logs", "--since", &time(41), "--until", &time(60), "talk"]);
    assert!(between.starts_with("line 41\n") && between.ends_with("line 60"), "{between}");
}

#[test]
fn syslog_gets_each_line_and_the_log_can_still_be_read() {
    let Some(bed) = Bed::new() else { return };
    bed.busybox();
    let socket = bed.topology.host.enter(|| UdpSocket::bind((HOST_ADDRESS, 0))).unwrap().unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let address = format!("syslog-address=udp://{}", socket.local_addr().unwrap());
    let options = [
        "--log-driver",
        "syslog",
        "--log-opt",
        &address,
        "--log-opt",
        "syslog-format=rfc5424",
        "--log-opt",
        "syslog-facility=local3",
        "--log-opt",
        "tag={{.Name}}",
    ];
    let command = ["busybox", "sh", "-c", "echo one; sleep 0.2; echo two >&2"];
    bed.docker_ok(&[&["run", "--name", "web"][..], &options, &command].concat());
    let receive = || {
        let mut message = [0; 1024];
        let length = socket.recv(&mut message).unwrap();
        String::from_utf8_lossy(&message[..length]).into_owned()
    };
    // Facility local3 is 19; informational is 6, an error 3.
    let (one, two) = (receive(), receive());
    assert!(one.starts_with("<158>1 20") && one.contains(" web ") && one.ends_with(" - one\n"), "{one}");
    assert!(two.starts_with("<155>1 20") && two.ends_with(" - two\n"), "{two}");
    assert_eq!(bed.docker(&["logs", "web"]).text(), "one");

    let path = bed.dirs.path().join("log.sock");
    let datagrams = UnixDatagram::bind(&path).unwrap();
    datagrams.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let address = format!("syslog-address=unix://{}", path.display());
    let options = ["--log-driver", "syslog", "--log-opt", &address, "--log-opt", "cache-disabled=true"];
    bed.docker_ok(&[&["run", "--name", "quiet"][..], &options, &["busybox", "echo", "hello"]].concat());
    let mut message = [0; 1024];
    let length = datagrams.recv(&mut message).unwrap();
    let message = String::from_utf8_lossy(&message[..length]).into_owned();
    assert!(message.starts_with("<30>") && message.ends_with("]: hello\n"), "{message}");
    let refused = bed.docker(&["logs", "quiet"]);
    assert!(refused.stderr.contains("does not support reading"), "{refused}");

    let nowhere = ["--log-driver", "syslog", "--log-opt", "syslog-address=unix:///nowhere"];
    let refused = bed.docker(&[&["run", "--rm"][..], &nowhere, &["busybox", "true"]].concat());
    assert!(refused.stderr.contains("failed to initialize logging driver"), "{refused}");
}

#[test]
fn the_journal_gets_fields() {
    let Some(bed) = Bed::new() else { return };
    bed.busybox();
    let path = Path::new("/run/systemd/journal/socket");
    if path.exists() {
        eprintln!("skipped: this machine has a journal of its own");
        return;
    }
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let journal = UnixDatagram::bind(path).unwrap();
    journal.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let options =
        ["--log-driver", "journald", "--log-opt", "labels=com.example.tier", "--label", "com.example.tier=a"];
    let ran = bed.docker(&[&["run", "--name", "web"][..], &options, &["busybox", "echo", "hello"]].concat());
    let mut datagram = [0; 4096];
    let received = journal.recv(&mut datagram);
    fs::remove_file(path).unwrap();
    // Where it was made for this test, it goes again.
    let _ = fs::remove_dir(path.parent().unwrap());
    assert_eq!(ran.code(), 0, "{ran}");
    let text = String::from_utf8_lossy(&datagram[..received.unwrap()]).into_owned();
    let id = bed.inspect("web", "{{.Id}}");
    for field in
        ["MESSAGE=hello", "PRIORITY=6", "CONTAINER_NAME=web", "IMAGE_NAME=busybox", "COM_EXAMPLE_TIER=a"]
    {
        assert!(text.lines().any(|line| line == field), "{field} in {text}");
    }
    assert!(text.contains(&format!("CONTAINER_ID_FULL={id}\nCONTAINER_NAME")), "{text}");
    assert_eq!(bed.docker_ok(&["logs", "web"]), "hello");
}

#[test]
fn a_stuck_server_holds_the_container_back_only_in_blocking_mode() {
    let Some(bed) = Bed::new() else { return };
    bed.busybox();
    // It takes connections and reads nothing.
    let listener =
        bed.topology.host.enter(|| std::net::TcpListener::bind((HOST_ADDRESS, 0))).unwrap().unwrap();
    let address = format!("syslog-address=tcp://{}", listener.local_addr().unwrap());
    let run = |name: &str, mode: &[&str]| {
        let options = ["run", "-d", "--name", name, "--log-driver", "syslog", "--log-opt", &address];
        // More than the connection and every buffer hold.
        let script = "yes $(head -c 1000 /dev/zero | tr '\\0' x) | head -c 30000000";
        bed.docker_ok(&[&options[..], mode, &["busybox", "sh", "-c", script]].concat());
    };
    run("dropping", &["--log-opt", "mode=non-blocking", "--log-opt", "max-buffer-size=64k"]);
    assert_eq!(bed.docker_ok(&["wait", "dropping"]), "0");
    run("waiting", &[]);
    std::thread::sleep(Duration::from_secs(4));
    assert_eq!(bed.inspect("waiting", "{{.State.Status}}"), "running");
    // Its shim still does what it is told.
    bed.docker_ok(&["kill", "waiting"]);
    assert_eq!(bed.inspect("waiting", "{{.State.ExitCode}}"), "137");
    // And goes on as soon as the server reads.
    run("late", &[]);
    for stream in listener.incoming().take(3) {
        std::thread::spawn(move || std::io::copy(&mut stream.unwrap(), &mut std::io::sink()));
    }
    assert_eq!(bed.docker_ok(&["wait", "late"]), "0");
}

#[test]
fn the_daemons_driver_is_for_containers_that_name_none() {
    let Some(mut bed) = Bed::without_daemon() else { return };
    let config = r#"{"log-driver": "local", "log-opts": {"max-size": "1m"}}"#;
    fs::write(bed.dirs.config(), config).unwrap();
    bed.start();
    bed.busybox();
    assert_eq!(bed.docker_ok(&["info", "--format", "{{.LoggingDriver}}"]), "local");
    bed.docker_ok(&["run", "--name", "plain", "busybox", "echo", "hi"]);
    let driver = "{{.HostConfig.LogConfig.Type}} {{.HostConfig.LogConfig.Config}}";
    assert_eq!(bed.inspect("plain", driver), "local map[max-size:1m]");
    assert_eq!(bed.docker_ok(&["logs", "plain"]), "hi");
    bed.docker_ok(&["run", "--name", "json", "--log-driver", "json-file", "busybox", "echo", "hi"]);
    assert_eq!(bed.inspect("json", driver), "json-file map[]");
    let mut log = String::new();
    fs::File::open(bed.inspect("json", "{{.LogPath}}")).unwrap().read_to_string(&mut log).unwrap();
    assert!(log.starts_with(r#"{"log":"hi\n","stream":"stdout","time":"#), "{log}");
    for (args, text) in [
        (
            &["--log-driver", "fluentd"][..],
            "no log driver named 'fluentd' is registered: use one of json-file",
        ),
        (&["--log-opt", "colour=red"], "unknown log opt 'colour' for local log driver"),
    ] {
        let refused = bed.docker(&[&["run", "--rm"][..], args, &["busybox", "true"]].concat());
        assert!(refused.stderr.contains(text), "{refused}");
    }
}
