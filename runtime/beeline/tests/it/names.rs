//! Containers find each other by name, on networks of their users.

use beeline_testbed::CLIENT_ADDRESS;
use beeline_testbed::command::Output;

use crate::bed::{Bed, shell};

/// A bed with the network `front` and busybox.
fn front() -> Option<Bed> {
    let bed = Bed::new()?;
    bed.busybox();
    bed.docker_ok(&["network", "create", "front"]);
    Some(bed)
}

/// Starts a container that stays, with further arguments, and returns its address on the network.
fn run(bed: &Bed, name: &str, network: &str, more: &[&str]) -> String {
    let args = [&["run", "-d", "--name", name, "--network", network], more, &["busybox", "sleep", "1000"]];
    bed.docker_ok(&args.concat());
    address(bed, name, network)
}

fn address(bed: &Bed, name: &str, network: &str) -> String {
    bed.inspect(name, &format!("{{{{(index .NetworkSettings.Networks \"{network}\").IPAddress}}}}"))
}

/// Runs a shell line in a container.
fn inside(bed: &Bed, container: &str, line: &str) -> Output {
    let pid = bed.inspect(container, "{{.State.Pid}}");
    let mut command = bed.topology.host.command("nsenter");
    command.args(["-t", &pid, "-m", "-n", "/bin/busybox", "sh"]);
    shell(command, line)
}

/// What a container finds for a name or an address: the answers, sorted, or why there are none.
fn lookup(bed: &Bed, container: &str, name: &str) -> String {
    let output = inside(bed, container, &format!("PATH=/bin nslookup {name} 127.0.0.11"));
    let text = output.text();
    let answers = text.lines().skip_while(|line| !line.trim().is_empty());
    let mut found: Vec<&str> = answers
        .filter_map(|line| {
            line.strip_prefix("Address: ").or_else(|| line.split_once("name = ").map(|(_, name)| name))
        })
        .map(str::trim)
        .collect();
    found.sort_unstable();
    match text.lines().find_map(|line| line.strip_prefix("** server can't find ")) {
        Some(failure) if found.is_empty() => failure.rsplit(' ').next().unwrap_or_default().to_owned(),
        _ => found.join(" "),
    }
}

#[test]
fn members_of_a_network_find_each_other_by_every_name_they_have() {
    let Some(bed) = front() else { return };
    bed.docker_ok(&["network", "create", "back"]);
    let web = run(&bed, "web", "front", &["--network-alias", "www", "--network-alias", "svc"]);
    let second = run(&bed, "web2", "front", &["--network-alias", "svc"]);
    run(&bed, "box", "front", &[]);
    run(&bed, "other", "back", &[]);
    let id = bed.inspect("web", "{{.Id}}");
    for name in ["web", "WEB", "www", "web.front", &id[..12]] {
        assert_eq!(lookup(&bed, "box", name), web, "{name}");
    }
    assert_eq!(lookup(&bed, "web2", "web"), web);
    let mut both = [web.clone(), second];
    both.sort_unstable();
    assert_eq!(lookup(&bed, "box", "svc"), both.join(" "));
    assert_eq!(lookup(&bed, "box", &web), "web.front");
    for unknown in ["other", "nobody"] {
        assert_eq!(lookup(&bed, "box", unknown), "NXDOMAIN", "{unknown}");
    }
    assert_eq!(lookup(&bed, "other", "web"), "NXDOMAIN", "of another network");

    // As the container's own programs see it, from their first moment.
    let script = "ping -c 1 -W 2 web && cat /etc/resolv.conf";
    let seen = bed.docker_ok(&["run", "--rm", "--network", "front", "busybox", "sh", "-c", script]);
    assert!(seen.contains(&format!("PING web ({web})")), "{seen}");
    assert!(seen.contains("\nnameserver 127.0.0.11\n"), "{seen}");
    assert!(seen.lines().any(|line| line.starts_with("options ") && line.contains("ndots:")), "{seen}");

    bed.docker_ok(&["rename", "web", "shop"]);
    assert_eq!((lookup(&bed, "box", "shop"), lookup(&bed, "box", "web")), (web, "NXDOMAIN".into()));
    bed.docker_ok(&["rm", "-f", "shop"]);
    assert_eq!(lookup(&bed, "box", "www"), "NXDOMAIN");
}

