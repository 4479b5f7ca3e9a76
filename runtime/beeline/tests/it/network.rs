//! Who reaches whom, and with which address.

use std::fs::{self, File};
use std::process::Stdio;

use beeline_testbed::{CLIENT_ADDRESS, HOST_ADDRESS};

use crate::bed::{Bed, shell};

/// A bed with beeline/whoami published on TCP and UDP port 8080.
fn published() -> Option<Bed> {
    let bed = Bed::new()?;
    bed.docker_ok(&["run", "-d", "--name", "web", "-p", "8080:80", "-p", "8080:80/udp", "beeline/whoami"]);
    Some(bed)
}

/// A shell line that sends a datagram from a connected socket and prints the first that comes back.
pub(crate) fn udp(address: &str, port: u16) -> String {
    format!(
        "bash -c 'exec 3<>/dev/udp/{address}/{port}; echo hello >&3; timeout 5 dd bs=2000 count=1 status=none <&3'"
    )
}

#[test]
fn an_outside_client_reaches_a_published_tcp_port_and_is_seen_as_itself() {
    let Some(bed) = published() else { return };
    let answer = bed.in_client(&format!("curl -sS --max-time 5 http://{HOST_ADDRESS}:8080/"));
    assert!(answer.contains("Hostname: "), "{answer}");
    assert!(answer.contains(CLIENT_ADDRESS), "the client's own address: {answer}");
}

#[test]
fn an_outside_client_reaches_a_published_udp_port_and_is_seen_as_itself() {
    let Some(bed) = published() else { return };
    let answer = bed.in_client(&udp(HOST_ADDRESS, 8080));
    assert!(answer.contains(CLIENT_ADDRESS), "{answer}");
}

#[test]
fn the_host_reaches_its_published_port_by_loopback_and_by_its_address() {
    let Some(bed) = published() else { return };
    for address in ["127.0.0.1", HOST_ADDRESS, "localhost", "127.0.0.53"] {
        let answer = bed.in_host(&format!("curl -4 -sS --max-time 5 http://{address}:8080/"));
        assert!(answer.contains("Hostname: "), "{address}: {answer}");
    }
    for address in ["127.0.0.1", HOST_ADDRESS] {
        let answer = bed.in_host(&udp(address, 8080));
        assert!(answer.contains("Hostname: "), "udp {address}: {answer}");
    }
}

#[test]
fn an_unconnected_udp_socket_hears_from_the_address_it_asked() {
    let Some(bed) = published() else { return };
    let script = "import socket\ns = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\ns.settimeout(5)\n\
                  s.sendto(b'hello', ('127.0.0.1', 8080))\nprint(s.recvfrom(2000)[1])";
    let answer = bed.in_host(&format!("python3 -c \"{script}\""));
    assert_eq!(answer, "('127.0.0.1', 8080)");
}

#[test]
fn the_host_reaches_a_container_by_its_address() {
    let Some(bed) = published() else { return };
    let address = bed.address("web");
    assert!(bed.in_host(&format!("curl -sS --max-time 5 http://{address}/")).contains("Hostname: "));
    bed.in_host(&format!("busybox ping -c 2 -W 2 {address}"));
}

#[test]
fn containers_reach_each_other_the_host_and_the_outside() {
    let Some(bed) = published() else { return };
    bed.busybox();
    let web = bed.address("web");
    let run = |script: &str| bed.docker_ok(&["run", "--rm", "busybox", "sh", "-c", script]);
    assert!(
        run(&format!("timeout 5 wget -q -O - http://{web}/")).contains("Hostname: "),
        "container to container"
    );
    assert!(run(&format!("ping -c 2 -W 2 {web}")).contains(" 0% packet loss"));
    let gateway = bed.inspect("web", "{{.NetworkSettings.Gateway}}");
    assert!(run(&format!("ping -c 2 -W 2 {gateway}")).contains(" 0% packet loss"), "container to host");
    assert!(
        run(&format!("ping -c 2 -W 2 {CLIENT_ADDRESS}")).contains(" 0% packet loss"),
        "container to outside"
    );
    for address in [gateway.as_str(), HOST_ADDRESS] {
        let answer = run(&format!("timeout 5 wget -q -O - http://{address}:8080/"));
        assert!(
            answer.contains("Hostname: "),
            "container to the host's published port at {address}: {answer}"
        );
    }
}

