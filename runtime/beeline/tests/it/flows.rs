//! `beeline flows`, `beeline drops` and the export: what containers have to do with whom, and what is refused.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Child, Stdio};

use beeline_testbed::{CLIENT_ADDRESS, Daemon, HOST_ADDRESS};
use serde_json::Value;

use crate::bed::{Bed, binary, shell};
use crate::metrics::{SCRAPE, series};

/// A command of ours that goes on until this value ends.
struct Watch {
    child: Child,
    output: PathBuf,
}

impl Watch {
    fn start(bed: &Bed, args: &[&str]) -> Self {
        let output = bed.dirs.path().join(args.join("_"));
        let file = File::create(&output).unwrap();
        let child = bed.beeline_command(args).stdout(Stdio::from(file)).spawn().unwrap();
        Self { child, output }
    }

    /// `beeline flows`, once what happens is told.
    fn flows(bed: &Bed, args: &[&str]) -> Self {
        let watch = Self::start(bed, &[&["flows", "--format", "json"], args].concat());
        bed.eventually("flows are told", || {
            bed.in_host(&format!("busybox ping -c1 -W1 {} >/dev/null", bed.address("beacon")));
            watch.events().iter().any(|event| event["Protocol"] == "icmp").then_some(())
        });
        watch
    }

    fn text(&self) -> String {
        fs::read_to_string(&self.output).unwrap()
    }

