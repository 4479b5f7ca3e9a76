//! From flags to the API's create request.

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use beeline_wire::container::config::Config;
use beeline_wire::container::create::{CreateRequest, NetworkingConfig};
use beeline_wire::container::host_config::{HostConfig, LogConfig, Resources, Ulimit};
use beeline_wire::go::{Empty, StrSlice};

use super::devices;
use super::flags::Run;
use super::health;
use crate::network::NetworkFlag;
use crate::{mount, publish};

/// The request that `run` asks for.
///
/// # Errors
/// When a flag's value has no meaning, or a file it names cannot be read.
pub(super) fn build(run: &Run) -> Result<CreateRequest> {
    let networks = networks(run)?;
    let mut host_config = host_config(run)?;
    run.isolation.apply(&mut host_config)?;
    if let Some(first) = networks.first() {
        host_config.network_mode.clone_from(&first.name);
    }
    let endpoints_config =
        networks.into_iter().map(|flag| (flag.name.clone(), Some(flag.settings()))).collect();
    let networking_config = NetworkingConfig { endpoints_config };
    Ok(CreateRequest { config: config(run)?, host_config, networking_config })
}

/// The networks to be on, the first with what the flags beside `--network` say of it.
fn networks(run: &Run) -> Result<Vec<NetworkFlag>> {
    let mut networks = run.network.clone();
    let extra =
        run.ip.is_some() || run.ip6.is_some() || run.mac_address.is_some() || !run.network_alias.is_empty();
    if networks.is_empty() && extra {
        networks.push(NetworkFlag { name: "default".to_owned(), ..NetworkFlag::default() });
    }
    let Some(first) = networks.first_mut() else { return Ok(networks) };
    for (flag, wish, place) in [
        ("--ip", &run.ip, &mut first.ip),
        ("--ip6", &run.ip6, &mut first.ip6),
        ("--mac-address", &run.mac_address, &mut first.mac_address),
    ] {
        match wish {
            Some(wish) if place.is_empty() => place.clone_from(wish),
            Some(_) => bail!("{flag} is given twice: leave out one of it and the one of --network"),
            None => {}
        }
    }
    first.aliases.extend(run.network_alias.iter().cloned());
    Ok(networks)
}

fn config(run: &Run) -> Result<Config> {
    let attached = !run.detach;
    let (published, _) = publish::bindings(&run.publish);
    let (mut exposed, _) = publish::bindings(&run.expose);
    exposed.extend(published);
    let nameless = run.volume.iter().filter(|text| !text.contains(':'));
    for target in nameless.clone() {
        mount::bind(target)?;
    }
    let volumes: BTreeMap<_, _> = nameless.map(|target| (target.clone(), Empty {})).collect();
    Ok(Config {
        volumes: Some(volumes).filter(|volumes| !volumes.is_empty()),
        hostname: run.hostname.clone().unwrap_or_default(),
        domainname: run.isolation.domainname(),
        user: run.user.clone().unwrap_or_default(),
        attach_stdin: attached && run.interactive,
        attach_stdout: attached,
        attach_stderr: attached,
        exposed_ports: exposed,
        tty: run.tty,
        open_stdin: run.interactive,
        stdin_once: attached && run.interactive,
        env: Some(environment(&run.env_file, &run.env)?),
        healthcheck: health::check(run)?,
        cmd: (!run.command().is_empty()).then(|| StrSlice(run.command().to_vec())),
        image: run.image().to_owned(),
        working_dir: run.workdir.clone().unwrap_or_default(),
        entrypoint: run.entrypoint.clone().map(|program| StrSlice(vec![program])),
        labels: Some(pairs(&run.label)),
        stop_signal: run.stop_signal.clone().unwrap_or_default(),
        stop_timeout: run.stop_timeout,
        ..Config::default()
    })
}

fn host_config(run: &Run) -> Result<HostConfig> {
    let (_, port_bindings) = publish::bindings(&run.publish);
    let tmpfs = run.tmpfs.iter().map(|text| {
        let (target, options) = text.split_once(':').unwrap_or((text, ""));
        (target.to_owned(), options.to_owned())
    });
    let named = run.volume.iter().filter(|text| text.contains(':'));
    let binds = named.map(|text| mount::bind(text)).collect::<Result<_>>()?;
    Ok(HostConfig {
        binds: Some(binds),
        mounts: run.mount.iter().map(|flag| flag.0.clone()).collect(),
        volumes_from: Some(run.volumes_from.clone()).filter(|list| !list.is_empty()),
        volume_driver: run.volume_driver.clone().unwrap_or_default(),
        tmpfs: tmpfs.collect(),
        network_mode: "default".to_owned(),
        links: Some(run.link.clone()).filter(|links| !links.is_empty()),
        port_bindings,
        publish_all_ports: run.publish_all,
        log_config: LogConfig {
            kind: run.log_driver.clone().unwrap_or_default(),
            config: pairs(&run.log_opt),
        },
        init: run.init.then_some(true),
        auto_remove: run.rm,
        restart_policy: run.restart.clone().unwrap_or_default(),
        cap_add: Some(StrSlice(run.cap_add.clone())),
        cap_drop: Some(StrSlice(run.cap_drop.clone())),
        dns: Some(run.dns.clone()),
        extra_hosts: Some(run.add_host.clone()),
        group_add: Some(run.group_add.clone()),
        privileged: run.privileged,
        readonly_rootfs: run.read_only,
        sysctls: pairs(&run.sysctl),
        resources: Resources {
            memory: run.memory.unwrap_or(0),
            memory_swap: run.memory_swap.unwrap_or(0),
            nano_cpus: run.cpus.unwrap_or(0),
            cpu_shares: run.cpu_shares.unwrap_or(0),
            pids_limit: run.pids_limit,
            ulimits: Some(run.ulimit.iter().map(|text| ulimit(text)).collect::<Result<_>>()?),
            ..devices::resources(run)?
        },
        ..HostConfig::default()
    })
}

