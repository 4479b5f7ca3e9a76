//! A bundle without network: `beeline oci run`, other runtimes, and nothing but system calls.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result};
use beeline_testbed::BareContainer;
use beeline_testbed::command::text;
use serde_json::{Value, json};

use crate::bench::peer::brief;
use crate::bench::work::{Goal, OURS, Unit, Work, take_turns};
use crate::progress::{Step, note};
use crate::workspace::find_program;

/// One way to run the program, told apart by its name.
struct Way<'a> {
    name: &'static str,
    title: String,
    run: Box<dyn FnMut() -> Result<()> + 'a>,
}

pub(super) fn measure(binary: &Path, output: &Path, tar: &Path, count: u32) -> Result<Work> {
    let bare = BareContainer::unpack(&output.join("bare"), tar)?;
    let bundle = output.join("bundle");
    write_bundle(binary, &bundle, &bare.root())?;

    let goals = [Goal::ShareOf("runc", 0.25), Goal::ShareOf("bare", 3.0)];
    let mut work = Work::new("run a bundle, no network", Unit::Milliseconds, &goals);
    let beeline = runtime(binary, &["oci"], &bundle);
    let mut ways = vec![Way { name: OURS, title: "beeline oci run".to_owned(), run: beeline }];
    let mut absent = Vec::new();
    for name in ["runc", "crun"] {
        let Some(program) = find_program(name) else {
            absent.push((name, "not installed".to_owned()));
            continue;
        };
        let mut run = runtime(&program, &[], &bundle);
        match run().and_then(|()| version(&program)) {
            Ok(version) => ways.push(Way { name, title: format!("{name} {version}, run"), run }),
            Err(error) => {
                note(&format!("{name} cannot run here: {error:#}"));
                absent.push((name, brief(&error)));
            }
        }
    }
    let title = "namespaces, overlay, exec and no more".to_owned();
    ways.push(Way { name: "bare", title, run: Box::new(|| bare.run("/bin/true")) });

    let step = Step::start(format!("bundles, {count} of each way"));
    take_turns(count, &mut ways, |way, counts| {
        step.detail(way.name);
        let start = Instant::now();
        (way.run)().with_context(|| way.title.clone())?;
        if counts {
            work.add(way.name, &way.title, start.elapsed().as_secs_f64() * 1e3);
        }
        Ok(())
    })?;
    step.done("");
    absent.iter().for_each(|(name, reason)| work.absent(name, reason));
    Ok(work)
}

/// Beeline's own specification, as `runc spec` would have it too, with a program that ends at once.
fn write_bundle(binary: &Path, bundle: &Path, root: &Path) -> Result<()> {
    if bundle.exists() {
        std::fs::remove_dir_all(bundle).with_context(|| format!("empty {}", bundle.display()))?;
    }
    std::fs::create_dir_all(bundle).with_context(|| format!("create {}", bundle.display()))?;
    text(Command::new(binary).args(["oci", "spec", "--bundle"]).arg(bundle))?;
    let file = bundle.join("config.json");
    let said = std::fs::read(&file).with_context(|| format!("read {}", file.display()))?;
    let mut config: Value = serde_json::from_slice(&said).context("read the specification")?;
    config["root"] = json!({ "path": root, "readonly": true });
    config["process"]["terminal"] = json!(false);
    config["process"]["args"] = json!(["/bin/true"]);
    // Not every root may raise its own.
    config["process"]["rlimits"] = json!([]);
    config["linux"]["cgroupsPath"] = json!(format!("/beeline-bench-{}", std::process::id()));
    std::fs::write(&file, config.to_string()).with_context(|| format!("write {}", file.display()))
}

/// A runtime's `run`, from its start to its end, with a state directory of its own.
fn runtime<'a>(program: &Path, prefix: &[&str], bundle: &Path) -> Box<dyn FnMut() -> Result<()> + 'a> {
    let state: PathBuf = bundle.join("state");
    let mut command = Command::new(program);
    command.args(prefix).arg("--root").arg(state).args(["run", "--bundle"]).arg(bundle);
    command.arg(format!("beeline-bench-{}", std::process::id()));
    Box::new(move || text(&mut command).map(drop))
}

/// The last word of the first line of `--version`.
fn version(program: &Path) -> Result<String> {
    let said = text(Command::new(program).arg("--version"))?;
    let word = said.lines().next().and_then(|line| line.split_whitespace().last());
    Ok(word.context("it tells no version")?.to_owned())
}
