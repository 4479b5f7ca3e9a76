//! The container's command: where it may be, its arguments and its environment.

use std::ffi::{CString, c_char};
use std::fmt;
use std::ptr;

use oci_spec::runtime::Process;

use super::c_string;
use crate::container::Error;
use crate::container::user::MAX_HOME;

/// Where a command without a slash is looked for when the environment has no PATH.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What init executes.
#[derive(Debug)]
pub(crate) struct Command {
    /// As the configuration has it, for messages.
    pub(crate) name: String,
    /// Paths to try, in order.
    pub(crate) candidates: Vec<CString>,
    pub(crate) arguments: Strings,
    pub(crate) environment: Strings,
}

impl Command {
    pub(super) fn new(process: &Process) -> Result<Self, Error> {
        let arguments = process.args().as_deref().unwrap_or_default();
        let Some(name) = arguments.first().filter(|name| !name.is_empty()) else {
            return Err(Error::config("process.args is empty: no command specified"));
        };
        let environment = process.env().as_deref().unwrap_or_default();
        let variable =
            |key: &str| environment.iter().rev().find_map(|entry| entry.strip_prefix(key)?.strip_prefix('='));
        let search = variable("PATH").unwrap_or(DEFAULT_PATH);
        let has_home = variable("HOME").is_some_and(|home| !home.is_empty());
        let entries = environment.iter().filter(|entry| has_home || !entry.starts_with("HOME="));
        Ok(Self {
            name: name.clone(),
            candidates: candidates(name, search)?,
            arguments: Strings::new(arguments.iter(), "process.args", false)?,
            environment: Strings::new(entries, "process.env", !has_home)?,
        })
    }
}

fn candidates(name: &str, search: &str) -> Result<Vec<CString>, Error> {
    if name.contains('/') {
        return Ok(vec![c_string(name, "process.args")?]);
    }
    let directory = |directory: &str| match directory {
        "" => format!("./{name}"),
        directory => format!("{directory}/{name}"),
    };
    search.split(':').map(|path| c_string(directory(path), "process.args")).collect()
}

/// A null-terminated array of C strings, as execve wants it.
pub(crate) struct Strings {
    strings: Vec<CString>,
    pointers: Vec<*const c_char>,
    /// Room for one more string, and for its pointer.
    spare: Option<Box<[u8; MAX_HOME]>>,
}

impl fmt::Debug for Strings {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_list().entries(&self.strings).finish()
    }
}

impl Strings {
    pub(super) fn new<'a>(
        strings: impl Iterator<Item = &'a String>,
        field: &str,
        spare: bool,
    ) -> Result<Self, Error> {
        let strings: Vec<CString> =
            strings.map(|text| c_string(text.as_str(), field)).collect::<Result<_, _>>()?;
        // The heap memory of a CString does not move with the vector.
        let mut pointers: Vec<_> = strings.iter().map(|text| text.as_ptr()).collect();
        pointers.extend([ptr::null(), ptr::null()].iter().take(1 + usize::from(spare)));
        Ok(Self { strings, pointers, spare: spare.then(|| Box::new([0; MAX_HOME])) })
    }

    /// Adds one more string, with its terminating zero, if room was left for it. Allocates nothing.
    pub(crate) fn add(&mut self, text: &[u8]) {
        let Some(spare) = &mut self.spare else { return };
        let (Some(room), [.., 0]) = (spare.get_mut(..text.len()), text) else { return };
        room.copy_from_slice(text);
        if let Some(pointer) = self.pointers.get_mut(self.strings.len()) {
            *pointer = room.as_ptr().cast();
        }
    }

    /// The array; its last element is null.
    pub(crate) fn pointers(&self) -> &[*const c_char] {
        &self.pointers
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_without_slash_is_searched_in_path() {
        let paths = |name, search| candidates(name, search).unwrap();
        assert_eq!(paths("sh", "/bin:/usr/bin"), [c"/bin/sh".to_owned(), c"/usr/bin/sh".to_owned()]);
        assert_eq!(paths("sh", ":/b"), [c"./sh".to_owned(), c"/b/sh".to_owned()]);
        assert_eq!(paths("./sh", "/bin"), [c"./sh".to_owned()]);
    }
}
