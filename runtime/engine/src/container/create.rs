//! Making a container: checked, merged with its image, recorded. Nothing of it is in the kernel before its start.

use std::sync::Arc;

use beeline_spawn::fault::{self, Point};
use jiff::Timestamp;

use crate::container::actor::Actor;
use crate::container::config::{ContainerConfig, CreateContainer, HostConfig};
use crate::container::merge::{ImageDefaults, merge};
use crate::container::mode::NetworkMode;
use crate::container::record::{Record, Runtime};
use crate::container::security::Security;
use crate::container::view::Created;
use crate::container::{mode, mounts, names, support, user_namespace, validate, volumes};
use crate::error::Error;
use crate::identity::{ContainerId, ContainerName};
use crate::settings::SecurityDefaults;
use crate::shared::Shared;

/// How many invented names are tried before a taken one is an error.
const ATTEMPTS: u32 = 64;

/// Creates a container.
///
/// # Errors
/// The request is wrong, its image is unknown, or its name is taken; then nothing is left.
pub(crate) async fn create(shared: &Arc<Shared>, request: CreateContainer) -> Result<Created, Error> {
    let mut config = request.config;
    if config.image.is_empty() {
        return Err(Error::Invalid("no image specified: name the image to run".into()));
    }
    // What is wrong with the request is told before what is missing here.
    mode::check_mode(&config)?;
    let networks = mode::settle(&shared.networks, &mut config, request.networks)?;
    join_container(shared, &mut config);
    adapt(&mut config, shared);
    apply_defaults(&shared.config.security, &mut config.host);
    let mut warnings = validate::validate(&config, shared.cpus, shared.config.publish_address)?;
    user_namespace::check(user_namespace::remap(shared, &config.host), &config.host)?;
    warnings.extend(support::discard(&mut config.host, &shared.hierarchy.features())?);
    let image = shared.images.resolve(&config.image)?;
    check_platform(request.platform.as_deref(), &config.image, &image)?;
    merge(&mut config, ImageDefaults::of(&image))?;
    // The image's part may be wrong as well; its warnings include the first ones.
    let all = validate::validate(&config, shared.cpus, shared.config.publish_address)?;
    warnings.extend(all.into_iter().filter(|warning| !warnings.contains(warning)).collect::<Vec<_>>());

    let inherited = mounts::inherited(&shared.directory, &config.host.volumes_from)?;
    let mut wanted = mounts::settle(&config, inherited)?;
    let id = ContainerId::random()?;
    if config.hostname.is_empty() && config.host.uts_mode != "host" {
        config.hostname = default_hostname(&config, &id);
    }
    let name = take_name(shared, request.name.as_deref(), &id)?;
    if let Err(error) = volumes::prepare(shared, &id, &image.layers, &mut wanted).await {
        shared.directory.release_name(&name, &id);
        return Err(error);
    }
    let record = Record {
        id: id.clone(),
        name,
        created: Timestamp::now(),
        image_id: image.id.to_string(),
        os: image.os.clone(),
        config: Arc::new(config),
        networks,
        mounts: Some(Arc::new(wanted)),
    };
    let stored = async {
        crate::error::fault(Point::CreateRecord)?;
        shared.database.put(&record, &Runtime::default()).await
    };
    if let Err(error) = stored.await {
        shared.directory.release_name(&record.name, &id);
        volumes::release(shared, &id, &record.mounts(), true).await;
        return Err(error);
    }
    fault::pass(Point::CreateStored);
    volumes::confirm(shared, &record.mounts()).await;
    let (mut actor, handle) = Actor::new(shared.clone(), record, Runtime::default(), image.layers.clone());
    actor.created();
    shared.directory.insert(handle);
    tokio::spawn(actor.run());
    fault::pass(Point::CreateKnown);
    Ok(Created { id, warnings })
}

/// What follows from what is given: as much swap as memory, and the daemon's log driver, unless the user says otherwise.
fn adapt(config: &mut ContainerConfig, shared: &Shared) {
    let host = &mut config.host;
    host.log.or(&shared.config.log);
    if host.cgroup_parent.is_empty() {
        host.cgroup_parent.clone_from(&shared.config.cgroup_parent);
    }
    if host.memory > 0 && host.memory_swap == 0 {
        host.memory_swap = host.memory.saturating_mul(2);
    }
}

/// A container whose network is shared is written by its id, so that it may be renamed, and its host name is taken over.
/// What the administrator has chosen for containers that do not choose themselves.
fn apply_defaults(defaults: &SecurityDefaults, host: &mut HostConfig) {
    for limit in &defaults.ulimits {
        if !host.ulimits.iter().any(|own| own.name == limit.name) {
            host.ulimits.push(limit.clone());
        }
    }
    let chosen = Security::of(&host.security_opt).no_new_privileges.is_some();
    if defaults.no_new_privileges && !chosen {
        host.security_opt.push("no-new-privileges".to_owned());
    }
}

/// A container whose namespace is shared is written by its id, so that it may be renamed; with its network, its host name is
/// taken over.
fn join_container(shared: &Shared, config: &mut ContainerConfig) {
    for mode in [&mut config.host.pid_mode, &mut config.host.ipc_mode] {
        let reference =
            mode.strip_prefix("container:").and_then(|reference| shared.directory.find(reference).ok());
        if let Some(handle) = reference {
            *mode = format!("container:{}", handle.id);
        }
    }
    let NetworkMode::Container(reference) = config.host.mode() else { return };
    // One that does not exist is told at the start.
    if let Ok(handle) = shared.directory.find(reference) {
        config.host.network_mode = format!("container:{}", handle.id);
        config.hostname.clone_from(&handle.view().config.hostname);
    }
}

/// The host's name for a container in the host's network, else the beginning of its id.
fn default_hostname(config: &ContainerConfig, id: &ContainerId) -> String {
    let host = (config.host.network_mode == "host").then(|| nix::unistd::gethostname().ok()).flatten();
    host.and_then(|name| name.into_string().ok()).unwrap_or_else(|| id.short().to_owned())
}

fn take_name(shared: &Shared, wanted: Option<&str>, id: &ContainerId) -> Result<ContainerName, Error> {
    if let Some(wanted) = wanted.filter(|name| !name.is_empty()) {
        let name = wanted.parse()?;
        shared.directory.take_name(&name, id)?;
        return Ok(name);
    }
    let mut attempt = 0;
    loop {
        let name: ContainerName = names::random(attempt)?.parse()?;
        match shared.directory.take_name(&name, id) {
            Err(Error::NameTaken { .. }) if attempt < ATTEMPTS => attempt += 1,
            taken => return taken.map(|()| name),
        }
    }
}

fn check_platform(wanted: Option<&str>, reference: &str, image: &beeline_image::Image) -> Result<(), Error> {
    let Some(wanted) = wanted.filter(|platform| !platform.is_empty()) else { return Ok(()) };
    let (os, architecture) = wanted.split_once('/').unwrap_or(("linux", wanted));
    let architecture = architecture.split('/').next().unwrap_or_default();
    if os == image.os && architecture == image.architecture {
        return Ok(());
    }
    Err(Error::Invalid(format!(
        "image with reference {reference} was found but its platform ({}/{}) does not match the specified platform \
         ({wanted})",
        image.os, image.architecture
    )))
}
