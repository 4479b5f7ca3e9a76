//! Docker's own default profile is not here; these are its constructs, one by one.

use oci_spec::runtime::{Arch, LinuxSeccompAction as Action};

use super::*;

fn on(json: &str, capabilities: &[Capability], kernel: (u32, u32)) -> Result<Option<LinuxSeccomp>, String> {
    let capabilities = capabilities.iter().copied().collect();
    let host = Host { capabilities: &capabilities, kernel, native: Architecture::X86_64 };
    expand(json, host).map_err(|error| error.to_string())
}

fn names(json: &str, capabilities: &[Capability], kernel: (u32, u32)) -> Vec<String> {
    let profile = on(json, capabilities, kernel).unwrap().unwrap();
    profile.syscalls().iter().flatten().flat_map(|rule| rule.names().clone()).collect()
}

fn rule(body: &str) -> String {
    format!(
        r#"{{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{{"name": "read", "action": "SCMP_ACT_LOG"}}, {{{body}}}]}}"#
    )
}

#[test]
fn the_architectures_are_the_maps_for_this_one() {
    let profile = on(
        r#"{"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 38, "archMap": [
            {"architecture": "SCMP_ARCH_AARCH64", "subArchitectures": ["SCMP_ARCH_ARM"]},
            {"architecture": "SCMP_ARCH_X86_64", "subArchitectures": ["SCMP_ARCH_X86", "SCMP_ARCH_X32"]}],
            "syscalls": null}"#,
        &[],
        (6, 1),
    );
    let profile = profile.unwrap().unwrap();
    assert_eq!(
        profile.architectures().as_deref(),
        Some(&[Arch::ScmpArchX86_64, Arch::ScmpArchX86, Arch::ScmpArchX32][..])
    );
    assert_eq!((profile.default_action(), profile.default_errno_ret()), (Action::ScmpActErrno, Some(38)));
}

#[test]
fn a_rule_is_for_those_it_says() {
    let json = r#"{"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [
        {"names": ["everyone"], "action": "SCMP_ACT_ALLOW", "args": null, "comment": "", "includes": {}, "excludes": {}},
        {"names": ["admins"], "action": "SCMP_ACT_ALLOW", "includes": {"caps": ["CAP_SYS_ADMIN", "CAP_BPF"]}},
        {"names": ["others"], "action": "SCMP_ACT_ALLOW", "excludes": {"caps": ["CAP_SYS_ADMIN", "CAP_BPF"]}},
        {"names": ["amd64"], "action": "SCMP_ACT_ALLOW", "includes": {"arches": ["amd64", "x32"]}},
        {"names": ["arm64"], "action": "SCMP_ACT_ALLOW", "includes": {"arches": ["arm64"]}},
        {"names": ["foreign"], "action": "SCMP_ACT_ALLOW", "excludes": {"arches": ["amd64"]}},
        {"names": ["new"], "action": "SCMP_ACT_ALLOW", "includes": {"minKernel": "4.8"}},
        {"names": ["old"], "action": "SCMP_ACT_ALLOW", "excludes": {"minKernel": "4.8"}}]}"#;
    assert_eq!(names(json, &[], (6, 1)), ["everyone", "others", "amd64", "new"]);
    assert_eq!(names(json, &[], (4, 7)), ["everyone", "others", "amd64", "old"]);
    let one = [Capability::SysAdmin];
    assert_eq!(names(json, &one, (6, 1)), ["everyone", "amd64", "new"]);
    let both = [Capability::SysAdmin, Capability::Bpf];
    assert_eq!(names(json, &both, (6, 1)), ["everyone", "admins", "amd64", "new"]);
}

#[test]
fn arguments_and_error_numbers_are_taken_over() {
    let json = rule(
        r#""names": ["personality"], "action": "SCMP_ACT_ERRNO", "errnoRet": 13, "errno": "EACCES",
           "args": [{"index": 0, "value": 8, "valueTwo": 4, "op": "SCMP_CMP_MASKED_EQ"}]"#,
    );
    let profile = on(&json, &[], (6, 1)).unwrap().unwrap();
    let rule = &profile.syscalls().as_ref().unwrap()[1];
    assert_eq!((rule.action(), rule.errno_ret()), (Action::ScmpActErrno, Some(13)));
    let argument = &rule.args().as_ref().unwrap()[0];
    assert_eq!((argument.index(), argument.value(), argument.value_two()), (0, 8, Some(4)));
    assert_eq!(argument.op(), LinuxSeccompOperator::ScmpCmpMaskedEq);
}

#[test]
fn a_profile_that_says_nothing_is_none() {
    assert_eq!(on("{}", &[], (6, 1)), Ok(None));
}

#[test]
fn what_is_wrong_is_named_with_its_rule() {
    for (body, part) in [
        (
            r#""names": ["mount"], "action": "SCMP_ACT_DENY""#,
            r#"syscalls[1] (mount): unknown action "SCMP_ACT_DENY""#,
        ),
        (r#""names": ["mount"]"#, "syscalls[1] (mount): missing field `action`"),
        (
            r#""names": ["a", "b"], "name": "c", "action": "SCMP_ACT_LOG""#,
            "(a, b, c): both 'name' and 'names'",
        ),
        (r#""names": [], "action": "SCMP_ACT_LOG""#, "names no system call"),
        (r#""names": ["a"], "action": "SCMP_ACT_LOG", "arguments": []"#, "unknown field `arguments`"),
        (r#""names": ["a"], "action": "SCMP_ACT_ERRNO", "errno": "EPERM""#, "'errnoRet'"),
        (r#""names": ["a"], "action": "SCMP_ACT_ERRNO", "errnoRet": 5000"#, "5000 is no error number"),
        (
            r#""names": ["a"], "action": "SCMP_ACT_LOG", "args": [{"index": 6, "op": "SCMP_CMP_EQ"}]"#,
            "argument 6",
        ),
        (
            r#""names": ["a"], "action": "SCMP_ACT_LOG", "args": [{"index": 0, "op": "EQ"}]"#,
            r#"unknown op "EQ""#,
        ),
        (
            r#""names": ["a"], "action": "SCMP_ACT_LOG", "includes": {"minKernel": "4"}"#,
            r#"invalid kernel version: "4""#,
        ),
    ] {
        let error = on(&rule(body), &[], (6, 1)).unwrap_err();
        assert!(error.contains(part), "{body}: {error}");
    }
    for (json, part) in [
        ("nonsense", "Decoding seccomp profile failed"),
        (
            r#"{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"name": "mount", "action": "SCMP_ACT_NOTIFY"}]}"#,
            "SCMP_ACT_NOTIFY needs a listenerPath",
        ),
        (r#"{"syscalls": [{"name": "a", "action": "SCMP_ACT_LOG"}]}"#, "defaultAction is missing"),
        (r#"{"defaultAction": "ALLOW"}"#, r#"unknown defaultAction "ALLOW""#),
        (r#"{"defaultAction": "SCMP_ACT_LOG", "architectures": ["Z80"]}"#, r#"unknown architecture "Z80""#),
        (r#"{"defaultAction": "SCMP_ACT_LOG", "flags": ["FAST"]}"#, r#"unknown flag "FAST""#),
        (
            r#"{"defaultAction": "SCMP_ACT_LOG", "architectures": ["SCMP_ARCH_X86"], "archMap": [{"architecture": "SCMP_ARCH_X86"}]}"#,
            "use either 'architectures' or 'archMap'",
        ),
    ] {
        let error = on(json, &[], (6, 1)).unwrap_err();
        assert!(error.contains(part), "{json}: {error}");
    }
}
