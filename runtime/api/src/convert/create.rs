//! A creation request to what the engine is asked for. Values are passed on as they are: the engine judges them.

use beeline_engine::{ContainerConfig, CreateContainer, Healthcheck};
use beeline_wire::container::config::{Config, HealthConfig};
use beeline_wire::container::create::CreateRequest;

use super::{host_config, network, unsupported};
use crate::http::error::ApiError;

/// The engine's request, and warnings for what is left out of it.
pub(crate) fn create(
    request: CreateRequest,
    name: Option<String>,
    platform: Option<String>,
) -> Result<(CreateContainer, Vec<String>), ApiError> {
    let CreateRequest { config, host_config, networking_config } = request;
    let warnings = unsupported::check(&host_config)?;
    let endpoints = networking_config.endpoints_config.into_iter();
    let networks = endpoints
        .map(|(name, settings)| (name, network::endpoint_config(settings.unwrap_or_default())))
        .collect();
    let mut config = container_config(config);
    config.host = host_config::from_wire(host_config);
    Ok((CreateContainer { name, platform, config, networks }, warnings))
}

fn container_config(config: Config) -> ContainerConfig {
    ContainerConfig {
        image: config.image,
        hostname: config.hostname,
        domainname: config.domainname,
        user: config.user,
        attach_stdin: config.attach_stdin,
        attach_stdout: config.attach_stdout,
        attach_stderr: config.attach_stderr,
        exposed_ports: config.exposed_ports.into_keys().collect(),
        tty: config.tty,
        open_stdin: config.open_stdin,
        stdin_once: config.stdin_once,
        env: config.env.unwrap_or_default(),
        cmd: config.cmd.map(|words| words.0),
        entrypoint: config.entrypoint.map(|words| words.0),
        working_dir: config.working_dir,
        volumes: config.volumes.unwrap_or_default().into_keys().collect(),
        labels: config.labels.unwrap_or_default(),
        stop_signal: config.stop_signal,
        stop_timeout: config.stop_timeout,
        network_disabled: config.network_disabled,
        mac_address: config.mac_address,
        healthcheck: config.healthcheck.map(healthcheck),
        host: Default::default(),
    }
}

fn healthcheck(check: HealthConfig) -> Healthcheck {
    Healthcheck {
        test: check.test.unwrap_or_default(),
        interval: check.interval,
        timeout: check.timeout,
        retries: check.retries,
        start_period: check.start_period,
        start_interval: check.start_interval,
    }
}

#[cfg(test)]
mod tests {
    use beeline_engine::EndpointConfig;

    use super::*;

    fn convert(json: &str) -> Result<(CreateContainer, Vec<String>), ApiError> {
        create(serde_json::from_str(json).unwrap(), None, None)
    }

    #[test]
    fn what_docker_run_sends_is_understood() {
        let (request, warnings) = convert(include_str!("../../tests/data/docker-run.json")).unwrap();
        assert!(warnings.is_empty(), "{warnings:?}");
        let config = request.config;
        assert_eq!(config.cmd.as_deref(), Some(&["echo".to_owned(), "hi".to_owned()][..]));
        assert_eq!(config.entrypoint, None);
        assert_eq!(config.image, "debian");
        assert!(config.open_stdin && config.stdin_once && !config.tty);
        assert_eq!(config.host.port_bindings["80/tcp"][0].host_port, "8080");
        assert_eq!(config.host.memory, 64 << 20);
        assert_eq!(config.host.pids_limit, Some(100));
        assert!(config.host.auto_remove);
        assert_eq!(config.host.masked_paths, None);
    }

    #[test]
    fn every_network_of_the_list_comes_with_its_wishes() {
        let (request, _) = convert(
            r#"{"Image":"x","NetworkingConfig":{"EndpointsConfig":{"none":null,"web":{
                "IPAMConfig":{"IPv4Address":"10.9.0.9","IPv6Address":"fd00::9"},"Aliases":["db"],"GwPriority":3,
                "MacAddress":"02:00:00:00:00:09","Links":["store:s"]}}}}"#,
        )
        .unwrap();
        assert_eq!(request.networks["none"], EndpointConfig::default());
        let web = &request.networks["web"];
        assert_eq!((web.ipv4_address.as_str(), web.ipv6_address.as_str()), ("10.9.0.9", "fd00::9"));
        assert_eq!(
            (web.aliases.as_slice(), web.links.as_slice()),
            (&["db".to_owned()][..], &["store:s".to_owned()][..])
        );
        assert_eq!((web.gateway_priority, web.mac_address.as_str()), (3, "02:00:00:00:00:09"));
    }
}