/// Files first, then flags; a bare name takes the client's own value and is left out if there is none.
pub(crate) fn environment(files: &[PathBuf], flags: &[String]) -> Result<Vec<String>> {
    let mut variables = Vec::new();
    for file in files {
        let text = fs::read_to_string(file).with_context(|| format!("read {}", file.display()))?;
        let lines =
            text.lines().map(str::trim_start).filter(|line| !line.is_empty() && !line.starts_with('#'));
        variables.extend(lines.map(str::to_owned));
    }
    variables.extend(flags.iter().cloned());
    let own = |text: String| {
        if text.contains('=') {
            return Some(text);
        }
        env::var(&text).ok().map(|value| format!("{text}={value}"))
    };
    if let Some(wrong) = variables.iter().find(|text| text.is_empty() || text.starts_with('=')) {
        bail!("invalid variable {wrong:?}: use NAME=VALUE or NAME");
    }
    Ok(variables.into_iter().filter_map(own).collect())
}

fn ulimit(text: &str) -> Result<Ulimit> {
    let parse = || {
        let (name, limits) = text.split_once('=')?;
        let (soft, hard) = limits.split_once(':').unwrap_or((limits, limits));
        Some(Ulimit { name: name.to_owned(), soft: soft.parse().ok()?, hard: hard.parse().ok()? })
    };
    parse()
        .with_context(|| format!("invalid ulimit {text:?}: use NAME=SOFT[:HARD], such as nofile=1024:2048"))
}

/// `NAME=VALUE` texts as a map; a name alone has an empty value.
pub(crate) fn pairs(texts: &[String]) -> BTreeMap<String, String> {
    let pair = |text: &String| {
        let (name, value) = text.split_once('=').unwrap_or((text, ""));
        (name.to_owned(), value.to_owned())
    };
    texts.iter().map(pair).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        run: Run,
    }

    fn request(line: &str) -> CreateRequest {
        let line = format!("run {line}");
        build(&Line::try_parse_from(line.split(' ')).unwrap().run).unwrap()
    }

    #[test]
    fn flags_end_at_the_image_and_the_rest_is_the_command() {
        let request = request("-d --name web -m 64m --cpus 0.5 image sh -c --rm");
        assert_eq!(request.config.image, "image");
        assert_eq!(request.config.cmd.unwrap().0, ["sh", "-c", "--rm"]);
        assert!(!request.host_config.auto_remove);
        assert_eq!(request.host_config.resources.memory, 64 << 20);
        assert_eq!(request.host_config.resources.nano_cpus, 500_000_000);
        assert!(!request.config.attach_stdout);
    }

    #[test]
    fn interactive_closes_input_with_the_client() {
        let request = request("-i image");
        assert!(request.config.open_stdin && request.config.stdin_once && request.config.attach_stdin);
        assert_eq!(request.config.cmd, None);
    }

    #[test]
    fn wishes_beside_the_networks_are_for_the_first() {
        let request = request(
            "--network web --network name=store,ip=10.8.0.8 --ip 10.9.0.9 --network-alias db --link a:b image",
        );
        assert_eq!(request.host_config.network_mode, "web");
        let endpoints = request.networking_config.endpoints_config;
        let web = endpoints["web"].as_ref().unwrap();
        assert_eq!(web.ipam_config.as_ref().unwrap().ipv4_address, "10.9.0.9");
        assert_eq!(web.aliases.as_deref(), Some(&["db".to_owned()][..]));
        // The daemon makes names of that network of them.
        assert_eq!(request.host_config.links.unwrap(), ["a:b"]);
        assert_eq!(
            endpoints["store"].as_ref().unwrap().ipam_config.as_ref().unwrap().ipv4_address,
            "10.8.0.8"
        );
    }

    #[test]
    fn without_a_network_it_is_the_default_one() {
        let request = request("--link db image");
        assert_eq!(request.host_config.network_mode, "default");
        assert!(request.networking_config.endpoints_config.is_empty());
        assert_eq!(request.host_config.links.unwrap(), ["db"]);
    }

    #[test]
    fn limits_and_variables_are_checked() {
        assert_eq!(ulimit("nofile=5").unwrap(), Ulimit { name: "nofile".into(), hard: 5, soft: 5 });
        assert!(ulimit("nofile").is_err());
        assert_eq!(request("-e A=b=c image").config.env.unwrap(), ["A=b=c"]);
    }
}
