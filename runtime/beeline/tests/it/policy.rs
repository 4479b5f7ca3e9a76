//! Who may reach published ports: labels, daemon.json, and what `beeline ports` says of it.

use std::fs;
use std::io::Write as _;
use std::process::Stdio;

use beeline_testbed::command::Output;
use beeline_testbed::{CLIENT_ADDRESS, HOST_ADDRESS};

use crate::bed::{Bed, shell};

/// Asks a published port from outside; curl's code is 28 when no answer comes.
fn ask(bed: &Bed, port: u16) -> Output {
    let line = format!("curl -sS --max-time 2 http://{HOST_ADDRESS}:{port}/");
    shell(bed.topology.client.command("sh"), &line)
}

/// The line of `beeline ports` for a port of the host.
#[track_caller]
fn line_of(bed: &Bed, args: &[&str], start: &str) -> Vec<String> {
    let listing = bed.beeline_ok(&[&["ports"], args].concat());
    let found = listing.lines().find(|line| line.starts_with(start)).map(columns);
    found.unwrap_or_else(|| panic!("{start} in\n{listing}"))
}

fn columns(line: &str) -> Vec<String> {
    line.split("   ").map(str::trim).filter(|cell| !cell.is_empty()).map(str::to_owned).collect()
}

#[test]
fn labels_of_a_container_say_who_may_reach_its_ports() {
    let Some(bed) = Bed::new() else { return };
    let deny = format!("beeline.publish.deny={CLIENT_ADDRESS}, 2001:db8::/32");
    bed.docker_ok(&[
        "run",
        "-d",
        "--name",
        "web",
        "-p",
        "8080:80",
        "-p",
        "8081:80",
        "-p",
        "8090:90",
        "-l",
        &deny,
        "-l",
        "beeline.publish.90/tcp.allow=192.0.2.0/24",
        "beeline/whoami",
    ]);
    for port in [8080, 8081] {
        assert_eq!(ask(&bed, port).code(), 28, "dropped without an answer");
    }
    // Nothing listens on the port that is allowed: the container itself refuses.
    assert_eq!(ask(&bed, 8090).code(), 7);
    let own = bed.in_host("curl -sS --max-time 5 http://127.0.0.1:8080/");
    assert!(own.contains("Hostname"), "{own}");

    let row = line_of(&bed, &[], "0.0.0.0:8080/tcp");
    assert_eq!(row[1], "everybody but 192.0.2.2/32, 2001:db8::/32");
    assert_eq!((row[3].as_str(), row[4].as_str()), ("web", "1"), "one connection, the host's: {row:?}");
    // A client tries again and again.
    assert!(row[5].parse::<u64>().unwrap() >= 1, "{row:?}");
    assert_eq!(line_of(&bed, &[], "0.0.0.0:8090/tcp")[1], "192.0.2.0/24");
    let rules = bed.beeline_ok(&["ports", "--rules", "web"]);
    let rows: Vec<_> = rules.lines().map(columns).collect();
    let hits = |open_at: &str, source: &str| {
        let row = rows.iter().find(|row| row[0] == open_at && row[4] == source);
        row.unwrap_or_else(|| panic!("{open_at} {source} in\n{rules}"))[5].parse::<u64>().unwrap()
    };
    assert!(hits("0.0.0.0:8080/tcp", "192.0.2.2/32") >= 1, "{rules}");
    assert_eq!(hits("0.0.0.0:8080/tcp", "others"), 1, "{rules}");
    assert_eq!(hits("0.0.0.0:8080/tcp", "2001:db8::/32"), 0, "{rules}");
    assert_eq!(hits("0.0.0.0:8090/tcp", "192.0.2.0/24"), 1, "{rules}");

    bed.docker_ok(&["rm", "-f", "web"]);
    assert_eq!(bed.beeline_ok(&["ports", "--rules"]).lines().count(), 1, "the header alone");
}

#[test]
fn a_label_that_names_no_source_is_refused_when_the_container_is_made() {
    let Some(bed) = Bed::new() else { return };
    for (label, text) in [
        (
            "beeline.publish.allow=10.0.0.0/33",
            "\"10.0.0.0/33\" is neither an address nor a subnet such as 192.0.2.0/24 or 2001:db8::/32",
        ),
        ("beeline.publish.80/tcp.permit=10.0.0.0/8", "unknown label \"beeline.publish.80/tcp.permit\""),
    ] {
        let refused = bed.docker(&["run", "-d", "-p", "8080:80", "-l", label, "beeline/whoami"]);
        assert_eq!(refused.code(), 125, "{refused}");
        assert!(refused.to_string().contains(text), "{refused}");
    }
    assert_eq!(bed.docker_ok(&["ps", "-aq"]), "");
}

