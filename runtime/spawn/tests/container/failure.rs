//! Bad input and failures: each has its message and its exit code, and leaves nothing.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use beeline_spawn::container::{Created, Error};
use oci_spec::runtime::{MountBuilder, PosixRlimitBuilder, PosixRlimitType};

use crate::sandbox::{Sandbox, bind, finish, is_root, tell, write};

fn start_error(sandbox: &mut Sandbox, args: &[&str]) -> Error {
    let (created, output) = sandbox.create(args).unwrap();
    finish(created, output).unwrap_err()
}

fn create_error(sandbox: &mut Sandbox) -> String {
    tell(&sandbox.create(&["true"]).map(drop).unwrap_err())
}

#[test]
fn a_missing_command_is_127_and_one_that_cannot_be_executed_is_126() {
    if !is_root() {
        return;
    }
    let mut sandbox = Sandbox::new();
    write(&sandbox.image("bin/data"), "#!/bin/sh\n");
    write(&sandbox.image("bin/text"), "no program\n");
    fs::set_permissions(sandbox.image("bin/text"), fs::Permissions::from_mode(0o755)).unwrap();
    let cases = [
        ("nothing", 127),
        ("/bin/nothing", 127),
        ("/bin/sh/x", 127),
        ("data", 126),
        ("/bin", 126),
        ("text", 126),
    ];
    for (command, code) in cases {
        let error = start_error(&mut sandbox, &[command]);
        assert_eq!(error.exit_code(), code, "{command}: {}", tell(&error));
        assert!(matches!(&error, Error::Exec { path, .. } if path == command), "{error:?}");
    }
    let error = start_error(&mut sandbox, &["nothing"]);
    assert_eq!(tell(&error), "exec \"nothing\": No such file or directory (os error 2)");
    assert!(sandbox.cgroup.processes().unwrap().is_empty());
}

#[test]
fn an_error_names_the_operation_and_its_object() {
    if !is_root() {
        return;
    }
    let mut sandbox = Sandbox::new();
    let mount = MountBuilder::default()
        .destination("/x")
        .typ("tmpfs")
        .source("tmpfs")
        .options(vec!["size=banana".to_owned()])
        .build()
        .unwrap();
    sandbox.add_mount(mount);
    let error = create_error(&mut sandbox);
    assert!(error.starts_with("mount tmpfs on /x (tmpfs: Bad value for 'size')"), "{error}");

    let mut sandbox = Sandbox::new();
    sandbox.add_mount(bind(Path::new("/nowhere/at/all"), "/x", &["rbind"]));
    assert_eq!(create_error(&mut sandbox), "bind /nowhere/at/all: No such file or directory (os error 2)");

    let mut sandbox = Sandbox::new();
    sandbox.layers.push(sandbox.path("missing"));
    let error = create_error(&mut sandbox);
    assert!(error.starts_with("mount overlay on ") && error.contains("missing"), "{error}");

    let mut sandbox = Sandbox::new();
    sandbox.process(|process| {
        let limit = PosixRlimitBuilder::default().typ(PosixRlimitType::RlimitNofile).soft(10_u64).hard(5_u64);
        let limit = limit.build().unwrap();
        process.set_rlimits(Some(vec![limit]));
    });
    assert!(create_error(&mut sandbox).starts_with("set RLIMIT_NOFILE to 10:5: "));
}

#[test]
fn what_is_not_supported_is_refused_by_name() {
    if !is_root() {
        return;
    }
    let mut sandbox = Sandbox::new();
    sandbox.process(|process| {
        process.set_command_line(Some("true".into()));
    });
    assert_eq!(create_error(&mut sandbox), "config.json: process.commandLine is not supported");
}

#[test]
fn a_created_container_that_is_dropped_is_gone() {
    if !is_root() {
        return;
    }
    let mut sandbox = Sandbox::new();
    let (created, _output): (Created, _) = sandbox.create(&["sleep", "100"]).unwrap();
    let pid = created.pid();
    drop(created);
    assert!(rustix::process::test_kill_process(pid).is_err());
    assert!(sandbox.cgroup.processes().unwrap().is_empty());
}
