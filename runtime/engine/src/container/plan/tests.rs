use beeline_spawn::seccomp::default_profile;
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
    let filter = Filter { profile: default_profile(&HashSet::new()), program: None };
    let shares = Shares {
        pid: Some("/proc/7/fd/8".into()),
        ipc: Some("/proc/7/fd/9".into()),
        user: None,
        shm: (config.host.ipc_mode == "shareable").then(|| "/run/shm".into()),
    };
    let input = Input {
        id: &id,
        config: &config,
        paths: &paths,
        cgroup: "/beeline/t/c",
        mounts: &mounts,
        volumes: Path::new("/volumes"),
        shares: &shares,
        filter: Some(&filter).filter(|_| !config.host.privileged),
    };
    spec(input).unwrap()
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
    assert_eq!(process.no_new_privileges(), None);
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

fn shared_path(spec: &Spec, kind: LinuxNamespaceType) -> Option<PathBuf> {
    let namespaces = spec.linux().as_ref().unwrap().namespaces().as_ref().unwrap();
    namespaces.iter().find(|namespace| namespace.typ() == kind).unwrap().path().clone()
}

fn source(spec: &Spec, path: &str) -> Option<PathBuf> {
    let mounts = spec.mounts().as_ref().unwrap();
    mounts.iter().find(|mount| mount.destination().to_str() == Some(path))?.source().clone()
}

#[test]
fn other_containers_namespaces_are_joined_by_their_paths() {
    let spec = plan(|config| {
        config.host.pid_mode = "container:x".into();
        config.host.ipc_mode = "container:x".into();
    });
    assert_eq!(shared_path(&spec, LinuxNamespaceType::Pid), Some("/proc/7/fd/8".into()));
    assert_eq!(shared_path(&spec, LinuxNamespaceType::Ipc), Some("/proc/7/fd/9".into()));
    let own = plan(|_| {});
    assert_eq!(shared_path(&own, LinuxNamespaceType::Pid), None);
}

#[test]
fn shared_memory_is_ones_own_shared_or_none() {
    let with = |mode: &str| plan(|config| config.host.ipc_mode = mode.into());
    assert_eq!(source(&with(""), "/dev/shm"), Some("shm".into()));
    assert_eq!(source(&with("shareable"), "/dev/shm"), Some("/run/shm".into()));
    assert_eq!(source(&with("host"), "/dev/shm"), Some("/dev/shm".into()));
    assert_eq!(source(&with("none"), "/dev/shm"), None);
    assert_eq!(source(&with("none"), "/dev/mqueue"), None);
}

#[test]
fn unprivileged_users_may_ping_and_have_low_ports_in_a_network_of_their_own() {
    let sysctl = |change: fn(&mut ContainerConfig)| plan(change).linux().as_ref().unwrap().sysctl().clone();
    let own = sysctl(|config| {
        config.host.sysctls = [("net.ipv4.ip_unprivileged_port_start".to_owned(), "80".to_owned())].into();
    });
    let own = own.unwrap();
    assert_eq!(own["net.ipv4.ping_group_range"], "0 2147483647");
    assert_eq!(own["net.ipv4.ip_unprivileged_port_start"], "80");
    assert_eq!(sysctl(|config| config.host.network_mode = "host".into()), None);
    assert_eq!(sysctl(|config| config.host.network_mode = "container:x".into()), None);
}

#[test]
fn groups_and_notes_are_the_shims() {
    let spec = plan(|config| {
        config.host.group_add = vec!["audio".into(), "7".into()];
        config.host.annotations =
            [("a".to_owned(), "b".to_owned()), ("beeline.seccomp-program".to_owned(), "/x".to_owned())]
                .into();
    });
    let annotations = spec.annotations().clone().unwrap();
    assert_eq!(annotations.len(), 2);
    assert_eq!(annotations["beeline.additional-groups"], "audio,7");
}

#[test]
fn writable_groups_do_not_make_the_rest_writable() {
    let spec = plan(|config| config.host.security_opt = vec!["writable-cgroups".into()]);
    let options = |path: &str| {
        let mounts = spec.mounts().as_ref().unwrap();
        let mount = mounts.iter().find(|mount| mount.destination().to_str() == Some(path)).unwrap();
        mount.options().clone().unwrap()
    };
    assert!(options("/sys/fs/cgroup").contains(&"rw".to_owned()));
    assert!(options("/sys").contains(&"ro".to_owned()));
}

#[test]
fn the_privileged_see_and_may_everything() {
    let spec = plan(|config| config.host.privileged = true);
    let linux = spec.linux().as_ref().unwrap();
    assert!(linux.seccomp().is_none());
    assert_eq!(linux.masked_paths(), &None);
    let devices = linux.devices().as_ref().unwrap();
    assert!(devices.iter().any(|device| device.path().to_str() == Some("/dev/null")));
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
    assert_eq!(at("/etc/hosts").source().as_deref(), Some(Path::new("/srv/hosts")));
    assert!(at("/etc/hosts").options().as_ref().unwrap().contains(&"rro".to_owned()));
    assert!(at("/dev/shm").options().as_ref().unwrap().contains(&"size=1m".to_owned()));
}
