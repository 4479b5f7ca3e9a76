//! `cargo xtask vm`: the integration tests on kernels that this machine does not run, in QEMU.
//!
//! Each machine boots one of Debian's kernels with cgroup v2 alone. Its root is this machine's, read-only through 9p
//! with a layer of memory on top, so that the test binaries find the programs that they call. There is no network
//! device: all traffic is in namespaces that the tests make.

mod initrd;
mod kernel;
mod machine;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail, ensure};

use crate::build;
use crate::progress::{note, step};
use crate::run::Run;
use crate::setup::{self, Purpose};
use crate::workspace::{is_root, root, target_directory};

use kernel::Kernel;

/// The series of kernels: the oldest that is supported, where programs are attached through clsact, and one with TCX.
const SERIES: &[&str] = &["6.1", "6.12"];

/// A test binary that a machine runs, and which of its tests are the core: those whose outcome depends most on the kernel.
struct Suite {
    package: &'static str,
    target: &'static str,
    /// Parts of names; empty for all. Emulation makes all tests take the better part of an hour.
    core: &'static [&'static str],
}

/// The tests of the programs that carry packets.
const DATAPATH: Suite = Suite {
    package: "beeline-net",
    target: "datapath",
    core: &["paths::", "sctp::", "bridge::multicast", "verified::"],
};

/// Each way of a packet, each namespace and limit, and the daemon's death.
const SUITES: &[Suite] = &[
    DATAPATH,
    Suite { package: "beeline-spawn", target: "container", core: &[] },
    Suite {
        package: "beeline",
        target: "it",
        core: &[
            "continuity::killing_the_daemon",
            "limits::limits_reach_the_kernel",
            "limits::too_much_memory",
            "metrics::every_container",
            "network::containers_reach_each_other",
            "network::the_host_reaches",
        ],
    },
];

/// The kernel's modules that the tests need and no program asks for.
const MODULES: &str = "veth bridge sch_ingress cls_bpf nf_tables tun sctp";

/// Which tests are wanted.
enum Selection<'a> {
    Core,
    All,
    /// With one of these in their names.
    Named(&'a [String]),
}

/// Run the integration tests on other kernels with cgroup v2, in QEMU
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Only on this series of kernels: 6.1 or 6.12
    #[arg(long, value_name = "SERIES")]
    kernel: Option<String>,
    /// All tests, not only the core
    #[arg(long)]
    all: bool,
    /// Only tests with one of these in their names
    #[arg(value_name = "TEST", conflicts_with = "all")]
    tests: Vec<String>,
}

impl Arguments {
    pub(crate) fn run(self) -> Result<()> {
        let wanted = |series: &&str| self.kernel.as_deref().is_none_or(|kernel| kernel == *series);
        let series: Vec<&str> = SERIES.iter().copied().filter(|series| wanted(series)).collect();
        ensure!(!series.is_empty(), "no such series of kernels; there are {}", SERIES.join(" and "));
        setup::ensure(Purpose::Test)?;
        let binary = build::release_binary()?;
        let selection = match (self.all, self.tests.as_slice()) {
            (true, _) => Selection::All,
            (false, []) => Selection::Core,
            (false, names) => Selection::Named(names),
        };
        on(&series, &binary, &selection)
    }
}

/// Runs the core tests on every series.
pub(crate) fn core(binary: &Path) -> Result<()> {
    on(SERIES, binary, &Selection::Core)
}

/// What one test of the datapath says, on every series, when `variable` is set.
pub(crate) fn said_by(test: &str, variable: &str) -> Result<Vec<String>> {
    let kernels = kernels(SERIES)?;
    let binaries = binaries(&[DATAPATH], &["--package", DATAPATH.package])?;
    let selection = Selection::Named(&[test.to_owned()]);
    let machines = boot_all(&kernels, "the programs", |kernel| {
        let settings = format!("export {variable}=1\nexport RUST_TEST_NOCAPTURE=1\n");
        script(kernel, &binaries, &settings, &selection)
    })?;
    Ok(machines.into_iter().map(|machine| machine.console).collect())
}

/// Runs the tests in a machine for each series.
fn on(series: &[&str], binary: &Path, selection: &Selection<'_>) -> Result<()> {
    let kernels = kernels(series)?;
    let binaries = if kernels.is_empty() { Vec::new() } else { binaries(SUITES, &["--workspace"])? };
    let machines = boot_all(&kernels, "the tests", |kernel| {
        let settings = format!("export BEELINE_BIN={}\n", quoted(&binary.to_string_lossy()));
        script(kernel, &binaries, &settings, selection)
    })?;
    for (kernel, machine) in kernels.iter().zip(machines) {
        note(&format!("{}: {} tests passed", kernel.release(), machine.passed));
    }
    Ok(())
}

/// The kernels of the series that can be had here; says which cannot, and why.
fn kernels(series: &[&str]) -> Result<Vec<Kernel>> {
    if !cfg!(target_arch = "x86_64") {
        note("skipped: the kernels in QEMU are those of x86_64");
        return Ok(Vec::new());
    }
    if !is_root() {
        note("skipped: the kernels in QEMU share this machine's root, which takes root to read");
        return Ok(Vec::new());
    }
    setup::ensure(Purpose::Vm)?;
    let cache = target_directory()?.join("vm");
    let mut kernels = Vec::new();
    for series in series {
        match Kernel::obtain(series, &cache)? {
            Some(kernel) => kernels.push(kernel),
            None => note(&format!("skipped: no kernel {series} in the archives of this machine")),
        }
    }
    Ok(kernels)
}

