//! How long it takes to run `true` in a container and be told its exit code.

use std::path::Path;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result};
use beeline_testbed::busybox_tar;
use beeline_testbed::command::{output, text};
use serde_json::{Value, json};

use super::report;
use crate::interrupt;
use crate::progress::{Step, note};
use crate::stage::Stage;
use crate::workspace::find_program;

const IMAGE: &str = "beeline-bench/busybox";

/// What a container engine cannot avoid: namespaces, an overlay, /proc, and the program, with no engine around them.
const FLOOR: &str = "mount -t overlay overlay -o lowerdir=lower,upperdir=upper,workdir=work merged \
                     && mount -t proc proc merged/proc && exec chroot merged /bin/true";

/// One way to run the program.
struct Way {
    name: &'static str,
    command: Command,
    milliseconds: Vec<f64>,
}

/// All ways with all their times.
pub(super) struct Starts {
    ways: Vec<Way>,
}

/// Runs the program `count` times in every way, the ways taking turns.
pub(super) fn measure(stage: &Stage, work: &Path, count: u32) -> Result<Starts> {
    let tar = busybox_tar(work).context("make the image that is started")?;
    text(stage.beeline().arg("import").arg(&tar).arg(IMAGE))?;
    let mut ways = vec![floor(work, &tar)?];
    for (name, options) in [
        ("beeline run --network none", "--network none"),
        ("beeline run", ""),
        ("beeline run -p", "-p 9001:80"),
    ] {
        ways.push(Way::new(name, run(stage.beeline(), options)));
    }
    if find_program("docker").is_some() {
        for (name, options) in [("docker run", ""), ("docker run -p", "-p 9001:80")] {
            ways.push(Way::new(name, run(stage.client("docker"), options)));
        }
    } else {
        note("skipped: the stock docker client is not installed");
    }
    let step = Step::start(format!("starts, {count} of each"));
    for turn in 0..=count {
        for way in &mut ways {
            interrupt::check()?;
            step.detail(way.name);
            let start = Instant::now();
            let ended = output(&mut way.command).with_context(|| way.name)?;
            let milliseconds = start.elapsed().as_secs_f64() * 1e3;
            anyhow::ensure!(ended.status.success(), "{}: {ended}", way.name);
            // The first turn only warms the caches up.
            if turn > 0 {
                way.milliseconds.push(milliseconds);
            }
        }
    }
    step.done("");
    Ok(Starts { ways })
}

fn run(mut client: Command, options: &str) -> Command {
    client.args(["run", "--rm"]).args(options.split_whitespace()).args([IMAGE, "true"]);
    client
}

/// The program in namespaces and an overlay made by util-linux alone.
fn floor(work: &Path, tar: &Path) -> Result<Way> {
    let directory = work.join("floor");
    for part in ["lower/proc", "upper", "work", "merged"] {
        let part = directory.join(part);
        std::fs::create_dir_all(&part).with_context(|| format!("create {}", part.display()))?;
    }
    text(Command::new("tar").arg("-xf").arg(tar).arg("-C").arg(directory.join("lower")))?;
    let mut command = Command::new("unshare");
    command.args(["--mount", "--pid", "--net", "--ipc", "--uts", "--cgroup", "--fork"]);
    command.args(["sh", "-c", FLOOR]).current_dir(&directory);
    Ok(Way::new("floor: unshare, mount, chroot", command))
}

impl Way {
    fn new(name: &'static str, command: Command) -> Self {
        Self { name, command, milliseconds: Vec::new() }
    }

    fn bounds(&self) -> (f64, f64) {
        let fold =
            |pick: fn(f64, f64) -> f64| self.milliseconds.iter().copied().reduce(pick).unwrap_or(f64::NAN);
        (fold(f64::min), fold(f64::max))
    }
}

impl Starts {
    pub(super) fn table(&self) -> String {
        let row = |way: &Way| {
            let (least, most) = way.bounds();
            let median = report::median(&way.milliseconds);
            vec![way.name.to_owned(), format!("{median:.1} ms"), format!("{least:.1} - {most:.1} ms")]
        };
        let rows: Vec<Vec<String>> = self.ways.iter().map(row).collect();
        report::table(&["run true and wait for it", "median", "range"], &rows)
    }

    pub(super) fn json(&self) -> Value {
        let entry = |way: &Way| {
            json!({
                "way": way.name,
                "median_ms": report::median(&way.milliseconds),
                "runs_ms": way.milliseconds,
            })
        };
        self.ways.iter().map(entry).collect()
    }
}