#[test]
fn a_changed_daemon_json_holds_for_running_containers_and_their_connections() {
    let Some(mut bed) = Bed::without_daemon() else { return };
    bed.start();
    bed.busybox();
    bed.docker_ok(&["run", "-d", "--name", "web", "-p", "8080:80", "beeline/whoami"]);
    let serve = "while :; do nc -l -p 9000 -e cat; done";
    bed.docker_ok(&["run", "-d", "--name", "echo", "-p", "9000:9000", "busybox", "sh", "-c", serve]);
    bed.eventually("the echo server", || {
        let line = format!("echo hello | timeout 5 busybox nc {HOST_ADDRESS} 9000");
        (shell(bed.topology.client.command("sh"), &line).text() == "hello").then_some(())
    });
    let received = bed.dirs.root().with_file_name("received");
    let mut client = bed.topology.client.command("busybox");
    let output = fs::File::create(&received).unwrap();
    client.args(["nc", HOST_ADDRESS, "9000"]).stdin(Stdio::piped()).stdout(output);
    let mut connection = client.spawn().unwrap();
    let mut say = || writeln!(connection.stdin.as_mut().unwrap(), "hello").unwrap();
    let lines = || fs::read_to_string(&received).unwrap().lines().count();
    say();
    bed.eventually("the first answer", || (lines() == 1).then_some(()));

    bed.kill_daemon();
    let config = format!(
        "{{ \"beeline-publish-deny\": [\"{CLIENT_ADDRESS}\"], \"beeline-bridge-allow\": [\"192.0.2.0/24\"] }}"
    );
    fs::write(bed.dirs.config(), config).unwrap();
    bed.start();
    assert_eq!(ask(&bed, 8080).code(), 28, "denied");
    say();
    std::thread::sleep(std::time::Duration::from_secs(2));
    assert_eq!(lines(), 1, "the connection is cut");
    let listing = bed.beeline_ok(&["ports"]);
    assert!(listing.contains("The daemon opens every port to everybody but 192.0.2.2/32 only."), "{listing}");
    let network = line_of(&bed, &[], "0.0.0.0:8080/tcp");
    assert_eq!(network[1], "192.0.2.0/24", "{listing}");
    let rules = bed.beeline_ok(&["ports", "--rules"]);
    let daemons = rules.lines().find(|line| line.starts_with("every port") && line.contains(CLIENT_ADDRESS));
    assert!(columns(daemons.expect("the daemon's rule"))[4].parse::<u64>().unwrap() >= 1, "{rules}");

    bed.kill_daemon();
    fs::write(bed.dirs.config(), "{}").unwrap();
    bed.start();
    assert!(ask(&bed, 8080).text().contains("Hostname"), "allowed again");
    // What was said meanwhile arrives late.
    bed.eventually("the second answer", || (lines() == 2).then_some(()));
    connection.kill().unwrap();
    connection.wait().unwrap();
    fs::remove_file(received).unwrap();
}

#[test]
fn the_guard_keeps_a_denied_source_from_the_whole_host() {
    let Some(mut bed) = Bed::without_daemon() else { return };
    let config =
        format!("{{ \"beeline-publish-deny\": [\"{CLIENT_ADDRESS}\"], \"beeline-guard\": \"all\" }}");
    fs::write(bed.dirs.config(), config).unwrap();
    bed.start();
    let info = bed.docker_ok(&["info"]);
    assert!(info.contains("Guard: up0 (native)"), "{info}");
    assert!(bed.dirs.log().contains("guard attached"), "{}", bed.dirs.log());
    // Without a guard, the host answers that nothing listens there.
    assert_eq!(ask(&bed, 7777).code(), 28, "no answer at all");
    let guarded = bed.in_host("ip link show dev up0");
    assert!(guarded.contains("xdp"), "{guarded}");

    bed.kill_daemon();
    fs::write(bed.dirs.config(), "{}").unwrap();
    bed.start();
    assert_eq!(ask(&bed, 7777).code(), 7, "refused by the host itself");
    let unguarded = bed.in_host("ip link show dev up0");
    assert!(!unguarded.contains("xdp"), "{unguarded}");
}

#[test]
fn ports_without_an_address_are_published_where_the_daemon_says() {
    let Some(mut bed) = Bed::without_daemon() else { return };
    fs::write(bed.dirs.config(), "{ \"ip\": \"127.0.0.1\" }").unwrap();
    bed.start();
    bed.docker_ok(&[
        "run",
        "-d",
        "--name",
        "web",
        "-p",
        "8080:80",
        "-p",
        "0.0.0.0:8081:80",
        "beeline/whoami",
    ]);
    let bound = bed.docker_ok(&["port", "web", "80"]);
    assert!(bound.contains("127.0.0.1:8080") && bound.contains("0.0.0.0:8081"), "{bound}");
    assert_eq!(ask(&bed, 8080).code(), 7, "not open to the outside");
    assert!(ask(&bed, 8081).text().contains("Hostname"));
    assert!(bed.in_host("curl -sS --max-time 5 http://127.0.0.1:8080/").contains("Hostname"));
    let template = "{{index .Options \"com.docker.network.bridge.host_binding_ipv4\"}}";
    assert_eq!(bed.docker_ok(&["network", "inspect", "--format", template, "bridge"]), "127.0.0.1");
}