    /// What has been told so far; of a line that is still being written nothing.
    fn events(&self) -> Vec<Value> {
        let text = self.text();
        let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
        whole.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// The first event like this, between these two: names of containers, or addresses.
    #[track_caller]
    fn event(&self, bed: &Bed, what: &str, source: &str, destination: &str) -> Value {
        let is_end = |end: &Value, name: &str| end["ContainerName"] == name || end["Address"] == name;
        bed.eventually(&format!("{what} from {source} to {destination}"), || {
            self.events().into_iter().find(|event| {
                event["Event"] == what
                    && is_end(&event["Source"], source)
                    && is_end(&event["Destination"], destination)
            })
        })
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A bed with a web server in the network shop that is published, a client there, and one elsewhere.
fn bed() -> Option<Bed> {
    let bed = Bed::new()?;
    bed.busybox();
    bed.docker_ok(&["network", "create", "shop"]);
    let run = |name: &str, more: &[&str], command: &[&str]| {
        bed.docker_ok(&[&["run", "-d", "--name", name], more, command].concat());
    };
    run("web", &["--network", "shop", "-p", "8080:80"], &["beeline/whoami"]);
    run("buyer", &["--network", "shop"], &["busybox", "sleep", "1000"]);
    run("beacon", &[], &["busybox", "sleep", "1000"]);
    Some(bed)
}

fn end(bed: &Bed) {
    bed.docker_ok(&["rm", "-f", "web", "buyer", "beacon"]);
    bed.docker_ok(&["network", "rm", "shop"]);
}

#[test]
fn flows_are_told_with_names_and_with_what_they_carried() {
    let Some(bed) = bed() else { return };
    let watch = Watch::flows(&bed, &[]);
    let url = format!("http://{HOST_ADDRESS}:8080/");
    bed.in_client(&format!("curl -sS --max-time 5 {url}"));
    bed.docker_ok(&["exec", "buyer", "wget", "-q", "-O", "/dev/null", "http://web/"]);
    bed.in_host("curl -sS --max-time 5 http://127.0.0.1:8080/");
    bed.docker(&["exec", "buyer", "nc", "web", "9"]);

    let published = watch.event(&bed, "begin", CLIENT_ADDRESS, "web");
    assert_eq!((&published["Peer"], &published["Verdict"]), (&"published".into(), &"forwarded".into()));
    assert_eq!(
        (&published["Destination"]["Address"], &published["Destination"]["Port"]),
        (&HOST_ADDRESS.into(), &8080.into())
    );
    let inside = bed.inspect("web", "{{.NetworkSettings.Networks.shop.IPAddress}}");
    assert_eq!(published["Destination"]["Translated"], format!("{inside}:80"));
    let of_network = watch.event(&bed, "begin", "buyer", "web");
    assert_eq!((&of_network["Peer"], &of_network["Source"]["Network"]), (&"network".into(), &"shop".into()));

    let ended = watch.event(&bed, "end", CLIENT_ADDRESS, "web");
    assert_eq!(ended["End"]["Outcome"], "closed");
    let refused = bed.eventually("the refused connection", || {
        watch.events().into_iter().find(|event| event["End"]["Outcome"] == "refused")
    });
    assert_eq!(
        (&refused["Source"]["ContainerName"], &refused["Destination"]["Port"]),
        (&"buyer".into(), &9.into())
    );
    let of_host = bed.eventually("the host's connection", || {
        watch.events().into_iter().find(|event| {
            event["Peer"] == "host" && event["Protocol"] == "tcp" && event["End"]["SentBytes"].is_u64()
        })
    });
    assert_eq!(of_host["Destination"]["ContainerName"], "web");

    // What a connection carried is what the counters of the container have of such traffic.
    let page = bed.in_host(SCRAPE);
    let counted = |family: &str, direction: &str| {
        let is_it = |line: &&str| {
            line.starts_with(family)
                && [("name", "web"), ("direction", direction), ("peer", "published")]
                    .iter()
                    .all(|(label, value)| line.contains(&format!("{label}=\"{value}\"")))
        };
        let line = page.lines().find(is_it).unwrap_or_else(|| panic!("no {family} {direction} in\n{page}"));
        line.rsplit(' ').next().unwrap().parse::<u64>().unwrap()
    };
    for (told, family, direction) in [
        ("SentBytes", "beeline_container_traffic_bytes_total", "received"),
        ("SentPackets", "beeline_container_traffic_packets_total", "received"),
        ("ReceivedBytes", "beeline_container_traffic_bytes_total", "sent"),
        ("ReceivedPackets", "beeline_container_traffic_packets_total", "sent"),
    ] {
        assert_eq!(ended["End"][told], counted(family, direction), "{told}");
    }
    assert!(series(&page, "container_network_receive_packets_total", "web") > 0.0);
    drop(watch);
    end(&bed);
}

#[test]
fn flows_are_chosen_by_container_network_port_protocol_and_verdict() {
    let Some(bed) = bed() else { return };
    let all = Watch::flows(&bed, &[]);
    let of_buyer = Watch::start(&bed, &["flows", "--container", "buyer", "--protocol", "tcp"]);
    let dropped = Watch::start(&bed, &["flows", "--verdict", "dropped"]);
    let web = bed.inspect("web", "{{.NetworkSettings.Networks.shop.IPAddress}}");
    bed.eventually("all listen", || {
        bed.docker_ok(&["exec", "buyer", "wget", "-q", "-O", "/dev/null", "http://web/"]);
        bed.docker(&["exec", "beacon", "ping", "-c1", "-W1", &web]);
        (!of_buyer.text().is_empty() && !dropped.text().is_empty()).then_some(())
    });
    bed.in_client(&format!("curl -sS --max-time 5 http://{HOST_ADDRESS}:8080/"));
    all.event(&bed, "end", CLIENT_ADDRESS, "web");
    for line in of_buyer.text().lines() {
        assert!(line.contains("tcp   buyer ") && line.contains(" -> web "), "{line}");
    }
    for line in dropped.text().lines() {
        assert!(line.contains("dropped") && line.contains("beacon ") && line.ends_with("isolated"), "{line}");
    }
    for (args, named) in [
        (["--port", "eighty"].as_slice(), "invalid value 'eighty'"),
        (&["--protocol", "tpc"], "invalid filter 'protocol=tpc'"),
        (&["--verdict", "maybe"], "[possible values: forwarded, dropped]"),
    ] {
        let refused = bed.beeline(&[&["flows"], args].concat());
        assert!(refused.code() != 0 && refused.stderr.contains(named), "{refused}");
    }
    drop((all, of_buyer, dropped));
    end(&bed);
}

#[test]
fn drops_are_remembered_with_reason_rule_and_what_to_do_and_followed() {
    let Some(bed) = bed() else { return };
    let none = bed.beeline(&["drops", "--container", "web"]);
    assert!(none.status.success() && none.stderr.contains("Nothing was dropped of late"), "{none}");
    let deny = format!("beeline.publish.deny={CLIENT_ADDRESS}");
    bed.docker_ok(&["run", "-d", "--name", "secret", "-p", "8090:80", "-l", &deny, "beeline/whoami"]);
    let ask = |port: u16| {
        shell(
            bed.topology.client.command("sh"),
            &format!("curl -sS --max-time 1 http://{HOST_ADDRESS}:{port}/"),
        )
    };
    assert_eq!(ask(8090).code(), 28);
    let (line, listed) = bed.eventually("the drop", || {
        let listed = bed.beeline_ok(&["drops", "--reason", "denied"]);
        listed.lines().find(|line| line.contains("dropped")).map(|line| (line.to_owned(), listed.clone()))
    });
    assert!(line.contains(&format!("tcp   {CLIENT_ADDRESS}:")), "{line}");
    let rule = format!("-> {HOST_ADDRESS}:8090  denied: the publish's rule denies {CLIENT_ADDRESS}/32");
    assert!(line.ends_with(&rule), "{line}");
    assert!(listed.contains("denied: a rule refuses the source: see beeline ports --rules"), "{listed}");

    // They were told while nobody looked; who follows sees them, and those to come.
    let follow = Watch::start(&bed, &["drops", "--follow", "--format", "json"]);
    let web = bed.inspect("web", "{{.NetworkSettings.Networks.shop.IPAddress}}");
    bed.eventually("the followed drop", || {
        bed.docker(&["exec", "beacon", "ping", "-c1", "-W1", &web]);
        follow.events().into_iter().find(|event| event["Drop"]["Reason"] == "isolated")
    });
    let isolated = follow.event(&bed, "drop", "beacon", "web");
    assert_eq!(isolated["Protocol"], "icmp");
    let first = &follow.events()[0];
    assert_eq!(
        (&first["Drop"]["Reason"], &first["Drop"]["RuleSource"]),
        (&"denied".into(), &format!("{CLIENT_ADDRESS}/32").into())
    );
    let mistyped = bed.beeline(&["drops", "--reason", "deny"]);
    assert!(mistyped.stderr.contains("invalid filter 'reason=deny': a reason is one of"), "{mistyped}");
    drop(follow);
    bed.docker_ok(&["rm", "-f", "secret"]);
    end(&bed);
}

#[test]
fn flows_and_events_are_exported_to_files_that_are_rotated() {
    let Some(mut bed) = Bed::without_daemon() else { return };
    let path = bed.dirs.path().join("export/flows.jsonl");
    let config =
        format!(r#"{{ "flow-export": {{ "to": "{}", "max-size": "64k", "max-file": 2 }} }}"#, path.display());
    fs::write(bed.dirs.config(), config).unwrap();
    let failed = Daemon::start(&binary(), &bed.topology, &bed.dirs, &[]).unwrap_err();
    assert!(format!("{failed:#}").contains("open flow-export"), "{failed:#}");
    fs::create_dir(path.parent().unwrap()).unwrap();
    bed.start();
    bed.docker_ok(&["run", "-d", "--name", "web", "-p", "8080:80", "beeline/whoami"]);
    let url = format!("http://{HOST_ADDRESS}:8080/");
    bed.in_client(&format!("curl -sS --max-time 5 {url}"));
    let lines = |path: &PathBuf| -> Vec<Value> {
        let text = fs::read_to_string(path).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    let end = bed.eventually("the flow's end", || {
        let is_end = |line: &Value| line["flow"]["Event"] == "end";
        lines(&path).into_iter().find(is_end).map(|line| line["flow"].clone())
    });
    assert_eq!(
        (&end["Source"]["Address"], &end["Destination"]["ContainerName"]),
        (&CLIENT_ADDRESS.into(), &"web".into())
    );
    let started = |line: &Value| {
        line["event"]["Action"] == "start" && line["event"]["Actor"]["Attributes"]["name"] == "web"
    };
    assert!(lines(&path).iter().any(started), "{}", fs::read_to_string(&path).unwrap());

    bed.in_client(&format!("for i in $(seq 150); do curl -sS -o /dev/null --max-time 5 {url} || exit; done"));
    let before = path.with_extension("jsonl.1");
    bed.eventually("another file", || before.exists().then_some(()));
    assert!(lines(&before).iter().any(started), "the first lines are there");
    let size = fs::metadata(&before).unwrap().len();
    assert!((32 << 10..=64 << 10).contains(&size), "{size}");
    bed.docker_ok(&["rm", "-f", "web"]);
}

#[test]
fn who_talks_to_whom_is_summed_while_somebody_asks() {
    let Some(bed) = bed() else { return };
    let socket = bed.dirs.socket().display().to_string();
    let ask = || -> Vec<Value> {
        let answer = bed
            .in_host(&format!("curl -sS --max-time 5 --unix-socket {socket} http://localhost/beeline/pairs"));
        serde_json::from_str(&answer).unwrap()
    };
    assert_eq!(ask(), Vec::<Value>::new(), "nobody has asked before");
    for _ in 0..3 {
        bed.docker_ok(&["exec", "buyer", "wget", "-q", "-O", "/dev/null", "http://web/"]);
    }
    bed.in_client(&format!("curl -sS --max-time 5 http://{HOST_ADDRESS}:8080/"));
    let is_web = |pair: &&Value| pair["Destination"]["ContainerName"] == "web";
    let pairs = ask();
    let of = |pairs: &[Value], kind: &str| {
        let found = pairs.iter().filter(is_web).find(|pair| pair["Source"]["Kind"] == kind).cloned();
        found.unwrap_or_else(|| panic!("no {kind} in {pairs:?}"))
    };
    let (buyer, outside) = (of(&pairs, "container"), of(&pairs, "outside"));
    assert_eq!((&buyer["Source"]["ContainerName"], &buyer["Flows"]), (&"buyer".into(), &3.into()));
    assert_eq!(outside["Flows"], 1);
    // An answer is longer than its question, and each has at least the headers of its handshake.
    for pair in [&buyer, &outside] {
        let (sent, received) = (pair["SentBytes"].as_u64().unwrap(), pair["ReceivedBytes"].as_u64().unwrap());
        assert!(received > sent && sent > 200, "{pair}");
    }
    // What is over stays in the sums: connections are taken out of the table a second after their end.
    std::thread::sleep(std::time::Duration::from_secs(3));
    let later = of(&ask(), "container");
    assert_eq!((&later["Flows"], &later["SentBytes"]), (&buyer["Flows"], &buyer["SentBytes"]));
    end(&bed);
}
