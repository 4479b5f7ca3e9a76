//! One thing that goes wrong, and what must hold afterwards.

use std::fs;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use beeline_spawn::fault::{self, Point};
use beeline_testbed::command::eventually;
use beeline_testbed::{Daemon, residue};

use super::table::{Fault, Operation, Victim, rows};
use crate::api::{Answer, ask};
use crate::bed::Bed;

/// What the containers are: with a published port, a named volume and one without a name.
const CONTAINER: &str = r#"{
    "Image": "busybox", "Cmd": ["sleep", "1000"], "StopSignal": "SIGKILL",
    "Volumes": {"/data": {}}, "ExposedPorts": {"80/tcp": {}},
    "HostConfig": {"Binds": ["named:/named"], "PortBindings": {"80/tcp": [{"HostPort": ""}]}}
}"#;

const EXEC: &str = r#"{"Cmd": ["sleep", "0.01"]}"#;

/// That a container is put on a network, by which its default route leads then.
const CONNECT: &str = r#"{"Container": "box", "EndpointConfig": {"GwPriority": 1}}"#;
const DISCONNECT: &str = r#"{"Container": "box"}"#;

/// That network, and the way by it.
const NETWORK: [&str; 3] = ["--subnet", "10.96.0.0/24", "further"];
const GATEWAY: &str = "default via 10.96.0.1 ";

const LIMIT: Duration = Duration::from_secs(20);

/// Goes through all rows of an operation with one bed.
pub(super) fn walk(operation: Operation) {
    let Some(bed) = Bed::without_daemon() else { return };
    let file = bed.dirs.path().join("fault");
    let mut walk = Walk { bed, file, before: Vec::new() };
    walk.start();
    walk.bed.busybox();
    walk.bed.docker_ok(&[&["network", "create"][..], &NETWORK].concat());
    // What a container leaves by intent, like the device of its network, is made once.
    walk.asked(Operation::Create);
    walk.asked(Operation::Start);
    walk.remove();
    walk.before = walk.settled();
    for (point, fault) in rows(operation) {
        walk.row(operation, point, fault);
    }
}

struct Walk {
    bed: Bed,
    file: PathBuf,
    /// What there is of the instance without a container.
    before: Vec<String>,
}

impl Walk {
    fn row(&mut self, operation: Operation, point: Point, fault: Fault) {
        let row = format!("{point:?}, {fault:?}");
        self.prepare(operation);
        let answer = match fault {
            Fault::Fail(errno) => self.fail(operation, point, errno as i32),
            Fault::Kill(victim) => self.kill(operation, point, victim),
        };
        let what = format!("{row}: {answer:?}");
        if let (Fault::Fail(errno), Ok(answer)) = (fault, &answer) {
            let told = answer.body.contains(&format!("(os error {})", errno as i32));
            assert!(answer.status < 400 || told, "the error is told: {what}");
        }
        if let (Fault::Kill(Victim::Spawner), answer) = (fault, &answer) {
            assert!(answer.as_ref().is_ok_and(|answer| answer.status < 400), "it is replaced: {what}");
        }
        self.assert_truth(&what);
        self.repeat(operation, &what);
        self.assert_truth(&what);
        self.remove();
        let nothing = || (self.left() == self.before).then_some(());
        if eventually("nothing is left", LIMIT, nothing).is_err() {
            panic!("left after {what}: {:#?}\nbefore: {:#?}", self.left(), self.before);
        }
    }

    /// Has a daemon run that has fault points.
    fn start(&mut self) {
        let binary = env!("CARGO_BIN_EXE_beeline").as_ref();
        let (topology, dirs) = (&self.bed.topology, &self.bed.dirs);
        let mut command = Daemon::command(binary, &topology.host, &topology.instance, dirs);
        self.bed.start_as(command.env(fault::VARIABLE, &self.file));
    }