#[test]
fn a_container_reaches_itself_through_its_published_port() {
    let Some(bed) = Bed::new() else { return };
    bed.busybox();
    let script = "mkdir /www; echo mine > /www/index.html; httpd -h /www; sleep 1000";
    bed.docker_ok(&["run", "-d", "--name", "self", "-p", "8081:80", "busybox", "sh", "-c", script]);
    let curl = format!("curl -sS --max-time 5 http://{HOST_ADDRESS}:8081/");
    bed.eventually("the server listens", || {
        shell(bed.topology.host.command("sh"), "curl -sf http://127.0.0.1:8081/")
            .status
            .success()
            .then_some(())
    });
    // The stock client's exec comes later; nsenter is what a person at the host would use.
    let pid = bed.inspect("self", "{{.State.Pid}}");
    assert_eq!(bed.in_host(&format!("nsenter -t {pid} -n {curl}")), "mine");
}

#[test]
fn what_leaves_is_masqueraded_and_comes_back() {
    let Some(bed) = Bed::new() else { return };
    bed.busybox();
    let site = bed.dirs.path().join("site");
    fs::create_dir(&site).unwrap();
    fs::write(site.join("index.html"), "welcome").unwrap();
    let log = bed.dirs.path().join("outside.log");
    let mut python = bed.topology.client.command("python3");
    python.args(["-m", "http.server", "7000"]).current_dir(&site).stdout(Stdio::null());
    let mut server = python.stderr(File::create(&log).unwrap()).spawn().unwrap();
    let get = format!("timeout 5 wget -q -O - http://{CLIENT_ADDRESS}:7000/");
    bed.eventually("the outside server answers", || {
        let output = bed.docker(&["run", "--rm", "busybox", "sh", "-c", &get]);
        (output.text() == "welcome").then_some(())
    });
    server.kill().unwrap();
    server.wait().unwrap();
    let listener = fs::read_to_string(log).unwrap();
    assert!(listener.contains(HOST_ADDRESS), "the host's address hides the container's: {listener}");
}

#[test]
fn container_addresses_are_unreachable_from_outside() {
    let Some(bed) = published() else { return };
    let web = bed.address("web");
    bed.in_client(&format!("ip route add {web}/32 via {HOST_ADDRESS}"));
    let output = shell(bed.topology.client.command("sh"), &format!("curl -sS --max-time 2 http://{web}/"));
    assert!(!output.status.success(), "{output}");
}

#[test]
fn a_container_cannot_speak_for_another() {
    let Some(bed) = published() else { return };
    bed.busybox();
    let web = bed.address("web");
    bed.docker_ok(&["run", "-d", "--name", "liar", "busybox", "sleep", "1000"]);
    let pid = bed.inspect("liar", "{{.State.Pid}}");
    let mut octets: Vec<_> = web.split('.').collect();
    octets[3] = "77";
    let stolen = octets.join(".");
    bed.in_host(&format!("nsenter -t {pid} -n ip address add {stolen}/24 dev eth0"));
    let line = format!("nsenter -t {pid} -n busybox ping -c 1 -W 1 -I {stolen} {web}");
    assert!(!shell(bed.topology.host.command("sh"), &line).status.success());
    let metrics = bed.in_host("curl -sS http://127.0.0.1:9323/metrics");
    let spoofed: Vec<_> = metrics.lines().filter(|line| line.contains("reason=\"spoofed")).collect();
    assert!(spoofed.iter().any(|line| !line.ends_with(" 0")), "the drop is counted: {spoofed:?}");
}

