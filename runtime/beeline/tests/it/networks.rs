//! Networks of a user's own: made and removed, containers on one or several, and what holds while they come and go.

use beeline_testbed::{CLIENT_ADDRESS, HOST_ADDRESS};

use crate::bed::{Bed, shell};

/// Runs a line in the network namespace of a container, with the host's programs.
pub(crate) fn inside(bed: &Bed, container: &str, line: &str) -> beeline_testbed::command::Output {
    let pid = bed.inspect(container, "{{.State.Pid}}");
    shell(bed.topology.host.command("sh"), &format!("nsenter -t {pid} -n {line}"))
}

#[track_caller]
fn inside_ok(bed: &Bed, container: &str, line: &str) -> String {
    let output = inside(bed, container, line);
    assert!(output.status.success(), "{container}: {line}: {output}");
    output.text()
}

/// Whether a container reaches the server at an address.
fn reaches(bed: &Bed, container: &str, address: &str) -> bool {
    inside(bed, container, &format!("curl -sS --max-time 2 http://{address}/")).text().contains("Hostname: ")
}

/// A field of the container's settings on a network.
fn field_on(bed: &Bed, container: &str, network: &str, field: &str) -> String {
    bed.inspect(container, &format!("{{{{(index .NetworkSettings.Networks \"{network}\").{field}}}}}"))
}

fn address_on(bed: &Bed, container: &str, network: &str) -> String {
    field_on(bed, container, network, "IPAddress")
}

#[track_caller]
fn refused(bed: &Bed, args: &[&str], message: &str) {
    let output = bed.docker(args);
    assert!(!output.status.success() && output.stderr.contains(message), "{args:?}: {output}");
}

