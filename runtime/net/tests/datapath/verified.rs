//! How much work the verifier has with the programs, compared with what is recorded in ebpf/VERIFIED.

use std::path::Path;

use beeline_object::{Counts, Series, Verified};

use crate::topology::{Topology, is_root};

/// Set by `cargo xtask bpf --record`, which reads what is printed then.
const RECORD: &str = "BEELINE_RECORD";

#[test]
fn no_program_is_over_a_tenth_more_work_for_the_verifier_than_recorded() {
    if !is_root() {
        return;
    }
    let release = nix::sys::utsname::uname().expect("uname");
    let series: Series = release.release().to_string_lossy().parse().expect("a kernel's release");
    let mut topology = Topology::new(0);
    topology.open_to_watch();
    let programs = topology.datapath().programs().expect("programs");
    if std::env::var_os(RECORD).is_some() {
        for program in programs {
            println!("verified: {series} {} {}", program.name, program.verified_instructions);
        }
        return;
    }
    let counts: Counts = programs
        .into_iter()
        .map(|program| (program.name.to_owned(), program.verified_instructions))
        .collect();
    assert!(counts.values().all(|count| *count > 0), "every program was verified: {counts:?}");
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    match Verified::read(&root).expect("the record").objections(series, &counts) {
        None => println!("not compared: no kernel {series} is recorded; `cargo xtask bpf --record` does"),
        Some(objections) => assert!(
            objections.is_empty(),
            "on Linux {series}:\n{}\nWhere this is meant, run `cargo xtask bpf --record` and commit ebpf/VERIFIED.",
            objections.join("\n")
        ),
    }
}
