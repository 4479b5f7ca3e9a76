//! `--mount KEY=VALUE,...`: Docker's long form, one mount.

use std::path::Path;
use std::str::FromStr;

use beeline_wire::container::mount::{BindOptions, Driver, Mount, TmpfsOptions, VolumeOptions};

use crate::units::parse_bytes;

/// A mount of the `--mount` flag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MountFlag(pub(crate) Mount);

impl FromStr for MountFlag {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut mount = Mount { kind: "volume".to_owned(), ..Mount::default() };
        for field in fields(text)? {
            let (key, value) =
                field.split_once('=').map_or((field.as_str(), None), |(key, value)| (key, Some(value)));
            set(&mut mount, &key.to_ascii_lowercase(), value)
                .map_err(|reason| format!("{field:?}: {reason}"))?;
        }
        check(&mount)?;
        Ok(Self(mount))
    }
}

/// Fields between commas; a field in quotes may hold some, as in a table's file.
fn fields(text: &str) -> Result<Vec<String>, String> {
    let (mut fields, mut field, mut quoted) = (Vec::new(), String::new(), false);
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '"' if quoted && characters.peek() == Some(&'"') => {
                characters.next();
                field.push('"');
            }
            '"' => quoted = !quoted,
            ',' if !quoted => fields.push(std::mem::take(&mut field)),
            other => field.push(other),
        }
    }
    if quoted {
        return Err("a quote is not closed".to_owned());
    }
    fields.push(field);
    Ok(fields)
}

fn set(mount: &mut Mount, key: &str, value: Option<&str>) -> Result<(), String> {
    let needed = || value.filter(|value| !value.is_empty()).map(str::to_owned).ok_or("a value is missing");
    match key {
        "type" => mount.kind = needed()?.to_ascii_lowercase(),
        "source" | "src" => mount.source = needed()?,
        "target" | "dst" | "destination" => mount.target = needed()?,
        "readonly" | "ro" => mount.read_only = truth(value)?,
        "consistency" => mount.consistency = needed()?,
        _ if key.starts_with("bind-") => bind(mount.bind_options.get_or_insert_default(), key, value)?,
        _ if key.starts_with("volume-") => volume(mount.volume_options.get_or_insert_default(), key, value)?,
        _ if key.starts_with("tmpfs-") => tmpfs(mount.tmpfs_options.get_or_insert_default(), key, value)?,
        _ => return Err(format!("unexpected key '{key}'")),
    }
    Ok(())
}

fn bind(bind: &mut BindOptions, key: &str, value: Option<&str>) -> Result<(), String> {
    match (key, value) {
        ("bind-propagation", Some(value)) => bind.propagation = value.to_ascii_lowercase(),
        ("bind-nonrecursive", value) => bind.non_recursive = truth(value)?,
        ("bind-create-src" | "bind-create-mountpoint", value) => bind.create_mountpoint = truth(value)?,
        ("bind-recursive", Some("enabled")) => {}
        ("bind-recursive", Some("disabled")) => bind.non_recursive = true,
        ("bind-recursive", Some("writable")) => bind.read_only_non_recursive = true,
        ("bind-recursive", Some("readonly")) => bind.read_only_force_recursive = true,
        ("bind-recursive", _) => return Err("use enabled, disabled, writable or readonly".to_owned()),
        _ => return Err(format!("unexpected key '{key}'")),
    }
    Ok(())
}

fn volume(volume: &mut VolumeOptions, key: &str, value: Option<&str>) -> Result<(), String> {
    let pair = || {
        let (name, value) =
            value.unwrap_or_default().split_once('=').unwrap_or((value.unwrap_or_default(), ""));
        (name.to_owned(), value.to_owned())
    };
    let driver = volume.driver_config.get_or_insert_default();
    match (key, value) {
        ("volume-nocopy", value) => volume.no_copy = truth(value)?,
        ("volume-subpath", Some(value)) => value.clone_into(&mut volume.subpath),
        ("volume-driver", Some(value)) => value.clone_into(&mut driver.name),
        ("volume-label", Some(_)) => volume.labels.get_or_insert_default().extend([pair()]),
        ("volume-opt", Some(_)) => driver.options.get_or_insert_default().extend([pair()]),
        _ => return Err(format!("unexpected key '{key}'")),
    }
    if volume.driver_config == Some(Driver::default()) {
        volume.driver_config = None;
    }
    Ok(())
}

