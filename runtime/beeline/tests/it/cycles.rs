//! Hundreds of containers' lives, many at a time: what each has is given back by its end.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use beeline_testbed::command::eventually;
use beeline_testbed::residue;

use crate::api::ask;
use crate::bed::Bed;

const LIVES: usize = 500;
const AT_A_TIME: usize = 16;

/// With all a container can leave: a port, a volume without a name, an address, a log.
const CONTAINER: &str = r#"{
    "Image": "beeline/whoami", "StopSignal": "SIGKILL", "Volumes": {"/data": {}},
    "ExposedPorts": {"80/tcp": {}}, "HostConfig": {"PortBindings": {"80/tcp": [{"HostPort": ""}]}}
}"#;

#[test]
fn five_hundred_lives_sixteen_at_a_time_leave_nothing() {
    let Some(bed) = Bed::new() else { return };
    // What is made once is there before it is counted: threads, devices of networks, directories.
    live(&bed, 2 * AT_A_TIME);
    let before = settled(&bed, None);
    live(&bed, LIVES);
    let after = settled(&bed, Some(&before));
    assert_eq!(after, before);
    assert_eq!(bed.map_entries(), [""; 0]);
    assert_eq!(bed.docker_ok(&["ps", "--all", "--quiet"]), "");
    assert_eq!(bed.docker_ok(&["volume", "ls", "--quiet"]), "");
}

/// Has `count` containers live, each from its creation to its removal.
fn live(bed: &Bed, count: usize) {
    let (socket, next) = (bed.dirs.socket(), AtomicUsize::new(0));
    thread::scope(|scope| {
        for _ in 0..AT_A_TIME {
            scope.spawn(|| {
                while next.fetch_add(1, Ordering::Relaxed) < count {
                    life(&socket);
                }
            });
        }
    });
}

fn life(socket: &Path) {
    let request = |method: &str, path: &str, body: &str| {
        let answer = ask(socket, method, path, body).unwrap();
        assert!((200..300).contains(&answer.status), "{method} {path}: {answer:?}");
        answer
    };
    let created = request("POST", "/containers/create", CONTAINER);
    let container = format!("/containers/{}", created.field("/Id").as_str().unwrap());
    request("POST", &format!("{container}/start"), "");
    let port = request("GET", &format!("{container}/json"), "");
    assert!(port.field("/NetworkSettings/Ports/80~1tcp/0/HostPort").is_string(), "{port:?}");
    request("POST", &format!("{container}/stop"), "");
    request("DELETE", &format!("{container}?v=1"), "");
}

/// What the instance has, when it is as `wanted`, or after some time.
fn settled(bed: &Bed, wanted: Option<&BTreeMap<String, usize>>) -> BTreeMap<String, usize> {
    // Devices go after an RCU grace period, shims when they have told of the end, idle connections by themselves.
    let same = || wanted.is_some_and(|wanted| held(bed) == *wanted).then_some(());
    let limit = if wanted.is_some() { 30 } else { 3 };
    let _as_it_is = eventually("nothing is left", Duration::from_secs(limit), same);
    held(bed)
}

/// Everything that could grow, with its number.
fn held(bed: &Bed) -> BTreeMap<String, usize> {
    let mut held = BTreeMap::new();
    // Lines name the container, the mount or the device: one more shows.
    for line in residue(&bed.topology, &bed.dirs) {
        *held.entry(line).or_default() += 1;
    }
    let daemon = bed.daemon_pid();
    held.insert("descriptors of the daemon".to_owned(), entries(format!("/proc/{daemon}/fd")));
    for process in children(daemon) {
        held.insert(format!("descriptors of {process}"), entries(format!("/proc/{process}/fd")));
        held.insert(format!("children of {process}, zombies too"), children(process).len());
    }
    held
}

fn entries(directory: String) -> usize {
    fs::read_dir(directory).unwrap().count()
}

/// The processes that the process has made, or has to wait for.
fn children(parent: u32) -> Vec<u32> {
    let processes = fs::read_dir("/proc").unwrap().flatten();
    let pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let is_child = |pid: &u32| {
        // The parent is the second field after the name, which may hold blanks.
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let field = stat.rsplit(") ").next().and_then(|fields| fields.split(' ').nth(1));
        field.is_some_and(|field| field == parent.to_string())
    };
    pids.filter(is_child).collect()
}
