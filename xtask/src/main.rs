//! Beeline's own tasks. `cargo xtask` lists them.

#![forbid(unsafe_code)]

mod bench;
mod bpf;
mod build;
mod demo;
mod elf;
mod interrupt;
mod load;
mod progress;
mod run;
mod setup;
mod stage;
mod test;
mod tidy;
mod vm;
mod workspace;

use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

/// The tasks of this repository; each installs what it needs and the machine lacks.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", disable_help_subcommand = true, version)]
struct Arguments {
    #[command(subcommand)]
    task: Option<Task>,
}

#[derive(Debug, Subcommand)]
enum Task {
    Setup(setup::Arguments),
    Bpf(bpf::Arguments),
    Build(build::Arguments),
    Test(test::Arguments),
    Demo(demo::Arguments),
    Vm(vm::Arguments),
    Bench(bench::Arguments),
    Tidy(tidy::Arguments),
    #[command(hide = true)]
    Load(load::Arguments),
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let Some(task) = arguments.task else { return list() };
    let outcome = interrupt::install().and_then(|()| match task {
        Task::Setup(arguments) => arguments.run(),
        Task::Bpf(arguments) => arguments.run(),
        Task::Build(arguments) => arguments.run(),
        Task::Test(arguments) => arguments.run(),
        Task::Demo(arguments) => arguments.run(),
        Task::Vm(arguments) => arguments.run(),
        Task::Bench(arguments) => arguments.run(),
        Task::Load(arguments) => arguments.run(),
        Task::Tidy(arguments) => arguments.run(),
    });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            progress::error(&error);
            ExitCode::FAILURE
        }
    }
}

fn list() -> ExitCode {
    match Arguments::command().print_help() {
        Ok(()) => ExitCode::SUCCESS,
        // Nobody reads the list any more.
        Err(_) => ExitCode::FAILURE,
    }
}