    /// Brings a container to where the operation begins.
    fn prepare(&self, operation: Operation) {
        let before: &[Operation] = match operation {
            Operation::Create => &[],
            Operation::Start | Operation::Remove => &[Operation::Create],
            Operation::Exec | Operation::Connect | Operation::Stop | Operation::Force => {
                &[Operation::Create, Operation::Start]
            }
            Operation::Disconnect => &[Operation::Create, Operation::Start, Operation::Connect],
        };
        before.iter().for_each(|operation| self.asked(*operation));
    }

    #[track_caller]
    fn asked(&self, operation: Operation) {
        let answer = request(&self.bed.dirs.socket(), operation).unwrap();
        assert!(answer.status < 400, "{operation:?}: {answer:?}");
    }

    /// Has the step fail once.
    fn fail(&self, operation: Operation, point: Point, errno: i32) -> io::Result<Answer> {
        self.arm(point, &errno.to_string());
        let answer = request(&self.bed.dirs.socket(), operation);
        fs::remove_file(self.reached()).unwrap_or_else(|_| panic!("{point:?} is not reached: {answer:?}"));
        answer
    }

    /// Kills somebody who is at the step.
    fn kill(&mut self, operation: Operation, point: Point, victim: Victim) -> io::Result<Answer> {
        self.arm(point, "wait");
        let (socket, reached) = (self.bed.dirs.socket(), self.reached());
        let asking = std::thread::spawn(move || request(&socket, operation));
        if eventually("reached", LIMIT, || reached.exists().then_some(())).is_err() {
            panic!("{point:?} is not reached: {:?}", asking.is_finished().then(|| asking.join()));
        }
        match victim {
            Victim::Daemon => self.bed.kill_daemon(),
            Victim::Spawner => self.bed.kill_all("beeline-spawner"),
            Victim::Shim => self.bed.kill_all("beeline-shim"),
        }
        fs::remove_file(&reached).unwrap();
        let answer = asking.join().unwrap();
        if victim == Victim::Daemon {
            self.start();
        }
        answer
    }

    fn arm(&self, point: Point, action: &str) {
        // In one go: a half would be another point.
        let temporary = self.file.with_extension("tmp");
        fs::write(&temporary, format!("{point:?} {action}")).unwrap();
        fs::rename(temporary, &self.file).unwrap();
    }

    fn reached(&self) -> PathBuf {
        format!("{}{}", self.file.display(), fault::REACHED).into()
    }

    /// What is told of the container is so, once the daemon has seen who was killed.
    fn assert_truth(&self, what: &str) {
        let mut untrue = String::new();
        let truth = || self.truth().map_err(|error| untrue = error).ok();
        if eventually("what is told is true", LIMIT, truth).is_err() {
            panic!("{what}: {untrue}");
        }
    }

    fn truth(&self) -> Result<(), String> {
        let inspect = self.get("/containers/box/json");
        if inspect.status == 404 {
            return Ok(());
        }
        let id = inspect.field("/Id").as_str().unwrap_or_default().to_owned();
        if inspect.field("/State/Running") != true {
            let runs = self.is_in_a_group(&id);
            return if runs { Err(format!("something of it runs: {inspect:?}")) } else { Ok(()) };
        }
        let pid = inspect.field("/State/Pid");
        let groups = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
        if !groups.contains(&id) {
            return Err(format!("its init does not run: {inspect:?}"));
        }
        let output = self.bed.docker(&["exec", "box", "sh", "-c", "ls /sys/class/net && ip route"]);
        if !output.status.success() {
            return Err(format!("it does not execute: {output}"));
        }
        let text = output.text();
        let devices = text.lines().filter(|line| line.starts_with("eth")).count();
        let networks = inspect.field("/NetworkSettings/Networks").as_object().map_or(0, serde_json::Map::len);
        let leads = text.lines().filter(|line| line.starts_with("default ")).count() == 1
            && text.contains(GATEWAY) == is_further(&inspect);
        if devices == networks && leads {
            Ok(())
        } else {
            Err(format!("it is elsewhere: {inspect:?}: {text}"))
        }
    }