#[test]
fn a_range_of_ports_is_published_as_one() {
    let Some(bed) = Bed::new() else { return };
    bed.docker_ok(&[
        "run",
        "-d",
        "-e",
        "WHOAMI_PORT=20500",
        "-p",
        "20000-20999:20000-20999",
        "beeline/whoami",
    ]);
    let answer = bed.in_client(&format!("curl -sS --max-time 5 http://{HOST_ADDRESS}:20500/"));
    assert!(answer.contains("Hostname: "), "{answer}");
    let ports = bed.beeline_ok(&["ports"]);
    assert!(ports.contains("20000-20999"), "{ports}");
}

/// Sends random bytes from the client to an echo server in a container, and compares what comes back.
fn echoes_whole(bed: &Bed, megabytes: u32) {
    // The container outlives the server: what a socket of an ended network namespace still holds is lost.
    let serve = "nc -l -p 9000 -e cat; sleep 10";
    bed.docker_ok(&["run", "-d", "-p", "9000:9000", "busybox", "sh", "-c", serve]);
    let script = format!(
        "sleep 0.5 && python3 -c \"\nimport os,socket,threading\nd=os.urandom({megabytes}<<20)\n\
         s=socket.create_connection(('{HOST_ADDRESS}',9000),5)\n\
         threading.Thread(target=lambda:(s.sendall(d),s.shutdown(1))).start()\nr=b''\n\
         while len(r)<len(d):\n b=s.recv(1<<16)\n if not b: break\n r+=b\nprint(r==d)\""
    );
    assert_eq!(bed.in_client(&script), "True");
}

#[test]
fn ten_megabytes_arrive_whole_in_both_directions() {
    let Some(bed) = Bed::new() else { return };
    bed.busybox();
    // Large segments: segmentation offload and checksums must survive the rewrite.
    echoes_whole(&bed, 10);
}

#[test]
fn a_container_learns_that_the_link_outside_takes_less() {
    let Some(bed) = Bed::new() else { return };
    bed.busybox();
    bed.in_host("ip link set up0 mtu 1300");
    // The client obeys the link, too, and yet offers to take more: only then is a container's segment too large.
    bed.in_client("ip route change 192.0.2.0/24 dev net0 src 192.0.2.2 mtu lock 1300 advmss 1460");
    echoes_whole(&bed, 1);
    let metrics = bed.in_host("curl -sS http://127.0.0.1:9323/metrics");
    let told = metrics.lines().find(|line| line.contains("reason=\"too_big\"")).unwrap_or_default();
    assert!(!told.is_empty() && !told.ends_with(" 0"), "the container was told at least once: {told}");
}

#[test]
fn the_programs_are_ours_and_netfilter_is_not_used() {
    let Some(bed) = published() else { return };
    // The state before is compared at the end of every test; this one looks while traffic flows.
    let client = bed.in_client(&format!("curl -sS http://{HOST_ADDRESS}:8080/"));
    assert!(client.contains("Hostname"));
    assert_eq!(crate::bed::netfilter(&bed.topology).trim(), "");
    // The kernel keeps fifteen characters of a program's name. `bpftool net` knows TCX only from version 7.3 on.
    let loaded = bed.in_host("bpftool prog show");
    for program in ["uplink_ingress", "uplink_egress", "container_ingre", "gateway_egress"] {
        assert!(loaded.contains(program), "{program}: {loaded}");
    }
    assert_eq!(bed.in_host("pgrep -c -x docker-proxy || true"), "0");
    let pinned = bed.in_host(&format!("ls /sys/fs/bpf/beeline/{}", bed.topology.instance));
    assert!(!pinned.is_empty());
}

#[test]
fn a_users_own_netfilter_rules_stay_as_they_are() {
    let Some(bed) = Bed::without_daemon() else { return };
    bed.in_host("nft add table inet mine && nft add chain inet mine forwarding '{ type filter hook forward priority 0; policy drop; }'");
    let before = crate::bed::netfilter(&bed.topology);
    let mut bed = bed;
    bed.start();
    bed.docker_ok(&["run", "-d", "-p", "8080:80", "beeline/whoami"]);
    // Even a policy that drops what is forwarded does not stop us: our packets do not pass there.
    assert!(
        bed.in_client(&format!("curl -sS --max-time 5 http://{HOST_ADDRESS}:8080/")).contains("Hostname")
    );
    assert_eq!(crate::bed::netfilter(&bed.topology), before);
    // What has to be cut does, and the engine says so.
    let warnings = || bed.docker_ok(&["info", "--format", "{{.Warnings}}"]);
    assert!(warnings().contains("inet mine forwarding"), "{}", warnings());
    bed.in_host("nft flush ruleset");
    assert!(!warnings().contains("mine"), "{}", warnings());
    assert!(
        bed.in_client(&format!("curl -sS --max-time 5 http://{HOST_ADDRESS}:8080/")).contains("Hostname")
    );
}

