//! What `--security-opt` asks for.

use std::path::Path;

use beeline_spawn::container::LandlockRules;

use crate::error::Error;

/// What of it there is, understood.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Security<'a> {
    /// None leaves it to the daemon.
    pub(crate) no_new_privileges: Option<bool>,
    /// `unconfined`, `builtin` or a profile's content; none leaves it to the daemon.
    pub(crate) seccomp: Option<&'a str>,
    /// A profile's name, or `unconfined`.
    pub(crate) apparmor: Option<&'a str>,
    /// Of SELinux: `disable`, `type:…`, ….
    pub(crate) labels: Vec<&'a str>,
    /// Landlock rules.
    pub(crate) landlock: Vec<&'a str>,
    /// The container's own control groups may be written to.
    pub(crate) writable_cgroups: Option<bool>,
}

impl<'a> Security<'a> {
    /// Reads the options. A later one wins over an earlier one of the same name.
    ///
    /// # Errors
    /// An option that Docker does not know, either, in its words.
    pub(crate) fn parse(options: &'a [String]) -> Result<Self, Error> {
        let mut security = Self::default();
        for option in options {
            let wrong = |number| Error::Invalid(format!("invalid --security-opt {number}: \"{option}\""));
            let (key, value) = match option.as_str() {
                "no-new-privileges" | "writable-cgroups" => (option.as_str(), "true"),
                "disable" => ("label", "disable"),
                _ => option.split_once('=').or_else(|| option.split_once(':')).ok_or_else(|| wrong(1))?,
            };
            match key {
                "no-new-privileges" => {
                    security.no_new_privileges = Some(boolean(value).ok_or_else(|| wrong(2))?);
                }
                "writable-cgroups" => {
                    security.writable_cgroups = Some(boolean(value).ok_or_else(|| wrong(2))?);
                }
                "seccomp" => security.seccomp = Some(value),
                "apparmor" => security.apparmor = Some(value),
                "label" => security.labels.push(value),
                "landlock" => security.landlock.push(value),
                _ => return Err(wrong(2)),
            }
        }
        Ok(security)
    }

    /// The same for a container whose options were accepted.
    pub(crate) fn of(options: &'a [String]) -> Self {
        Self::parse(options).unwrap_or_default()
    }

    /// The AppArmor profile to be in, where the kernel has AppArmor.
    pub(crate) fn apparmor_profile(&self) -> Option<&'a str> {
        self.apparmor.filter(|profile| !matches!(*profile, "" | "unconfined") && has_apparmor())
    }

    /// All Landlock rules, if there are any.
    pub(crate) fn landlock(&self) -> Option<String> {
        (!self.landlock.is_empty()).then(|| self.landlock.join(","))
    }

    /// Refuses Landlock rules that have no meaning, or that this kernel cannot hold anybody to.
    pub(crate) fn check_landlock(&self) -> Result<(), Error> {
        let Some(text) = self.landlock() else { return Ok(()) };
        let rules = LandlockRules::parse(&text).map_err(Error::Invalid)?;
        rules.check().map_err(|reason| Error::NotImplemented(format!("landlock={text}: {reason}")))
    }

    /// Refuses what the kernel's security modules would have to do and cannot be passed on to them, and warns of what
    /// they are not there for.
    pub(crate) fn check_modules(&self) -> Result<Vec<String>, Error> {
        let mut warnings = Vec::new();
        if let Some(profile) = self.apparmor.filter(|profile| *profile != "unconfined" && !has_apparmor()) {
            warnings.push(format!("AppArmor is not enabled on this host: apparmor={profile} has no effect"));
        }
        for label in self.labels.iter().filter(|label| **label != "disable") {
            if Path::new("/sys/fs/selinux/enforce").exists() {
                return Err(Error::NotImplemented(format!(
                    "the SELinux label {label:?} cannot be set: Beeline does not label containers"
                )));
            }
            warnings.push(format!("SELinux is not enabled on this host: label={label} has no effect"));
        }
        Ok(warnings)
    }
}

fn has_apparmor() -> bool {
    let enabled = std::fs::read_to_string("/sys/module/apparmor/parameters/enabled");
    enabled.is_ok_and(|enabled| enabled.trim() == "Y")
}

/// A boolean as Go reads it.
fn boolean(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(options: &[&str]) -> Vec<String> {
        options.iter().map(|&option| option.to_owned()).collect()
    }

    #[test]
    fn options_are_read_with_either_sign() {
        let given = options(&["no-new-privileges:false", "seccomp={\"a\":1}", "label:disable", "disable"]);
        let security = Security::parse(&given).unwrap();
        assert_eq!(security.no_new_privileges, Some(false));
        assert_eq!(security.seccomp, Some("{\"a\":1}"));
        assert_eq!(security.labels, ["disable", "disable"]);
        let given = options(&["landlock=exec=/usr,read=/etc", "landlock=bind=80"]);
        let security = Security::parse(&given).unwrap();
        assert_eq!(security.landlock().as_deref(), Some("exec=/usr,read=/etc,bind=80"));
        let given = options(&["no-new-privileges", "writable-cgroups=0"]);
        let security = Security::parse(&given).unwrap();
        assert_eq!((security.no_new_privileges, security.writable_cgroups), (Some(true), Some(false)));
    }

    #[test]
    fn unknown_options_are_named() {
        for (option, part) in [
            ("privileged", "invalid --security-opt 1: \"privileged\""),
            ("x=y", "invalid --security-opt 2: \"x=y\""),
            ("no-new-privileges=maybe", "invalid --security-opt 2"),
            ("systempaths=unconfined", "invalid --security-opt 2"),
        ] {
            let error = Security::parse(&options(&[option])).unwrap_err().to_string();
            assert!(error.contains(part), "{option}: {error}");
        }
    }
}
