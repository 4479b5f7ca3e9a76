use rstest::rstest;

use super::*;
use crate::container::config::MountRequest;

fn binds(binds: &[&str]) -> Result<Vec<UserMount>, Error> {
    let mut config = ContainerConfig::default();
    config.host.binds = binds.iter().map(|&bind| bind.into()).collect();
    parse(&config)
}

fn mount(change: impl FnOnce(&mut MountRequest)) -> Result<UserMount, Error> {
    let mut request = MountRequest { kind: "bind".into(), target: "/x".into(), ..MountRequest::default() };
    change(&mut request);
    request::parse(&request)
}

#[test]
fn a_bind_mount_is_read() {
    let mounts = binds(&["/srv/./a/../b:/data:ro,rslave"]).unwrap();
    let kind = MountKind::Bind {
        source: "/srv/b".into(),
        propagation: "rslave".into(),
        recursive: true,
        writable_below: false,
        create: true,
    };
    let mode = "ro,rslave".into();
    assert_eq!(mounts, [UserMount { destination: "/data".into(), kind, writable: false, mode }]);
}

#[test]
fn a_source_that_is_no_path_is_a_volume() {
    let mounts = binds(&["data:/b:ro,nocopy", "/only"]).unwrap();
    let MountKind::Volume { name, anonymous, copy, .. } = &mounts[0].kind else { panic!("{mounts:?}") };
    assert_eq!((name.as_str(), *anonymous, *copy, mounts[0].writable), ("data", false, false, false));
    let MountKind::Volume { anonymous, copy, .. } = &mounts[1].kind else { panic!("{mounts:?}") };
    assert!(anonymous & copy);
}

#[test]
fn a_mount_below_another_comes_after_it() {
    let order: Vec<_> = binds(&["/x:/a/b/c", "/x:/a", "/x:/a/b"]).unwrap();
    let order: Vec<_> = order.iter().map(|mount| mount.destination.to_str().unwrap()).collect();
    assert_eq!(order, ["/a", "/a/b", "/a/b/c"]);
}

#[rstest]
#[case("a", "mount path must be absolute")]
#[case("/a:/b:ro:x", "invalid volume specification")]
#[case(":/b", "invalid volume specification")]
#[case("/a:b", "mount path must be absolute")]
#[case("/a:/", "destination can't be '/'")]
#[case("/a:/x/..", "destination can't be '/'")]
#[case("/a:/b:sideways", "invalid mode: sideways")]
#[case("/a:/b:ro,rw", "invalid mode: ro,rw")]
#[case("/a:/b:rslave,shared", "invalid mode: rslave,shared")]
#[case("data:/b:rslave", "invalid mode: rslave")]
fn a_bad_mount_is_refused(#[case] bind: &str, #[case] text: &str) {
    let error = binds(&[bind]).unwrap_err().to_string();
    assert!(error.contains(text), "{error}");
}

#[test]
fn one_destination_is_mounted_once() {
    let error = binds(&["/a:/x", "b:/x/"]).unwrap_err().to_string();
    assert_eq!(error, "Duplicate mount point: /x");
}

#[rstest]
#[case(|m: &mut MountRequest| m.target = String::new(), "field Target must not be empty")]
#[case(|_: &mut MountRequest| {}, "field Source must not be empty")]
#[case(|m: &mut MountRequest| m.source = "x".into(), "mount path must be absolute")]
#[case(|m: &mut MountRequest| m.source = "/none/such".into(), "bind source path does not exist: /none/such")]
#[case(|m: &mut MountRequest| { m.source = "/".into(); m.propagation = "up".into() }, "invalid propagation: up")]
#[case(|m: &mut MountRequest| { m.source = "/".into(); m.read_only_force_recursive = true }, "need ReadOnly")]
#[case(|m: &mut MountRequest| m.kind = "image".into(), "mounts of type \"image\" are not supported")]
#[case(|m: &mut MountRequest| { m.kind = "volume".into(); m.source = "v1".into(); m.subpath = "../x".into() }, "relative path")]
#[case(|m: &mut MountRequest| { m.kind = "volume".into(); m.subpath = "x".into() }, "anonymous volumes")]
#[case(|m: &mut MountRequest| { m.kind = "tmpfs".into(); m.source = "x".into() }, "field Source must not be specified")]
#[case(|m: &mut MountRequest| { m.kind = "tmpfs".into(); m.tmpfs_options = vec![vec!["fast".into()]] }, "invalid tmpfs option")]
fn a_bad_mount_in_the_long_form_is_named(#[case] change: fn(&mut MountRequest), #[case] text: &str) {
    let error = mount(change).unwrap_err().to_string();
    assert!(error.contains(text), "{error}");
}

#[test]
fn options_of_the_long_form_are_read() {
    let kind = mount(|m| {
        m.source = "/".into();
        (m.read_only, m.read_only_non_recursive) = (true, true);
    });
    assert!(matches!(kind.unwrap().kind, MountKind::Bind { writable_below: true, recursive: true, .. }));
    let kind = mount(|m| {
        m.kind = "volume".into();
        (m.source, m.subpath, m.no_copy) = ("data".into(), "./a//b".into(), true);
    });
    let MountKind::Volume { subpath, copy: false, .. } = kind.unwrap().kind else { panic!() };
    assert_eq!(subpath, Path::new("a/b"));
    let kind = mount(|m| {
        m.kind = "tmpfs".into();
        (m.tmpfs_size, m.tmpfs_mode, m.tmpfs_options) =
            (4096, 0o1770, vec![vec!["exec".into()], vec!["uid".into(), "7".into()]]);
    });
    let expected = ["noexec", "nosuid", "nodev", "size=4096", "mode=1770", "exec", "uid=7"];
    assert_eq!(kind.unwrap().kind, MountKind::Tmpfs(expected.map(Into::into).into()));
}

#[test]
fn own_mounts_hide_inherited_ones_and_those_the_images_volumes() {
    let mut config = ContainerConfig::default();
    config.host.binds = vec!["/own:/a".into()];
    config.volumes = ["/a".into(), "/b".into(), "/c".into()].into();
    let inherited = binds(&["other:/a", "other:/b"]).unwrap();
    let mounts = settle(&config, inherited).unwrap();
    let kinds: Vec<_> = mounts.iter().map(|mount| mount.volume()).collect();
    assert_eq!(kinds, [None, Some("other"), Some("")]);
}
