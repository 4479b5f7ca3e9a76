//! Profiles in Docker's format, as `--security-opt seccomp=` and `seccomp-profile` give them: an OCI profile whose rules
//! may depend on capabilities, architecture and kernel.

use oci_spec::runtime::{
    Arch, Capabilities, Capability, LinuxSeccomp, LinuxSeccompAction, LinuxSeccompArg,
    LinuxSeccompArgBuilder, LinuxSeccompBuilder, LinuxSeccompFilterFlag, LinuxSeccompOperator, LinuxSyscall,
    LinuxSyscallBuilder,
};
use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::Value;

use super::arch::Architecture;
use super::asks;
use super::profile::running_kernel;

/// The greatest error number the kernel returns for a filter.
const MAX_ERRNO: u32 = 4095;

/// Why a profile cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ProfileError {
    /// It is not JSON, or not a profile.
    #[error("Decoding seccomp profile failed: {0}")]
    Json(#[from] serde_json::Error),
    /// The profile contradicts itself, or has an unknown word.
    #[error("seccomp profile: {0}")]
    Profile(String),
    /// One of its rules does.
    #[error("seccomp profile: syscalls[{index}] ({names}): {reason}")]
    Rule {
        /// Which of the rules, counted from 0.
        index: usize,
        /// The system calls it is about.
        names: String,
        /// What is wrong.
        reason: String,
    },
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Profile {
    default_action: Option<Value>,
    default_errno_ret: Option<u32>,
    /// The number's name, for the reader.
    #[serde(rename = "defaultErrno")]
    _default_errno: Option<IgnoredAny>,
    architectures: Option<Vec<Value>>,
    arch_map: Option<Vec<ArchEntry>>,
    flags: Option<Vec<Value>>,
    listener_path: Option<String>,
    listener_metadata: Option<String>,
    syscalls: Option<Vec<Value>>,
}

/// An architecture and those that its kernel runs as well.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ArchEntry {
    architecture: Value,
    sub_architectures: Option<Vec<Value>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Rule {
    name: Option<String>,
    names: Option<Vec<String>>,
    action: Value,
    errno_ret: Option<u32>,
    errno: Option<IgnoredAny>,
    args: Option<Vec<Argument>>,
    #[serde(rename = "comment")]
    _comment: Option<IgnoredAny>,
    includes: Option<Condition>,
    excludes: Option<Condition>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Argument {
    index: usize,
    #[serde(default)]
    value: u64,
    value_two: Option<u64>,
    op: Value,
}

/// What a rule depends on.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Condition {
    caps: Option<Vec<String>>,
    /// By Go's names.
    arches: Option<Vec<String>>,
    min_kernel: Option<String>,
}

/// What conditions are asked of.
#[derive(Debug, Clone, Copy)]
struct Host<'a> {
    capabilities: &'a Capabilities,
    kernel: (u32, u32),
    native: Architecture,
}

/// Docker's profile for a container with the given bounding capabilities, on the running kernel. None for a profile that
/// says nothing: Docker takes it for "unconfined".
///
/// # Errors
/// The text is not such a profile; the error names the rule that is wrong.
pub fn docker_profile(json: &str, capabilities: &Capabilities) -> Result<Option<LinuxSeccomp>, ProfileError> {
    expand(json, Host { capabilities, kernel: running_kernel(), native: Architecture::NATIVE })
}

fn expand(json: &str, host: Host<'_>) -> Result<Option<LinuxSeccomp>, ProfileError> {
    let profile: Profile = serde_json::from_str(json)?;
    let fail = |reason: String| ProfileError::Profile(reason);
    let rules = profile.syscalls.unwrap_or_default();
    let Some(default) = profile.default_action.filter(|action| *action != "") else {
        let missing = "defaultAction is missing: say what happens to calls that no rule names";
        return if rules.is_empty() { Ok(None) } else { Err(fail(missing.into())) };
    };
    let architectures = profile.architectures.unwrap_or_default();
    let arch_map = profile.arch_map.unwrap_or_default();
    if !architectures.is_empty() && !arch_map.is_empty() {
        return Err(fail(
            "both 'architectures' and 'archMap' are specified in the seccomp profile, use either 'architectures' or \
             'archMap'"
                .into(),
        ));
    }
    let mut known: Vec<Arch> = words("architecture", architectures).map_err(fail)?;
    for entry in arch_map {
        let architecture: Arch = word("architecture", entry.architecture).map_err(fail)?;
        let others: Vec<Arch> =
            words("architecture", entry.sub_architectures.unwrap_or_default()).map_err(fail)?;
        if Architecture::from_oci(architecture) == Some(host.native) {
            known.push(architecture);
            known.extend(others);
        }
    }
    let flags: Vec<LinuxSeccompFilterFlag> =
        words("flag", profile.flags.unwrap_or_default()).map_err(fail)?;
    let mut built = LinuxSeccompBuilder::default()
        .default_action(word::<LinuxSeccompAction>("defaultAction", default).map_err(fail)?)
        .architectures(known)
        .flags(flags)
        .syscalls(syscalls(rules, host)?);
    if let Some(errno) = profile.default_errno_ret {
        built = built.default_errno_ret(errno_number(errno).map_err(fail)?);
    }
    if let Some(path) = profile.listener_path.filter(|path| !path.is_empty()) {
        built = built.listener_path(path).listener_metadata(profile.listener_metadata.unwrap_or_default());
    }
    let built = built.build().map_err(|error| fail(error.to_string()))?;
    if asks(&built) && built.listener_path().is_none() {
        return Err(fail("SCMP_ACT_NOTIFY needs a listenerPath: the socket of who answers".into()));
    }
    Ok(Some(built))
}