#[test]
fn networks_are_made_listed_inspected_and_removed() {
    let Some(bed) = Bed::new() else { return };
    let id = bed.docker_ok(&[
        "network",
        "create",
        "--subnet",
        "10.99.0.0/24",
        "--ip-range",
        "10.99.0.128/25",
        "--gateway",
        "10.99.0.254",
        "--aux-address",
        "router=10.99.0.129",
        "--label",
        "tier=front",
        "--internal",
        "-o",
        "com.docker.network.bridge.name=br-front",
        "front",
    ]);
    let field = |template: &str| bed.docker_ok(&["network", "inspect", "--format", template, "front"]);
    assert_eq!(field("{{.Id}} {{.Driver}} {{.Scope}} {{.Internal}}"), format!("{id} bridge local true"));
    assert_eq!(
        field("{{json .IPAM.Config}}"),
        r#"[{"Subnet":"10.99.0.0/24","IPRange":"10.99.0.128/25","Gateway":"10.99.0.254","AuxiliaryAddresses":{"router":"10.99.0.129"}}]"#
    );
    assert!(bed.in_host("ip -4 addr show dev br-front").contains("10.99.0.254/24"));
    let other = bed.beeline_ok(&["network", "create", "back"]);
    let subnet =
        bed.docker_ok(&["network", "inspect", "--format", "{{(index .IPAM.Config 0).Subnet}}", "back"]);
    assert!(subnet.ends_with("/24"), "{subnet}");
    let names = |filter: &str| {
        let list = bed.docker_ok(&["network", "ls", "--format", "{{.Name}}", "--filter", filter]);
        list.lines().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(names("type=custom"), ["back", "front"]);
    assert_eq!(names("label=tier=front"), ["front"]);
    assert_eq!(names("name=bac"), ["back"]);
    assert_eq!(names("driver=null"), ["none"]);
    let ours = bed.beeline_ok(&["network", "ls"]);
    assert!(ours.contains("front") && ours.contains("10.99.0.0/24") && ours.contains(&other[..12]), "{ours}");

    refused(&bed, &["network", "create", "front"], "network with name front already exists");
    refused(&bed, &["network", "create", "--subnet", "10.99.0.0/16", "wide"], "Pool overlaps with other one");
    refused(&bed, &["network", "create", "--subnet", "10.98.0.1/24", "odd"], "it should be 10.98.0.0/24");
    refused(&bed, &["network", "create", "-d", "macvlan", "vlan"], "macvlan is not supported");
    refused(&bed, &["network", "create", "host"], "predefined host network");
    refused(&bed, &["network", "rm", "bridge"], "bridge is a pre-defined network and cannot be removed");
    refused(&bed, &["network", "rm", "nothing"], "network nothing not found");

    bed.docker_ok(&["run", "-d", "--name", "web", "--network", "front", "beeline/whoami"]);
    assert_eq!(address_on(&bed, "web", "front"), "10.99.0.128");
    assert_eq!(field("{{range .Containers}}{{.Name}} {{.IPv4Address}}{{end}}"), "web 10.99.0.128/24");
    refused(&bed, &["network", "rm", "front"], "network front has active endpoints (name:\"web\" id:\"");
    assert_eq!(bed.docker_ok(&["network", "prune", "--force"]), "Deleted Networks:\nback");
    bed.docker_ok(&["rm", "-f", "web"]);
    assert_eq!(bed.beeline_ok(&["network", "rm", "front"]), "front");
    assert_eq!(names("type=custom"), [""; 0]);
    assert!(!bed.in_host("ip -o link").contains("br-front"));
}

#[test]
fn networks_are_apart_and_a_container_on_two_reaches_both() {
    let Some(bed) = Bed::new() else { return };
    for name in ["front", "back"] {
        bed.docker_ok(&["network", "create", name]);
        bed.docker_ok(&["run", "-d", "--name", &format!("{name}-web"), "--network", name, "beeline/whoami"]);
    }
    let (front, back) = (address_on(&bed, "front-web", "front"), address_on(&bed, "back-web", "back"));
    assert!(reaches(&bed, "front-web", &front));
    assert!(!reaches(&bed, "front-web", &back), "another network is out of reach");
    bed.docker_ok(&[
        "run",
        "-d",
        "--name",
        "both",
        "--network",
        "front",
        "--network",
        "back",
        "beeline/whoami",
    ]);
    assert!(reaches(&bed, "both", &front) && reaches(&bed, "both", &back));
    // Taken off and put on again while it runs.
    bed.docker_ok(&["network", "disconnect", "front", "both"]);
    assert!(!reaches(&bed, "both", &front) && reaches(&bed, "both", &back));
    let devices = inside_ok(&bed, "both", "ip -o link show");
    assert!(devices.contains("eth1") && !devices.contains("eth0"), "{devices}");
    bed.docker_ok(&["network", "connect", "--alias", "gate", "front", "both"]);
    assert!(reaches(&bed, "both", &front));
    let aliases = bed.inspect("both", r#"{{json (index .NetworkSettings.Networks "front").Aliases}}"#);
    assert_eq!(aliases, r#"["gate"]"#);
    let names = bed.inspect("both", r#"{{json (index .NetworkSettings.Networks "front").DNSNames}}"#);
    assert!(names.starts_with(r#"["both","gate",""#), "{names}");
    refused(
        &bed,
        &["network", "connect", "front", "both"],
        "endpoint with name both already exists in network front",
    );
    bed.docker_ok(&["network", "connect", "bridge", "both"]);
    bed.docker_ok(&["rm", "-f", "both"]);
    refused(&bed, &["network", "disconnect", "front", "back-web"], "is not connected to network front");
    // A stopped container's next start is on what it was put on meanwhile.
    bed.docker_ok(&["stop", "-t", "0", "back-web"]);
    bed.docker_ok(&["network", "connect", "front", "back-web"]);
    bed.docker_ok(&["network", "disconnect", "back", "back-web"]);
    bed.docker_ok(&["start", "back-web"]);
    assert!(reaches(&bed, "back-web", &front));
    let networks =
        bed.inspect("back-web", "{{range $name, $_ := .NetworkSettings.Networks}}{{$name}} {{end}}");
    assert_eq!(networks, "front");
    bed.docker_ok(&["rm", "-f", "front-web", "back-web"]);
    bed.docker_ok(&["network", "rm", "front", "back"]);
}

#[test]
fn addresses_are_as_asked_for_and_the_gateway_follows_the_priorities() {
    let Some(bed) = Bed::new() else { return };
    bed.docker_ok(&["network", "create", "--subnet", "10.98.1.0/24", "aaa"]);
    bed.docker_ok(&["network", "create", "--subnet", "10.98.2.0/24", "bbb"]);
    bed.docker_ok(&[
        "run",
        "-d",
        "--name",
        "web",
        "--network",
        "name=aaa,ip=10.98.1.77,mac-address=02:00:00:00:00:77",
        "-p",
        "8080:80",
        "beeline/whoami",
    ]);
    let route = || inside_ok(&bed, "web", "ip -4 route show default");
    assert_eq!(address_on(&bed, "web", "aaa"), "10.98.1.77");
    assert!(inside_ok(&bed, "web", "ip link show eth0").contains("02:00:00:00:00:77"));
    assert!(route().contains("via 10.98.1.1 dev eth0"), "{}", route());
    let answers = || bed.in_client(&format!("curl -sS --max-time 5 http://{HOST_ADDRESS}:8080/"));
    assert!(answers().contains("Hostname"));
    bed.docker_ok(&["network", "connect", "--gw-priority", "1", "--ip", "10.98.2.9", "bbb", "web"]);
    assert!(route().contains("via 10.98.2.1 dev eth1"), "{}", route());
    assert!(bed.beeline_ok(&["ports"]).contains("10.98.2.9:80"), "published ports follow");
    assert!(answers().contains("Hostname"));
    bed.docker_ok(&["network", "disconnect", "bbb", "web"]);
    assert!(route().contains("via 10.98.1.1 dev eth0"), "{}", route());
    assert!(answers().contains("Hostname"));
    refused(
        &bed,
        &["run", "--rm", "--network", "aaa", "--ip", "10.98.1.77", "beeline/whoami"],
        "Address already in use",
    );
    refused(
        &bed,
        &["run", "--rm", "--network", "aaa", "--ip", "10.97.0.1", "beeline/whoami"],
        "no configured subnet",
    );
    refused(&bed, &["run", "--rm", "--ip", "172.31.0.9", "beeline/whoami"], "user defined networks only");
    refused(&bed, &["run", "--rm", "--network-alias", "x", "beeline/whoami"], "user-defined networks");
    refused(
        &bed,
        &["run", "--rm", "-p", "[::]:81:80", "beeline/whoami"],
        "the container has no IPv6 address",
    );
    refused(&bed, &["run", "--rm", "--network", "nothing", "beeline/whoami"], "network nothing not found");
    bed.docker_ok(&["rm", "-f", "web"]);
    bed.docker_ok(&["network", "rm", "aaa", "bbb"]);
}

#[test]
fn networks_and_connections_outlive_the_daemon() {
    let Some(mut bed) = Bed::new() else { return };
    bed.docker_ok(&["network", "create", "front"]);
    bed.docker_ok(&["network", "create", "back"]);
    bed.docker_ok(&["run", "-d", "--name", "web", "--network", "back", "beeline/whoami"]);
    bed.docker_ok(&["run", "-d", "--name", "both", "--network", "front", "-p", "8080:80", "beeline/whoami"]);
    bed.docker_ok(&["network", "connect", "back", "both"]);
    let settings = |bed: &Bed| {
        bed.inspect(
            "both",
            "{{range .NetworkSettings.Networks}}{{.IPAddress}} {{.MacAddress}} {{.EndpointID}} {{end}}",
        )
    };
    let (before, web) = (settings(&bed), address_on(&bed, "web", "back"));
    bed.kill_daemon();
    assert!(
        bed.in_client(&format!("curl -sS --max-time 5 http://{HOST_ADDRESS}:8080/")).contains("Hostname")
    );
    bed.start();
    assert_eq!(settings(&bed), before);
    assert!(reaches(&bed, "both", &web));
    refused(&bed, &["network", "rm", "back"], "has active endpoints");
    bed.docker_ok(&["network", "disconnect", "back", "both"]);
    assert!(!reaches(&bed, "both", &web));
    bed.docker_ok(&["rm", "-f", "web", "both"]);
    bed.kill_daemon();
    bed.start();
    bed.docker_ok(&["network", "rm", "front", "back"]);
    assert_eq!(bed.docker_ok(&["network", "ls", "-q", "--filter", "type=custom"]), "");
}

#[test]
fn a_container_has_no_network_the_hosts_or_anothers() {
    let Some(bed) = Bed::new() else { return };
    bed.busybox();
    let links = "ip -o link show | cut -d: -f2 | cut -d@ -f1 | xargs";
    assert_eq!(bed.docker_ok(&["run", "--rm", "--network", "none", "busybox", "sh", "-c", links]), "lo");
    let host = bed.docker_ok(&["run", "--rm", "--network", "host", "busybox", "sh", "-c", links]);
    assert!(host.contains("up0"), "{host}");
    bed.docker_ok(&["run", "-d", "--name", "web", "-p", "8080:80", "beeline/whoami"]);
    bed.docker_ok(&["run", "-d", "--name", "side", "--network", "container:web", "busybox", "sleep", "1000"]);
    let answer = bed.docker_ok(&[
        "run",
        "--rm",
        "--network",
        "container:web",
        "busybox",
        "sh",
        "-c",
        "timeout 5 wget -q -O - http://127.0.0.1/; cat /etc/hosts; hostname",
    ]);
    let (address, id) = (bed.address("web"), bed.inspect("web", "{{.Config.Hostname}}"));
    assert!(answer.contains("Hostname: ") && answer.contains(&format!("{address}\t{id}")), "{answer}");
    assert!(answer.ends_with(&id), "the host name is the other's, too: {answer}");
    refused(&bed, &["network", "connect", "bridge", "side"], "cannot be connected to any other network");
    refused(
        &bed,
        &["run", "--rm", "--network", "container:web", "-p", "81:80", "busybox", "true"],
        "port publishing and the container type network mode",
    );
    bed.docker_ok(&["stop", "-t", "0", "web"]);
    refused(
        &bed,
        &["run", "--rm", "--network", "container:web", "busybox", "true"],
        "cannot join network of a non running container",
    );
    // Its own processes go on, alone.
    assert_eq!(bed.inspect("side", "{{.State.Running}}"), "true");
}

#[test]
fn a_network_has_both_families() {
    let Some(bed) = Bed::new() else { return };
    bed.docker_ok(&[
        "network",
        "create",
        "--ipv6",
        "--subnet",
        "10.97.0.0/24",
        "--subnet",
        "fd00:97::/64",
        "both",
    ]);
    bed.docker_ok(&[
        "run",
        "-d",
        "--name",
        "web",
        "--network",
        "both",
        "--ip6",
        "fd00:97::77",
        "-p",
        "8080:80",
        "beeline/whoami",
    ]);
    assert_eq!(field_on(&bed, "web", "both", "GlobalIPv6Address"), "fd00:97::77");
    assert_eq!(field_on(&bed, "web", "both", "GlobalIPv6PrefixLen"), "64");
    assert_eq!(field_on(&bed, "web", "both", "IPv6Gateway"), "fd00:97::1");
    let addresses = inside_ok(&bed, "web", "ip -6 addr show dev eth0");
    assert!(addresses.contains("fd00:97::77/64") && !addresses.contains("tentative"), "{addresses}");
    assert!(inside_ok(&bed, "web", "ip -6 route show default").contains("via fd00:97::1 dev eth0"));
    bed.docker_ok(&["run", "-d", "--name", "peer", "--network", "both", "beeline/whoami"]);
    assert!(
        reaches(&bed, "peer", "[fd00:97::77]") && reaches(&bed, "peer", &address_on(&bed, "web", "both"))
    );
    assert!(
        bed.in_host("curl -sS -g --max-time 5 http://[fd00:97::77]/").contains("Hostname"),
        "host to container"
    );
    for (bound, address) in [("", "127.0.0.1"), ("", "[::1]"), ("127.0.0.1", "127.0.0.1"), ("::1", "[::1]")] {
        let interface = if bound.is_empty() { String::new() } else { format!("--interface {bound}") };
        let answer = bed.in_host(&format!("curl -sS -g --max-time 5 {interface} http://{address}:8080/"));
        assert!(answer.contains("Hostname"), "{address}, bound to {bound:?}: {answer}");
    }
    let ports = bed.docker_ok(&["port", "web"]);
    assert_eq!(ports, "80/tcp -> 0.0.0.0:8080\n80/tcp -> [::]:8080");
    // Without IPv6 there is no such address, not even of the link.
    bed.docker_ok(&["run", "-d", "--name", "four", "beeline/whoami"]);
    assert_eq!(inside_ok(&bed, "four", "ip -6 addr show dev eth0"), "");
    bed.docker_ok(&["rm", "-f", "web", "peer", "four"]);
    bed.docker_ok(&["network", "rm", "both"]);
}

#[test]
fn a_network_has_ipv6_alone() {
    let Some(bed) = Bed::new() else { return };
    bed.docker_ok(&["network", "create", "--ipv6", "--ipv4=false", "six"]);
    let subnet =
        bed.docker_ok(&["network", "inspect", "--format", "{{(index .IPAM.Config 0).Subnet}}", "six"]);
    assert!(
        subnet.starts_with("fd") && subnet.ends_with("/64"),
        "a local one of this engine's own: {subnet}"
    );
    bed.docker_ok(&["run", "-d", "--name", "four", "beeline/whoami"]);
    bed.docker_ok(&["run", "-d", "--name", "only", "--network", "six", "-p", "8081:80", "beeline/whoami"]);
    assert_eq!(field_on(&bed, "only", "six", "IPAddress"), "");
    assert_eq!(bed.docker_ok(&["port", "only"]), "80/tcp -> [::]:8081");
    assert!(bed.in_host("curl -sS -g --max-time 5 http://[::1]:8081/").contains("Hostname"));
    assert!(
        !reaches(&bed, "four", &format!("[{}]", field_on(&bed, "only", "six", "GlobalIPv6Address"))),
        "networks are apart"
    );
    refused(
        &bed,
        &["run", "--rm", "--network", "six", "-p", "127.0.0.1:82:80", "beeline/whoami"],
        "the container has no IPv4 address",
    );
    bed.docker_ok(&["rm", "-f", "only", "four"]);
    bed.docker_ok(&["network", "rm", "six"]);
}

/// Waits until a server answers the host.
fn listens(bed: &Bed, address: &str) {
    bed.eventually("the server listens", || {
        let output = shell(bed.topology.host.command("sh"), &format!("curl -sf http://{address}/"));
        output.status.success().then_some(())
    });
}

#[test]
fn a_routed_network_is_reached_by_its_members_addresses_and_they_keep_them() {
    let Some(bed) = Bed::new() else { return };
    let mode = "com.docker.network.bridge.gateway_mode_ipv4=routed";
    bed.docker_ok(&["network", "create", "--subnet", "10.97.0.0/24", "-o", mode, "front"]);
    bed.docker_ok(&[
        "run",
        "-d",
        "--name",
        "web",
        "--network",
        "front",
        "--ip",
        "10.97.0.9",
        "beeline/whoami",
    ]);
    listens(&bed, "10.97.0.9");
    bed.in_client(&format!("ip route add 10.97.0.0/24 via {HOST_ADDRESS}"));
    let seen = bed.in_client("curl -sS --max-time 5 http://10.97.0.9/");
    assert!(seen.contains(&format!("RemoteAddr: {CLIENT_ADDRESS}:")), "{seen}");
    // Its own packets keep the address: the client sees who asks, and knows the way back.
    let asked = inside_ok(&bed, "web", &format!("busybox ping -c 1 -W 5 {CLIENT_ADDRESS}"));
    assert!(asked.contains("1 packets received"), "{asked}");
    assert_eq!(
        bed.docker_ok(&["network", "inspect", "--format", "{{json .Options}}", "front"])
            .matches("routed")
            .count(),
        1
    );
    refused(
        &bed,
        &["network", "create", "--internal", "-o", mode, "vault"],
        "an internal network cannot be routed",
    );
    refused(
        &bed,
        &["network", "create", "-o", "com.docker.network.bridge.gateway_mode_ipv4=isolated", "alone"],
        "gateway_mode_ipv4=isolated is not supported, only nat and routed are",
    );
}

#[test]
fn a_network_has_a_quota_of_connections_of_its_own() {
    let Some(bed) = Bed::new() else { return };
    bed.docker_ok(&["network", "create", "-o", "beeline.conntrack.quota=2", "small"]);
    bed.docker_ok(&["run", "-d", "--name", "web", "--network", "small", "-p", "8080:80", "beeline/whoami"]);
    // The host's own clients have no entry that would count.
    listens(&bed, "127.0.0.1:8080");
    let ask = || {
        let line = format!("curl -sS --max-time 2 http://{HOST_ADDRESS}:8080/");
        shell(bed.topology.client.command("sh"), &line)
    };
    for _ in 0..2 {
        let answered = ask();
        assert!(answered.text().contains("Hostname: "), "{answered}");
    }
    // Those that have just ended are remembered for a while.
    assert_eq!(ask().code(), 28, "one too many is dropped without an answer");
    refused(
        &bed,
        &["network", "create", "-o", "beeline.conntrack.quota=none", "odd"],
        "failed to parse beeline.conntrack.quota value",
    );
}