    fn is_in_a_group(&self, id: &str) -> bool {
        let groups = |process: &PathBuf| fs::read_to_string(process.join("cgroup")).unwrap_or_default();
        beeline_testbed::processes(&self.bed.topology).iter().any(|process| groups(process).contains(id))
    }

    /// Whatever became of it, the operation can be done now.
    fn repeat(&self, operation: Operation, what: &str) {
        let inspect = self.get("/containers/box/json");
        let (exists, running) = (inspect.status == 200, inspect.field("/State/Running") == true);
        let (wanted, reached) = match operation {
            Operation::Create => (!exists, true),
            Operation::Start => (!running, true),
            Operation::Exec | Operation::Stop => (running, operation == Operation::Exec && running),
            Operation::Connect => (!is_further(&inspect), true),
            Operation::Disconnect => (is_further(&inspect), false),
            Operation::Remove | Operation::Force => (exists, false),
        };
        if wanted {
            let answer = request(&self.bed.dirs.socket(), operation).unwrap();
            assert!(answer.status < 400, "again, after {what}: {answer:?}");
        }
        let now = self.get("/containers/box/json");
        let reaches = match operation {
            Operation::Create | Operation::Remove | Operation::Force => now.status == 200,
            Operation::Connect | Operation::Disconnect => is_further(&now),
            Operation::Start | Operation::Exec | Operation::Stop => now.field("/State/Running") == true,
        };
        assert_eq!(reaches, reached, "after {what}: {now:?}");
        if operation == Operation::Create {
            // What has come through can be used.
            self.asked(Operation::Start);
        }
    }

    /// Removes the container; it may be gone already.
    fn remove(&self) {
        let answer = request(&self.bed.dirs.socket(), Operation::Remove).unwrap();
        assert!([204, 404].contains(&answer.status), "{answer:?}");
    }

    /// What there is once the kernel has taken the links of a namespace that is gone.
    fn settled(&self) -> Vec<String> {
        let has_links = |left: &[String]| left.iter().any(|line| line.starts_with("link bv"));
        let settled = || Some(self.left()).filter(|left| !has_links(left));
        eventually("the container's link is gone", LIMIT, settled).unwrap()
    }

    /// What there is of the instance, but its daemon and spawner.
    fn left(&self) -> Vec<String> {
        let mut left = residue(&self.bed.topology, &self.bed.dirs);
        left.retain(|line| !line.starts_with("process") || line.contains("beeline-shim"));
        let volumes = self.get("/volumes").field("/Volumes");
        let names =
            volumes.as_array().into_iter().flatten().map(|volume| format!("volume {}", volume["Name"]));
        left.extend(names);
        left.sort();
        left
    }

    #[track_caller]
    fn get(&self, path: &str) -> Answer {
        ask(&self.bed.dirs.socket(), "GET", path, "").unwrap()
    }
}

/// Whether a container is on the further network.
fn is_further(inspect: &Answer) -> bool {
    inspect.field("/NetworkSettings/Networks/further").is_object()
}

/// Asks for the operation on the container `box`.
fn request(socket: &std::path::Path, operation: Operation) -> io::Result<Answer> {
    match operation {
        Operation::Create => ask(socket, "POST", "/containers/create?name=box", CONTAINER),
        Operation::Start => ask(socket, "POST", "/containers/box/start", ""),
        Operation::Stop => ask(socket, "POST", "/containers/box/stop", ""),
        Operation::Remove | Operation::Force => ask(socket, "DELETE", "/containers/box?force=1&v=1", ""),
        Operation::Connect => ask(socket, "POST", "/networks/further/connect", CONNECT),
        Operation::Disconnect => ask(socket, "POST", "/networks/further/disconnect", DISCONNECT),
        Operation::Exec => {
            let created = ask(socket, "POST", "/containers/box/exec", EXEC)?;
            let Some(id) = created.field("/Id").as_str().map(str::to_owned) else { return Ok(created) };
            ask(socket, "POST", &format!("/exec/{id}/start"), r#"{"Detach": true}"#)
        }
    }
}
