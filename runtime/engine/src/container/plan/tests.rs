use oci_spec::runtime::{Capability, LinuxNamespaceType};

use super::*;
use crate::container::config::Ulimit;

fn plan(change: impl FnOnce(&mut ContainerConfig)) -> Spec {
    let mut config = ContainerConfig { cmd: Some(vec!["true".into()]), ..ContainerConfig::default() };
    change(&mut config);
    let id = ContainerId::try_from("ab".repeat(32)).unwrap();
    let paths = ContainerPaths {
        directory: "/d".into(),
        hosts: "/d/hosts".into(),
        hostname: "/d/hostname".into(),
        resolv_conf: "/d/resolv.conf".into(),
        log: PathBuf::new(),
        layers: Vec::new(),
        upper: "/d/upper".into(),
        work: "/d/work".into(),
    };
    let mounts = crate::container::mounts::parse(&config).unwrap();
    let (cgroup, volumes) = ("/beeline/t/c", Path::new("/volumes"));
    spec(Input { id: &id, config: &config, paths: &paths, cgroup, mounts: &mounts, volumes }).unwrap()
}

fn env(spec: &Spec) -> Vec<String> {
    spec.process().as_ref().unwrap().env().clone().unwrap()
}

#[test]
fn a_plain_container_is_confined_as_dockers_are() {
    let spec = plan(|_| {});
    let linux = spec.linux().as_ref().unwrap();
    assert_eq!(linux.namespaces().as_ref().unwrap().len(), 6);
    assert!(linux.seccomp().is_some());
    assert!(linux.masked_paths().as_ref().unwrap().contains(&"/proc/kcore".to_owned()));
    assert_eq!(spec.hostname().as_deref(), Some("abababababab"));
    let process = spec.process().as_ref().unwrap();
    let capabilities = process.capabilities().as_ref().unwrap();
    assert!(!capabilities.bounding().as_ref().unwrap().contains(&Capability::SysAdmin));
    assert_eq!(process.cwd(), &PathBuf::from("/"));
    assert!(process.no_new_privileges() == Some(false));
    let files: Vec<_> =
        spec.mounts().iter().flatten().filter(|mount| mount.typ().as_deref() == Some("bind")).collect();
    assert_eq!(files.len(), 3);
}

#[test]
fn variables_replace_each_other_in_place() {
    let spec = plan(|config| {
        config.env = ["A=1", "PATH=/x", "A=2", "B=", "HOSTNAME", "C"].map(Into::into).into();
        config.tty = true;
    });
    assert_eq!(env(&spec), ["PATH=/x", "TERM=xterm", "A=2", "B="]);
}

#[test]
fn limits_become_the_kernels_numbers() {
    let spec = plan(|config| {
        config.host.memory = 64 << 20;
        config.host.nano_cpus = 1_500_000_000;
        config.host.cpu_shares = 512;
        config.host.pids_limit = Some(20);
        config.host.ulimits = vec![Ulimit { name: "nofile".into(), soft: 77, hard: -1 }];
    });
    let resources = spec.linux().as_ref().unwrap().resources().clone().unwrap();
    let memory = resources.memory().unwrap();
    assert_eq!((memory.limit(), memory.swap()), (Some(64 << 20), Some(128 << 20)));
    let cpu = resources.cpu().clone().unwrap();
    assert_eq!((cpu.quota(), cpu.period(), cpu.shares()), (Some(150_000), Some(100_000), Some(512)));
    assert_eq!(resources.pids().unwrap().limit(), 20);
    let limits = spec.process().as_ref().unwrap().rlimits().clone().unwrap();
    assert_eq!(limits.len(), 1);
    assert_eq!((limits[0].soft(), limits[0].hard()), (77, u64::MAX));
}

#[test]
fn what_is_shared_with_the_host_has_no_namespace() {
    let spec = plan(|config| {
        config.host.network_mode = "host".into();
        config.host.pid_mode = "host".into();
        config.host.uts_mode = "host".into();
    });
    let namespaces = spec.linux().as_ref().unwrap().namespaces().clone().unwrap();
    let kinds: Vec<_> = namespaces.iter().map(oci_spec::runtime::LinuxNamespace::typ).collect();
    assert_eq!(kinds, [LinuxNamespaceType::Mount, LinuxNamespaceType::Ipc, LinuxNamespaceType::Cgroup]);
    assert_eq!(spec.hostname(), &None);
}

#[test]
fn the_privileged_see_and_may_everything() {
    let spec = plan(|config| config.host.privileged = true);
    let linux = spec.linux().as_ref().unwrap();
    assert!(linux.seccomp().is_none());
    assert_eq!(linux.masked_paths(), &None);
    let capabilities = spec.process().as_ref().unwrap().capabilities().clone().unwrap();
    assert_eq!(capabilities.effective().as_ref().unwrap().len(), 41);
}

#[test]
fn a_users_mount_replaces_the_engines() {
    let spec = plan(|config| {
        config.host.binds = vec!["/srv/hosts:/etc/hosts:ro".into()];
        config.host.tmpfs = [("/dev/shm".to_owned(), "size=1m".to_owned())].into();
    });
    let mounts = spec.mounts().clone().unwrap();
    let at = |path: &str| {
        let found: Vec<_> =
            mounts.iter().filter(|mount| mount.destination().to_str() == Some(path)).collect();
        assert_eq!(found.len(), 1, "{path}");
        found[0].clone()
    };
    assert_eq!(at("/etc/hosts").source().as_deref(), Some(std::path::Path::new("/srv/hosts")));
    assert!(at("/etc/hosts").options().as_ref().unwrap().contains(&"ro".to_owned()));
    assert!(at("/dev/shm").options().as_ref().unwrap().contains(&"size=1m".to_owned()));
}