#[test]
fn names_follow_connections_and_outlive_the_daemon() {
    let Some(mut bed) = front() else { return };
    let web = run(&bed, "web", "front", &[]);
    run(&bed, "box", "bridge", &[]);
    let resolv_conf = |bed: &Bed| inside(bed, "box", "PATH=/bin cat /etc/resolv.conf").text();
    assert!(!resolv_conf(&bed).contains("127.0.0.11"), "the default network has no names");

    bed.docker_ok(&["network", "connect", "--alias", "visitor", "front", "box"]);
    assert!(resolv_conf(&bed).contains("nameserver 127.0.0.11"));
    assert_eq!(lookup(&bed, "box", "web"), web);
    assert_eq!(lookup(&bed, "web", "visitor"), address(&bed, "box", "front"));

    bed.kill_daemon();
    bed.start();
    assert_eq!(lookup(&bed, "box", "web"), web);
    assert_eq!(lookup(&bed, "web", "visitor"), address(&bed, "box", "front"));

    bed.docker_ok(&["network", "disconnect", "front", "box"]);
    assert!(!resolv_conf(&bed).contains("127.0.0.11"));
    assert_eq!(lookup(&bed, "web", "visitor"), "NXDOMAIN");
    assert_ne!(lookup(&bed, "box", "web"), web);
}

#[test]
fn a_link_is_known_to_its_container_alone() {
    let Some(bed) = front() else { return };
    let db = run(&bed, "db", "front", &[]);
    run(&bed, "web", "front", &["--link", "db:store"]);
    run(&bed, "box", "front", &[]);
    assert_eq!(lookup(&bed, "web", "store"), db);
    assert_eq!(lookup(&bed, "box", "store"), "NXDOMAIN");
}

#[test]
fn other_names_are_asked_for_at_the_containers_servers_unless_its_networks_are_internal() {
    let Some(bed) = front() else { return };
    let mut dnsmasq = bed.topology.client.command("dnsmasq");
    dnsmasq.args([
        "--keep-in-foreground",
        "--conf-file=/dev/null",
        "--no-resolv",
        "--no-hosts",
        "--user=root",
    ]);
    dnsmasq.args(["--pid-file=", "--bind-interfaces", "--listen-address", CLIENT_ADDRESS]);
    dnsmasq.args(["--host-record=www.outside.test,198.51.100.7", "--address=/leak/198.51.100.1"]);
    let mut dnsmasq = dnsmasq.spawn().unwrap();
    bed.docker_ok(&["network", "create", "--internal", "cellar"]);
    run(
        &bed,
        "box",
        "front",
        &["--dns", CLIENT_ADDRESS, "--dns-search", "outside.test", "--dns-option", "timeout:1"],
    );
    run(&bed, "vault", "cellar", &["--dns", CLIENT_ADDRESS]);
    let answered = bed.eventually("dnsmasq answers", || {
        Some(lookup(&bed, "box", "www.outside.test")).filter(|found| found == "198.51.100.7")
    });
    assert_eq!(answered, "198.51.100.7");
    assert_eq!(lookup(&bed, "box", "leak"), "NXDOMAIN", "a name without a dot never leaves");
    assert_eq!(lookup(&bed, "vault", "www.outside.test"), "SERVFAIL");
    assert_eq!(lookup(&bed, "vault", "vault"), address(&bed, "vault", "cellar"));
    let text = inside(&bed, "box", "PATH=/bin cat /etc/resolv.conf").text();
    assert!(text.contains("search outside.test\noptions timeout:1 ndots:0\n"), "{text}");
    dnsmasq.kill().unwrap();
    dnsmasq.wait().unwrap();
}
