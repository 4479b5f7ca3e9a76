//! The flags of `beeline run` that say what is shared with others, and what is allowed, with Docker's names.

use std::fs;

use anyhow::{Context, Result, bail};
use beeline_wire::container::host_config::{DeviceMapping, HostConfig};
use clap::Args;

use crate::units::parse_bytes;

/// What is shared with others, and what is allowed.
#[derive(Debug, Args)]
pub(crate) struct Isolation {
    /// Whose processes it sees: host or container:NAME [default: its own]
    #[arg(long, value_name = "MODE")]
    pid: Option<String>,
    /// Whose shared memory and queues it has: private, shareable, none, host or container:NAME [default: private]
    #[arg(long, value_name = "MODE")]
    ipc: Option<String>,
    /// Whose host name it has: host [default: its own]
    #[arg(long, value_name = "MODE")]
    uts: Option<String>,
    /// Whose control groups it sees: private or host [default: private]
    #[arg(long, value_name = "MODE")]
    cgroupns: Option<String>,
    /// Whose user ids it has: host
    #[arg(long, value_name = "MODE")]
    userns: Option<String>,
    /// The container's NIS domain name
    #[arg(long, value_name = "NAME")]
    domainname: Option<String>,
    /// A device of the host: HOST[:CONTAINER][:PERMISSIONS], permissions of r, w and m; may be repeated
    #[arg(long, value_name = "DEVICE")]
    device: Vec<String>,
    /// no-new-privileges, seccomp=FILE, builtin or unconfined, apparmor=PROFILE, label=disable, landlock=RULES,
    /// systempaths=unconfined or writable-cgroups; may be repeated
    #[arg(long, value_name = "OPTION")]
    security_opt: Vec<String>,
    /// The size of /dev/shm, such as 64m
    #[arg(long, value_name = "BYTES", value_parser = parse_bytes)]
    shm_size: Option<i64>,
    /// How readily the kernel kills it for want of memory: -1000 to 1000
    #[arg(long, value_name = "NUMBER", allow_negative_numbers = true)]
    oom_score_adj: Option<i64>,
    /// The OCI runtime: beeline
    #[arg(long, value_name = "NAME")]
    runtime: Option<String>,
    /// The isolation technology: default
    #[arg(long, value_name = "NAME")]
    isolation: Option<String>,
}

impl Isolation {
    /// The domain name.
    pub(super) fn domainname(&self) -> String {
        self.domainname.clone().unwrap_or_default()
    }

    /// Writes the flags into the request.
    ///
    /// # Errors
    /// A flag has no meaning, or a file it names cannot be read.
    pub(super) fn apply(&self, host: &mut HostConfig) -> Result<()> {
        for (flag, field) in [
            (&self.pid, &mut host.pid_mode),
            (&self.ipc, &mut host.ipc_mode),
            (&self.uts, &mut host.uts_mode),
            (&self.cgroupns, &mut host.cgroupns_mode),
            (&self.userns, &mut host.userns_mode),
            (&self.runtime, &mut host.runtime),
            (&self.isolation, &mut host.isolation),
        ] {
            field.clone_from(flag.as_ref().unwrap_or(&String::new()));
        }
        host.shm_size = self.shm_size.unwrap_or(0);
        host.oom_score_adj = self.oom_score_adj.unwrap_or(0);
        host.resources.devices =
            Some(self.device.iter().map(|text| device(text)).collect::<Result<Vec<_>>>()?);
        let mut options = Vec::new();
        for option in &self.security_opt {
            // It is the client that knows what paths these are, in Docker too.
            if matches!(option.as_str(), "systempaths=unconfined" | "systempaths:unconfined") {
                host.masked_paths = Some(Vec::new());
                host.readonly_paths = Some(Vec::new());
            } else {
                options.push(security_option(option)?);
            }
        }
        host.security_opt = Some(options);
        Ok(())
    }
}

/// The option; a seccomp profile's file is replaced by its content, which is what the daemon wants.
fn security_option(option: &str) -> Result<String> {
    let (key, value) = option.split_once('=').or_else(|| option.split_once(':')).unwrap_or((option, ""));
    if key != "seccomp" || matches!(value, "" | "unconfined" | "builtin") {
        return Ok(option.to_owned());
    }
    let text = fs::read_to_string(value).with_context(|| format!("read the seccomp profile {value}"))?;
    let profile: serde_json::Value =
        serde_json::from_str(&text).with_context(|| format!("the seccomp profile {value} is not JSON"))?;
    Ok(format!("seccomp={profile}"))
}

fn device(text: &str) -> Result<DeviceMapping> {
    let permissions = |text: &str| !text.is_empty() && text.bytes().all(|byte| b"rwm".contains(&byte));
    let (host, inside, access) = match text.split(':').collect::<Vec<_>>()[..] {
        [host] => (host, host, "rwm"),
        [host, access] if permissions(access) => (host, host, access),
        [host, inside] => (host, inside, "rwm"),
        [host, inside, access] if permissions(access) => (host, inside, access),
        _ => bail!(
            "invalid device {text:?}: use HOST[:CONTAINER][:PERMISSIONS], such as /dev/fuse:/dev/fuse:rw"
        ),
    };
    Ok(DeviceMapping {
        path_on_host: host.to_owned(),
        path_in_container: inside.to_owned(),
        cgroup_permissions: access.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        isolation: Isolation,
    }

    fn host(line: &str) -> Result<HostConfig> {
        let mut host = HostConfig::default();
        Line::try_parse_from(format!("run {line}").split(' '))?.isolation.apply(&mut host)?;
        Ok(host)
    }

    #[test]
    fn modes_are_passed_on() {
        let host =
            host("--pid container:db --ipc shareable --uts host --oom-score-adj -5 --shm-size 1m").unwrap();
        assert_eq!((host.pid_mode.as_str(), host.ipc_mode.as_str()), ("container:db", "shareable"));
        assert_eq!((host.uts_mode.as_str(), host.oom_score_adj, host.shm_size), ("host", -5, 1 << 20));
    }

    #[test]
    fn a_device_has_two_paths_and_permissions() {
        let one = |text: &str| {
            let device = device(text).unwrap();
            [device.path_on_host, device.path_in_container, device.cgroup_permissions].join(" ")
        };
        assert_eq!(one("/dev/a"), "/dev/a /dev/a rwm");
        assert_eq!(one("/dev/a:r"), "/dev/a /dev/a r");
        assert_eq!(one("/dev/a:/dev/b"), "/dev/a /dev/b rwm");
        assert_eq!(one("/dev/a:/dev/b:rw"), "/dev/a /dev/b rw");
        assert!(device("/dev/a:/dev/b:x").is_err());
    }

    #[test]
    fn a_profile_is_sent_by_its_content_and_system_paths_as_lists() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(&file, "{\n  \"defaultAction\": \"SCMP_ACT_ALLOW\"\n}\n").unwrap();
        let line = format!(
            "--security-opt seccomp={} --security-opt systempaths=unconfined --security-opt label=disable",
            file.path().display()
        );
        let host = host(&line).unwrap();
        let options = host.security_opt.unwrap();
        assert_eq!(options, [r#"seccomp={"defaultAction":"SCMP_ACT_ALLOW"}"#, "label=disable"]);
        assert_eq!((host.masked_paths, host.readonly_paths), (Some(Vec::new()), Some(Vec::new())));
        assert!(security_option("seccomp=/no/such/file").is_err());
    }
}
