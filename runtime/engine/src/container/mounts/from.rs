//! Mounts that a container takes over from others: `container[:ro]`.

use super::{MountKind, UserMount};
use crate::directory::Directory;
use crate::error::Error;

/// The volumes and bind mounts of other containers.
///
/// # Errors
/// There is no such container, or its mode is unknown.
pub(crate) fn inherited(directory: &Directory, specifications: &[String]) -> Result<Vec<UserMount>, Error> {
    let mut mounts = Vec::new();
    for specification in specifications {
        let (container, read_only) = parse(specification)?;
        // It is the request that is wrong: "not found" would be about the image, to Docker's client.
        let found = directory.find(container).map_err(|error| Error::Invalid(error.to_string()))?;
        let view = found.view();
        let taken = view.user_mounts.iter().filter(|mount| !matches!(mount.kind, MountKind::Tmpfs(_)));
        mounts.extend(taken.cloned().map(|mut mount| {
            mount.writable &= !read_only;
            if let MountKind::Volume { copy, name, wish, .. } = &mut mount.kind {
                // It was copied when the volume was new.
                *copy = false;
                // Also one that nobody gave a name has one by now.
                wish.name.clone_from(name);
            }
            mount
        }));
    }
    Ok(mounts)
}

fn parse(specification: &str) -> Result<(&str, bool), Error> {
    let (container, mode) = specification.split_once(':').unwrap_or((specification, "rw"));
    if container.is_empty() {
        return Err(Error::Invalid(format!("invalid volumesFrom specification: {specification}")));
    }
    match mode {
        "ro" => Ok((container, true)),
        "rw" | "z" | "Z" => Ok((container, false)),
        _ => Err(Error::Invalid(format!("invalid mode for volumes-from: {mode}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mode_is_read_write_unless_given() {
        assert_eq!(parse("db").unwrap(), ("db", false));
        assert_eq!(parse("db:ro").unwrap(), ("db", true));
        assert_eq!(parse("db:x").unwrap_err().to_string(), "invalid mode for volumes-from: x");
        assert_eq!(parse(":ro").unwrap_err().to_string(), "invalid volumesFrom specification: :ro");
    }
}
