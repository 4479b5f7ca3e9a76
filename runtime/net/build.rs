//! Embeds the BPF object: the prebuilt one if it is of the present sources, else one built now.

#![allow(clippy::print_stdout, reason = "a build script talks to cargo on standard output")]

use std::{env, error::Error, path::PathBuf};

fn main() -> Result<(), Box<dyn Error>> {
    let root = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?).join("../..").canonicalize()?;
    let out_dir = PathBuf::from(env::var("OUT_DIR")?);
    for input in beeline_object::INPUTS.into_iter().chain(["ebpf/prebuilt"]) {
        println!("cargo::rerun-if-changed={}", root.join(input).display());
    }
    match beeline_object::embedded(&root, &out_dir) {
        Ok(object) => {
            println!("cargo::rustc-env=BEELINE_BPF_OBJECT={}", object.path.display());
            println!("cargo::rustc-env=BEELINE_BPF_DIGEST={}", object.sha256);
        }
        Err(error) => {
            let mut message = error.to_string();
            let mut source = error.source();
            while let Some(error) = source {
                message = format!("{message}: {error}");
                source = error.source();
            }
            for line in message.lines() {
                println!("cargo::error={line}");
            }
        }
    }
    Ok(())
}