fn syscalls(rules: Vec<Value>, host: Host<'_>) -> Result<Vec<LinuxSyscall>, ProfileError> {
    let mut calls = Vec::with_capacity(rules.len());
    for (index, rule) in rules.into_iter().enumerate() {
        let names = rule["names"].as_array().into_iter().flatten().chain(rule.get("name"));
        let names = names.filter_map(Value::as_str).collect::<Vec<_>>().join(", ");
        let read = serde_json::from_value(rule).map_err(|error| error.to_string());
        match read.and_then(|rule| syscall(rule, host)) {
            Ok(call) => calls.extend(call),
            Err(reason) => return Err(ProfileError::Rule { index, names, reason }),
        }
    }
    Ok(calls)
}

/// The rule, unless it is not for this container and host. It is checked in any case.
fn syscall(rule: Rule, host: Host<'_>) -> Result<Option<LinuxSyscall>, String> {
    let names = match (rule.name.filter(|name| !name.is_empty()), rule.names.unwrap_or_default()) {
        (Some(name), names) if names.is_empty() => vec![name],
        (None, names) if !names.is_empty() => names,
        (None, _) => return Err("it names no system call".into()),
        (Some(_), _) => {
            return Err("both 'name' and 'names' are specified, use either 'name' or 'names'".into());
        }
    };
    if rule.errno.is_some() && rule.errno_ret.is_none() {
        return Err("'errno' is for the reader: give the number as 'errnoRet'".into());
    }
    let action: LinuxSeccompAction = word("action", rule.action)?;
    let mut call = LinuxSyscallBuilder::default().names(names).action(action);
    if let Some(errno) = rule.errno_ret {
        call = call.errno_ret(errno_number(errno)?);
    }
    let arguments = rule.args.unwrap_or_default().into_iter().map(argument);
    let arguments = arguments.collect::<Result<Vec<_>, _>>()?;
    if !arguments.is_empty() {
        call = call.args(arguments);
    }
    let excluded = match rule.excludes {
        Some(condition) => condition.parts(host)?.contains(&Some(true)),
        None => false,
    };
    let included = match rule.includes {
        Some(condition) => !condition.parts(host)?.contains(&Some(false)),
        None => true,
    };
    let call = call.build().map_err(|error| error.to_string())?;
    Ok(Some(call).filter(|_| included && !excluded))
}

impl Condition {
    /// Whether the host is as each given part says. Of capabilities one suffices to exclude a rule, and all are needed to
    /// include it, so they are parts of their own.
    fn parts(self, host: Host<'_>) -> Result<Vec<Option<bool>>, String> {
        let mut parts: Vec<Option<bool>> =
            self.caps.iter().flatten().map(|name| Some(has(host.capabilities, name))).collect();
        let arches = self.arches.filter(|arches| !arches.is_empty());
        parts.push(arches.map(|arches| arches.iter().any(|name| name == host.native.name())));
        let kernel = self.min_kernel.filter(|text| !text.is_empty());
        parts.push(kernel.map(|text| kernel_version(&text)).transpose()?.map(|least| host.kernel >= least));
        Ok(parts)
    }
}

fn has(capabilities: &Capabilities, name: &str) -> bool {
    let name = name.strip_prefix("CAP_").unwrap_or(name);
    name.parse::<Capability>().is_ok_and(|capability| capabilities.contains(&capability))
}

fn argument(argument: Argument) -> Result<LinuxSeccompArg, String> {
    if argument.index > 5 {
        return Err(format!("it compares argument {}; system calls have arguments 0 to 5", argument.index));
    }
    let operator: LinuxSeccompOperator = word("op", argument.op)?;
    let mut built =
        LinuxSeccompArgBuilder::default().index(argument.index).op(operator).value(argument.value);
    if let Some(second) = argument.value_two {
        built = built.value_two(second);
    }
    built.build().map_err(|error| error.to_string())
}

fn errno_number(number: u32) -> Result<u32, String> {
    if number <= MAX_ERRNO { Ok(number) } else { Err(format!("{number} is no error number")) }
}

/// `4.8`.
fn kernel_version(text: &str) -> Result<(u32, u32), String> {
    let version =
        text.split_once('.').and_then(|(major, minor)| Some((major.parse().ok()?, minor.parse().ok()?)));
    version
        .filter(|version| *version != (0, 0))
        .ok_or_else(|| format!("invalid kernel version: {text:?}, expected \"<kernel>.<major>\""))
}

/// One of the specification's words, such as `SCMP_ACT_ALLOW`.
fn word<T: DeserializeOwned>(what: &str, value: Value) -> Result<T, String> {
    let text = value.to_string();
    serde_json::from_value(value).map_err(|_| format!("unknown {what} {text}"))
}

fn words<T: DeserializeOwned>(what: &str, values: Vec<Value>) -> Result<Vec<T>, String> {
    values.into_iter().map(|value| word(what, value)).collect()
}

#[cfg(test)]
mod tests;