/// Boots a machine with each kernel, and returns what became of each.
fn boot_all(
    kernels: &[Kernel],
    what: &str,
    script: impl Fn(&Kernel) -> String + Sync,
) -> Result<Vec<Outcome>> {
    // A step without a machine would call it well done.
    if kernels.is_empty() {
        return Ok(Vec::new());
    }
    let releases: Vec<&str> = kernels.iter().map(Kernel::release).collect();
    step(&format!("{what} on {} with cgroup v2, emulated", releases.join(" and ")), |step| {
        // Side by side: a machine has one processor.
        std::thread::scope(|scope| {
            let run = |kernel| machine::boot(kernel, &script(kernel), step);
            let machines: Vec<_> = kernels.iter().map(|kernel| scope.spawn(move || run(kernel))).collect();
            let join = |(machine, release): (std::thread::ScopedJoinHandle<'_, Result<Outcome>>, &&str)| {
                machine.join().map_err(|_| anyhow!("the thread of {release} panicked"))?
            };
            machines.into_iter().zip(&releases).map(join).collect()
        })
    })
}

/// The executable of a suite, and the directory its tests run in.
struct Binary {
    directory: PathBuf,
    executable: PathBuf,
    core: &'static [&'static str],
}

/// Builds the tests of some packages, of the workspace as nextest does, and finds the suites' executables.
fn binaries(suites: &[Suite], packages: &[&str]) -> Result<Vec<Binary>> {
    let arguments = ["test", "--no-run", "--quiet", "--message-format=json-render-diagnostics"];
    let messages = Run::cargo().args(arguments).args(packages).dir(&root()).output_only()?;
    let find = |suite: &Suite| {
        find(&messages, suite)
            .with_context(|| format!("cargo names no test binary {} of {}", suite.target, suite.package))
    };
    suites.iter().map(find).collect()
}

/// The test binary that cargo's messages name.
fn find(messages: &str, suite: &Suite) -> Option<Binary> {
    let folder = suite.package.strip_prefix("beeline-").unwrap_or(suite.package);
    build::messages(messages).find_map(|message| {
        let directory = Path::new(message["manifest_path"].as_str()?).parent()?.to_path_buf();
        let is_it = message["target"]["kind"][0] == "test"
            && message["target"]["name"] == suite.target
            && directory.ends_with(folder);
        let executable = PathBuf::from(message["executable"].as_str()?);
        is_it.then_some(Binary { directory, executable, core: suite.core })
    })
}

/// What the machine's shell does once its root is there. `settings` are lines of its own for the environment.
fn script(kernel: &Kernel, binaries: &[Binary], settings: &str, selection: &Selection<'_>) -> String {
    let mut script = String::from(include_str!("vm/guest.sh"));
    script.push_str(&format!("modules {} {MODULES}\n", quoted(&kernel.directory().to_string_lossy())));
    script.push_str(settings);
    for binary in binaries {
        let filters: Vec<String> = match selection {
            Selection::Core => binary.core.iter().map(|name| quoted(name)).collect(),
            Selection::All => Vec::new(),
            Selection::Named(names) => names.iter().map(|name| quoted(name)).collect(),
        };
        script.push_str(&format!(
            "run {} {} {}\n",
            quoted(&binary.directory.to_string_lossy()),
            quoted(&binary.executable.to_string_lossy()),
            filters.join(" ")
        ));
    }
    script.push_str("finish\n");
    script
}

/// `text` as one word of a shell.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// What became of a machine.
struct Outcome {
    /// How many tests passed.
    passed: u64,
    /// All it said.
    console: String,
}

/// The number of tests that passed, from the console's text; an error with what went wrong.
fn judge(console: &str) -> Result<u64> {
    let passed = console
        .lines()
        .filter_map(|line| {
            line.trim().strip_prefix("test result: ok. ")?.split(' ').next()?.parse::<u64>().ok()
        })
        .sum();
    // A machine that ran nothing has proved nothing.
    if console.lines().any(|line| line.trim() == "beeline-vm: exit 0") && passed > 0 {
        return Ok(passed);
    }
    let failed: Vec<&str> = console.lines().filter(|line| line.trim_end().ends_with("... FAILED")).collect();
    if failed.is_empty() {
        bail!("the machine did not get through the tests");
    }
    bail!("{}", failed.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passed_tests_are_counted_over_all_suites() {
        let console = "test result: ok. 3 passed; 0 failed\ntest result: ok. 4 passed; 0 failed\nbeeline-vm: exit 0\r\n";
        assert_eq!(judge(console).unwrap(), 7);
    }

    #[test]
    fn a_failure_a_hang_and_an_empty_run_are_none_of_them_a_pass() {
        let failed = "test one ... FAILED\ntest result: FAILED. 0 passed; 1 failed\nbeeline-vm: exit 1\n";
        assert!(judge(failed).unwrap_err().to_string().contains("test one"));
        assert!(judge("test result: ok. 3 passed; 0 failed\n").is_err());
        assert!(judge("beeline-vm: exit 0\n").is_err());
    }

    #[test]
    fn a_suite_is_found_by_package_and_target() {
        let message = |folder: &str| {
            format!(
                r#"{{"manifest_path":"/r/{folder}/Cargo.toml","target":{{"kind":["test"],"name":"it"}},"executable":"/t/{folder}"}}"#
            )
        };
        let messages = format!("{}\n{}\n", message("image"), message("beeline"));
        let suite = |target| SUITES.iter().find(|suite| suite.target == target).unwrap();
        let it = find(&messages, suite("it")).unwrap();
        assert_eq!((it.executable, it.directory), ("/t/beeline".into(), "/r/beeline".into()));
        assert!(find(&messages, suite("datapath")).is_none());
    }
}
