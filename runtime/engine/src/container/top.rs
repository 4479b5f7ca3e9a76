//! The processes of a container, as `ps` shows them.
//!
//! Docker runs the host's ps. For its default, `-ef`, the answer is read from /proc, so that no ps is needed; with other
//! options the host's ps is asked.

mod list;
mod ps;

use crate::engine::Engine;
use crate::error::Error;

/// Docker's default.
const DEFAULT: &str = "-ef";

/// A table of processes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Top {
    /// The columns' titles.
    pub titles: Vec<String>,
    /// The processes, each with as many cells.
    pub processes: Vec<Vec<String>>,
}

impl Engine {
    /// The processes of a container that runs, in the format that ps' options say; `-ef` if they are empty.
    ///
    /// # Errors
    /// There is no such container, it does not run, or ps fails.
    pub async fn top(&self, reference: &str, options: &str) -> Result<Top, Error> {
        let view = self.inspect(reference)?;
        if !view.status.state.is_running() {
            return Err(Error::Conflict(format!("container {} is not running", view.id)));
        }
        let (hierarchy, path) =
            (self.shared.hierarchy.clone(), self.shared.cgroup_path(&view.id, &view.config));
        let options = options.to_owned();
        let listed = tokio::task::spawn_blocking(move || {
            let failed = |error: &(dyn std::error::Error + 'static)| {
                Error::internal("list the container's processes", error)
            };
            let group = hierarchy.cgroup(&path).map_err(|error| failed(&error))?;
            let pids = group.processes().map_err(|error| failed(&error))?;
            match options.trim() {
                "" | DEFAULT => list::list(pids),
                options => ps::run(options, &pids),
            }
        });
        listed.await.map_err(|error| Error::internal("list the container's processes", &error))?
    }
}