#[test]
fn a_connection_refused_by_the_container_is_refused_to_the_client() {
    let Some(bed) = Bed::new() else { return };
    bed.docker_ok(&["run", "-d", "-p", "8080:81", "beeline/whoami"]);
    for output in [
        shell(
            bed.topology.client.command("sh"),
            &format!("curl -sS --max-time 5 http://{HOST_ADDRESS}:8080/"),
        ),
        shell(bed.topology.host.command("sh"), "curl -sS --max-time 5 http://127.0.0.1:8080/"),
    ] {
        assert_eq!(output.code(), 7, "curl: connection refused, at once: {output}");
    }
}

#[test]
fn two_daemons_live_side_by_side_in_one_namespace() {
    let Some(bed) = published() else { return };
    let dirs = beeline_testbed::Directories::create().unwrap();
    let instance = format!("{}x", &bed.topology.instance[..5]);
    let mut command =
        beeline_testbed::Daemon::command(&crate::bed::binary(), &bed.topology.host, &instance, &dirs);
    let second =
        beeline_testbed::Daemon::spawn(command.args(["--metrics-addr", "127.0.0.1:9324"]), &dirs).unwrap();
    let docker = |args: &[&str]| {
        let mut command = bed.topology.host.command("docker");
        beeline_testbed::command::text(command.env("DOCKER_HOST", dirs.docker_host()).args(args)).unwrap()
    };
    docker(&["run", "-d", "--name", "web", "-p", "8088:80", "beeline/whoami"]);
    for port in [8080, 8088] {
        let answer = bed.in_client(&format!("curl -sS --max-time 5 http://{HOST_ADDRESS}:{port}/"));
        assert!(answer.contains("Hostname"), "{port}: {answer}");
        let answer = bed.in_host(&format!("curl -sS --max-time 5 http://127.0.0.1:{port}/"));
        assert!(answer.contains("Hostname"), "{port}: {answer}");
    }
    docker(&["rm", "-f", "web"]);
    second.stop().unwrap();
    assert!(!std::path::Path::new("/sys/fs/bpf/beeline").join(&instance).exists());
    assert!(
        bed.in_client(&format!("curl -sS --max-time 5 http://{HOST_ADDRESS}:8080/")).contains("Hostname")
    );
}

#[test]
fn a_slow_reader_gets_every_byte_after_half_close() {
    let Some(bed) = Bed::new() else { return };
    bed.busybox();
    bed.docker_ok(&[
        "run",
        "-d",
        "-p",
        "9000:9000",
        "busybox",
        "sh",
        "-c",
        "nc -l -p 9000 -e wc -c; sleep 10",
    ]);
    let script = format!("sleep 0.5; head -c 3000000 /dev/zero | timeout 10 busybox nc {HOST_ADDRESS} 9000");
    assert_eq!(bed.in_client(&script), "3000000");
}

#[test]
fn the_kernel_sides_log_reaches_the_daemons() {
    let Some(mut bed) = Bed::without_daemon() else { return };
    fs::write(bed.dirs.config(), "{ \"log-level\": \"debug\" }").unwrap();
    bed.start();
    bed.docker_ok(&["run", "-d", "-p", "8080:80", "beeline/whoami"]);
    bed.in_client(&format!("curl -sS http://{HOST_ADDRESS}:8080/"));
    bed.eventually("a line from the programs", || bed.dirs.log().contains(CLIENT_ADDRESS).then_some(()));
}
