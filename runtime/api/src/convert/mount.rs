//! Mounts in the long form, both ways.

use beeline_engine as engine;
use beeline_wire::container::mount::{BindOptions, Driver, Mount, TmpfsOptions, VolumeOptions};

pub(crate) fn mount_from_wire(mount: Mount) -> engine::MountRequest {
    let bind = mount.bind_options.unwrap_or_default();
    let volume = mount.volume_options.unwrap_or_default();
    let driver = volume.driver_config.unwrap_or_default();
    let tmpfs = mount.tmpfs_options.unwrap_or_default();
    engine::MountRequest {
        kind: mount.kind,
        source: mount.source,
        target: mount.target,
        read_only: mount.read_only,
        propagation: bind.propagation,
        create_mountpoint: bind.create_mountpoint,
        non_recursive: bind.non_recursive,
        read_only_non_recursive: bind.read_only_non_recursive,
        read_only_force_recursive: bind.read_only_force_recursive,
        no_copy: volume.no_copy,
        subpath: volume.subpath,
        volume_labels: volume.labels.unwrap_or_default(),
        volume_driver: driver.name,
        volume_options: driver.options.unwrap_or_default(),
        tmpfs_size: tmpfs.size_bytes,
        tmpfs_mode: tmpfs.mode,
        tmpfs_options: tmpfs.options,
    }
}

pub(crate) fn mount_to_wire(mount: &engine::MountRequest) -> Mount {
    let bind = BindOptions {
        propagation: mount.propagation.clone(),
        create_mountpoint: mount.create_mountpoint,
        non_recursive: mount.non_recursive,
        read_only_non_recursive: mount.read_only_non_recursive,
        read_only_force_recursive: mount.read_only_force_recursive,
    };
    let driver = Driver {
        name: mount.volume_driver.clone(),
        options: Some(mount.volume_options.clone()).filter(|options| !options.is_empty()),
    };
    let volume = VolumeOptions {
        no_copy: mount.no_copy,
        labels: Some(mount.volume_labels.clone()).filter(|labels| !labels.is_empty()),
        driver_config: Some(driver).filter(|driver| *driver != Driver::default()),
        subpath: mount.subpath.clone(),
    };
    let tmpfs = TmpfsOptions {
        size_bytes: mount.tmpfs_size,
        mode: mount.tmpfs_mode,
        options: mount.tmpfs_options.clone(),
    };
    Mount {
        kind: mount.kind.clone(),
        source: mount.source.clone(),
        target: mount.target.clone(),
        read_only: mount.read_only,
        bind_options: Some(bind).filter(|bind| *bind != BindOptions::default()),
        volume_options: Some(volume).filter(|volume| *volume != VolumeOptions::default()),
        tmpfs_options: Some(tmpfs).filter(|tmpfs| *tmpfs != TmpfsOptions::default()),
        ..Mount::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_option_comes_back() {
        for text in [
            r#"{"Type":"bind","Source":"/a","Target":"/b","ReadOnly":true,"BindOptions":{"Propagation":"rslave",
                "NonRecursive":true,"CreateMountpoint":true,"ReadOnlyNonRecursive":true}}"#,
            r#"{"Type":"volume","Source":"v","Target":"/b","VolumeOptions":{"NoCopy":true,"Labels":{"a":"b"},
                "DriverConfig":{"Name":"local","Options":{"type":"tmpfs"}},"Subpath":"x/y"}}"#,
            r#"{"Type":"tmpfs","Target":"/b","TmpfsOptions":{"SizeBytes":4096,"Mode":448,"Options":[["exec"]]}}"#,
        ] {
            let mount: Mount = serde_json::from_str(text).unwrap();
            assert_eq!(mount_to_wire(&mount_from_wire(mount.clone())), mount);
        }
    }
}
