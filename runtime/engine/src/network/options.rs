//! The options of the bridge driver, by Docker's keys. Unknown ones are kept and shown, as Docker does.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

use beeline_net::{Acceleration, Families, NetworkSpec};

use crate::error::Error;

const NAME: &str = "com.docker.network.bridge.name";
const ICC: &str = "com.docker.network.bridge.enable_icc";
const MASQUERADE: &str = "com.docker.network.bridge.enable_ip_masquerade";
const HOST_BINDING: &str = "com.docker.network.bridge.host_binding_ipv4";
const MTU: &str = "com.docker.network.driver.mtu";
const PREFIX: &str = "com.docker.network.container_iface_prefix";
const QUOTA: &str = "beeline.conntrack.quota";
const ACCELERATE: &str = "beeline.network.accelerate";
/// The value that says that nobody minds the kernel's known faults.
const DESPITE_FAULTS: &str = "despite-faults";
const INHIBIT: &str = "com.docker.network.bridge.inhibit_ipv4";
const MODES: [&str; 2] =
    ["com.docker.network.bridge.gateway_mode_ipv4", "com.docker.network.bridge.gateway_mode_ipv6"];

/// What the options say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BridgeOptions {
    /// The device's name; one is made up if not given.
    pub(crate) device: Option<String>,
    /// Whether members may talk to each other.
    pub(crate) icc: bool,
    /// Whether packets to the outside carry the uplink's address.
    pub(crate) masquerade: bool,
    /// The host address ports are published on when the user names none.
    pub(crate) host_binding: Option<IpAddr>,
    /// Bytes of the largest IP packet.
    pub(crate) mtu: Option<u32>,
    /// Whether connections between members go past the network.
    pub(crate) accelerate: Acceleration,
    /// What the interfaces' names inside begin with.
    pub(crate) interface_prefix: String,
    /// The families whose addresses are reachable from outside, and leave as they are.
    pub(crate) routed: Families,
    /// How many connections the members may have, together.
    pub(crate) flow_quota: Option<u32>,
}

impl BridgeOptions {
    /// Reads them.
    ///
    /// # Errors
    /// A value makes no sense, or cannot be had.
    pub(crate) fn parse(options: &BTreeMap<String, String>) -> Result<Self, Error> {
        let given = |key: &str| options.get(key).filter(|value| !value.is_empty());
        if given(INHIBIT).map(|text| flag(INHIBIT, text)).transpose()? == Some(true) {
            return Err(Error::NotImplemented(format!("the option {INHIBIT} is not supported")));
        }
        let [ipv4, ipv6] = MODES.map(|key| match given(key).map(String::as_str) {
            None | Some("nat") => Ok(false),
            Some("routed") => Ok(true),
            Some(mode) => {
                Err(Error::NotImplemented(format!("{key}={mode} is not supported, only nat and routed are")))
            }
        });
        let quota = given(QUOTA).map(|text| match text.parse::<u32>() {
            Ok(quota @ 1..) => Ok(quota),
            _ => Err(bad(QUOTA, text)),
        });
        let switch = |key| given(key).map_or(Ok(true), |text| flag(key, text));
        let binding =
            given(HOST_BINDING).map(|text| text.parse::<Ipv4Addr>().map_err(|_| bad(HOST_BINDING, text)));
        let mtu = given(MTU).map(|text| match text.parse::<u32>() {
            // Smaller ones carry no IP packet that every router must take, larger ones no device has.
            Ok(mtu @ 68..=65_535) => Ok(Some(mtu)),
            Ok(0) => Ok(None),
            _ => Err(bad(MTU, text)),
        });
        let prefix = given(PREFIX).cloned().unwrap_or_else(|| "eth".to_owned());
        if prefix.len() > 10
            || !prefix.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte))
        {
            return Err(bad(PREFIX, &prefix));
        }
        Ok(Self {
            device: given(NAME).cloned(),
            icc: switch(ICC)?,
            masquerade: switch(MASQUERADE)?,
            host_binding: binding.transpose()?.filter(|address| !address.is_unspecified()).map(IpAddr::from),
            mtu: mtu.transpose()?.flatten(),
            accelerate: given(ACCELERATE)
                .map_or(Ok(Acceleration::Off), |text| parse_acceleration(ACCELERATE, text))?,
            interface_prefix: prefix,
            routed: Families { ipv4: ipv4?, ipv6: ipv6? },
            flow_quota: quota.transpose()?,
        })
    }
}