fn tmpfs(tmpfs: &mut TmpfsOptions, key: &str, value: Option<&str>) -> Result<(), String> {
    match (key, value) {
        ("tmpfs-size", Some(value)) => tmpfs.size_bytes = parse_bytes(value)?,
        ("tmpfs-mode", Some(value)) => {
            tmpfs.mode =
                u32::from_str_radix(value, 8).map_err(|_| "use an octal mode, such as 1777".to_owned())?;
        }
        _ => return Err(format!("unexpected key '{key}'")),
    }
    Ok(())
}

/// A flag without a value is set.
fn truth(value: Option<&str>) -> Result<bool, String> {
    match value {
        None | Some("" | "1" | "true") => Ok(true),
        Some("0" | "false") => Ok(false),
        Some(_) => Err("use true or false".to_owned()),
    }
}

fn check(mount: &Mount) -> Result<(), String> {
    if mount.target.is_empty() {
        return Err("target is required: target=/path".to_owned());
    }
    for (kind, given) in [
        ("bind", mount.bind_options.is_some()),
        ("volume", mount.volume_options.is_some()),
        ("tmpfs", mount.tmpfs_options.is_some()),
    ] {
        if given && mount.kind != kind {
            return Err(format!("cannot mix '{kind}-*' options with mount type '{}'", mount.kind));
        }
    }
    if mount.kind == "bind" && !Path::new(&mount.source).is_absolute() {
        return Err(format!("the source {:?} of a bind mount must be an absolute path", mount.source));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mount(text: &str) -> Mount {
        text.parse::<MountFlag>().unwrap().0
    }

    #[test]
    fn a_mount_is_a_volume_unless_it_says_otherwise() {
        let read = mount("src=data,dst=/d,ro,volume-nocopy,volume-label=a=b,\"volume-opt=o=addr=1,ro\"");
        assert_eq!((read.kind.as_str(), read.source.as_str(), read.read_only), ("volume", "data", true));
        let options = read.volume_options.unwrap();
        assert!(options.no_copy);
        assert_eq!(options.labels.unwrap()["a"], "b");
        assert_eq!(options.driver_config.unwrap().options.unwrap()["o"], "addr=1,ro");
    }

    #[test]
    fn options_of_bind_mounts_and_temporary_file_systems_are_read() {
        let read =
            mount("type=bind,source=/a,target=/b,readonly,bind-recursive=writable,bind-propagation=rslave");
        let bind = read.bind_options.unwrap();
        assert!(bind.read_only_non_recursive && bind.propagation == "rslave");
        let tmpfs = mount("type=tmpfs,target=/t,tmpfs-size=64m,tmpfs-mode=1770").tmpfs_options.unwrap();
        assert_eq!((tmpfs.size_bytes, tmpfs.mode), (64 << 20, 0o1770));
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (text, reason) in [
            ("src=a", "target is required"),
            ("src=a,dst=/b,colour=red", "unexpected key 'colour'"),
            ("type=bind,src=/a,dst=/b,volume-nocopy", "cannot mix 'volume-*' options"),
            ("type=bind,src=a,dst=/b", "must be an absolute path"),
            ("type=tmpfs,dst=/b,tmpfs-mode=9", "octal"),
            ("dst=/b,\"x", "not closed"),
        ] {
            let error = text.parse::<MountFlag>().unwrap_err();
            assert!(error.contains(reason), "{error}");
        }
    }
}
