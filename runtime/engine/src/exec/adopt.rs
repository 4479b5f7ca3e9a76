//! After a restart of the daemon: execs that an earlier one started.

use std::path::Path;
use std::sync::Arc;

use beeline_spawn::protocol::EXEC_DIR;

use super::registry::Entry;
use super::{ExecState, process};
use crate::container::view::ContainerView;
use crate::shared::Shared;

/// Takes over the execs of a container that runs, also those that have ended meanwhile.
pub(crate) fn adopt(shared: &Arc<Shared>, view: &Arc<ContainerView>) {
    let directory = shared.run_dir(&view.id).join(EXEC_DIR);
    let files = std::fs::read_dir(&directory).into_iter().flatten().flatten();
    for path in files.map(|file| file.path()) {
        let Some((id, record)) = read(&path) else {
            // A daemon that died while it wrote it had not told the shim.
            let _ = std::fs::remove_file(&path);
            continue;
        };
        shared.execs.insert(Entry::new(id.clone(), view.id.clone(), record.config));
        if let Ok(entry) = shared.execs.find(&id) {
            entry.set(ExecState::Running, record.pid);
            tokio::spawn(process::await_end(shared.clone(), view.clone(), entry, record.pid));
        }
    }
}

fn read(path: &Path) -> Option<(String, process::Record)> {
    let id = path.file_stem()?.to_str()?.to_owned();
    Some((id, serde_json::from_slice(&std::fs::read(path).ok()?).ok()?))
}
