//! Which steps there are, and what can go wrong at each.

use beeline_spawn::fault::Point;
use nix::errno::Errno;

/// What is being done to the container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operation {
    Create,
    Start,
    Exec,
    Connect,
    Disconnect,
    Stop,
    Remove,
    /// A removal by force, which ends the run first.
    Force,
}

/// Who is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Victim {
    Daemon,
    Spawner,
    Shim,
}

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    Kill(Victim),
    Fail(Errno),
}

/// How a step fails that can.
const ERRORS: [Errno; 5] = [Errno::ENOSPC, Errno::EMFILE, Errno::ENOMEM, Errno::EAGAIN, Errno::EINTR];

/// All that is tried while the operation is going on.
pub(super) fn rows(operation: Operation) -> impl Iterator<Item = (Point, Fault)> {
    // By force a run is ended as by a stop; what follows is the removal of one that has ended.
    let walked = if operation == Operation::Force { Operation::Stop } else { operation };
    let points = Point::ALL.iter().copied().filter(move |point| operation_of(*point) == walked);
    points.flat_map(|point| {
        let errors = ERRORS.into_iter().filter(move |_| can_fail(point)).map(Fault::Fail);
        victims(point).iter().copied().map(Fault::Kill).chain(errors).map(move |fault| (point, fault))
    })
}

fn operation_of(point: Point) -> Operation {
    use Point as P;
    match point {
        P::CreateVolume | P::CreateFill | P::CreateRecord | P::CreateStored | P::CreateKnown => {
            Operation::Create
        }
        P::StartJournal | P::StartVolumes | P::StartFiles | P::StartNamespace | P::StartConnect => {
            Operation::Start
        }
        P::StartSpawn | P::SpawnerFork | P::ShimGroup | P::ShimLog | P::ShimListen | P::ShimClone => {
            Operation::Start
        }
        P::ShimCreated | P::StartPublish | P::StartRecord | P::StartRelease | P::ShimStart => {
            Operation::Start
        }
        P::ShimStarted | P::StartDone => Operation::Start,
        P::ExecFile | P::ExecAsk | P::ShimExec | P::RunnerClone | P::ShimExecStarted | P::ExecStarted => {
            Operation::Exec
        }
        P::ExecEnded => Operation::Exec,
        P::ConnectAttach | P::ConnectRoutes | P::ConnectRecord | P::ConnectDone => Operation::Connect,
        P::DisconnectRecord | P::DisconnectDevice | P::DisconnectRoutes | P::DisconnectDone => {
            Operation::Disconnect
        }
        P::StopRemember | P::StopSignal | P::ShimSignal | P::ShimExited | P::ShimExitFile | P::ShimTell => {
            Operation::Stop
        }
        P::EndNetwork | P::EndVolumes | P::EndGroups | P::EndDirectory | P::StoreStatus | P::EndShown => {
            Operation::Stop
        }
        P::RemoveMark | P::RemoveFiles | P::RemoveRecord | P::RemoveVolumes | P::RemoveDone => {
            Operation::Remove
        }
    }
}

/// Whether the step can fail; at the others somebody can only be killed.
fn can_fail(point: Point) -> bool {
    use Point as P;
    !matches!(
        point,
        P::CreateStored
            | P::CreateKnown
            | P::ShimCreated
            | P::ShimStarted
            | P::StartDone
            | P::ShimExecStarted
            | P::ExecStarted
            | P::ExecEnded
            | P::ConnectRoutes
            | P::ConnectRecord
            | P::ConnectDone
            | P::DisconnectDevice
            | P::DisconnectRoutes
            | P::DisconnectDone
            | P::StopRemember
            | P::ShimExited
            | P::ShimTell
            | P::EndShown
            | P::RemoveVolumes
            | P::RemoveDone
    )
}

/// Who may die at the step: a shim only while there is one for certain.
fn victims(point: Point) -> &'static [Victim] {
    use Point as P;
    let without_shim = matches!(
        point,
        P::StartJournal
            | P::StartVolumes
            | P::StartFiles
            | P::StartNamespace
            | P::StartConnect
            | P::StartSpawn
            | P::SpawnerFork
            | P::EndNetwork
            | P::EndVolumes
            | P::EndGroups
            | P::EndDirectory
            | P::StoreStatus
            | P::EndShown
    );
    match operation_of(point) {
        Operation::Start | Operation::Exec | Operation::Stop if !without_shim => {
            &[Victim::Daemon, Victim::Spawner, Victim::Shim]
        }
        _ => &[Victim::Daemon, Victim::Spawner],
    }
}