/// The default network's options as Docker shows them, for tools that look for them.
pub(super) fn of_default(spec: &NetworkSpec, publish_address: IpAddr) -> BTreeMap<String, String> {
    // The option has no other family.
    let binding = Some(publish_address).filter(IpAddr::is_ipv4).unwrap_or(Ipv4Addr::UNSPECIFIED.into());
    let mut options: BTreeMap<String, String> = [
        ("com.docker.network.bridge.default_bridge", "true".to_owned()),
        (ICC, spec.icc.to_string()),
        (MASQUERADE, spec.masquerade.to_string()),
        (HOST_BINDING, binding.to_string()),
        (NAME, spec.device.clone()),
    ]
    .map(|(key, value)| (key.to_owned(), value))
    .into();
    let accelerate = match spec.accelerate {
        Acceleration::Off => None,
        Acceleration::On => Some("true"),
        Acceleration::DespiteFaults => Some(DESPITE_FAULTS),
    };
    options.extend(accelerate.map(|value| (ACCELERATE.to_owned(), value.to_owned())));
    options.extend(spec.mtu.map(|mtu| (MTU.to_owned(), mtu.to_string())));
    options
}

/// Whether, and with which exception, connections go past the network; `key` is for the message.
///
/// # Errors
/// The text says neither.
pub fn parse_acceleration(key: &str, text: &str) -> Result<Acceleration, Error> {
    if text == DESPITE_FAULTS {
        return Ok(Acceleration::DespiteFaults);
    }
    Ok(if flag(key, text)? { Acceleration::On } else { Acceleration::Off })
}

/// What Go takes for a truth value.
fn flag(key: &str, text: &str) -> Result<bool, Error> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err(bad(key, text)),
    }
}

fn bad(key: &str, text: &str) -> Error {
    Error::Invalid(format!("failed to parse {key} value: {text:?}"))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn parse(pairs: &[(&str, &str)]) -> Result<BridgeOptions, Error> {
        let options = pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        BridgeOptions::parse(&options.collect())
    }

    #[test]
    fn members_talk_and_are_masqueraded_unless_the_options_say_otherwise() {
        let plain = parse(&[("some.other.option", "kept")]).unwrap();
        assert!(plain.icc && plain.masquerade && plain.device.is_none() && plain.mtu.is_none());
        assert_eq!(plain.accelerate, Acceleration::Off);
        let exception = parse(&[(ACCELERATE, "despite-faults")]).unwrap();
        assert_eq!(exception.accelerate, Acceleration::DespiteFaults);
        assert_eq!(plain.interface_prefix, "eth");
        let options = parse(&[
            (NAME, "br-web"),
            (ICC, "false"),
            (MASQUERADE, "0"),
            (HOST_BINDING, "127.0.0.1"),
            (MTU, "1400"),
            (PREFIX, "net"),
            (MODES[0], "nat"),
            (MODES[1], "routed"),
            (QUOTA, "1000"),
            (ACCELERATE, "true"),
        ])
        .unwrap();
        assert!(!options.icc && !options.masquerade && options.accelerate == Acceleration::On);
        assert_eq!(options.device.as_deref(), Some("br-web"));
        assert_eq!(options.host_binding, Some([127, 0, 0, 1].into()));
        assert_eq!((options.routed, options.flow_quota), (Families { ipv4: false, ipv6: true }, Some(1000)));
        assert_eq!((options.mtu, options.interface_prefix.as_str()), (Some(1400), "net"));
    }

    #[rstest]
    #[case(ICC, "yes", "failed to parse com.docker.network.bridge.enable_icc value: \"yes\"")]
    #[case(HOST_BINDING, "::1", "failed to parse com.docker.network.bridge.host_binding_ipv4 value: \"::1\"")]
    #[case(ACCELERATE, "fast", "failed to parse beeline.network.accelerate value: \"fast\"")]
    #[case(MTU, "17", "failed to parse com.docker.network.driver.mtu value: \"17\"")]
    #[case(PREFIX, "a/b", "failed to parse com.docker.network.container_iface_prefix value: \"a/b\"")]
    #[case(
        MODES[1],
        "isolated",
        "com.docker.network.bridge.gateway_mode_ipv6=isolated is not supported, only nat and routed are"
    )]
    #[case(QUOTA, "0", "failed to parse beeline.conntrack.quota value: \"0\"")]
    #[case(QUOTA, "many", "failed to parse beeline.conntrack.quota value: \"many\"")]
    #[case(INHIBIT, "true", "the option com.docker.network.bridge.inhibit_ipv4 is not supported")]
    fn a_wrong_option_is_named(#[case] key: &str, #[case] value: &str, #[case] message: &str) {
        assert_eq!(parse(&[(key, value)]).unwrap_err().to_string(), message);
    }
}
