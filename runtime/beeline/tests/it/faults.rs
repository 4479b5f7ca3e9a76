//! Every step of a container's life goes wrong in every way: the daemon, the spawner or the shim is killed there, or the
//! step fails. What is told of the container afterwards is true, what was asked for can be asked for again, and nothing
//! of the container stays.
//!
//! The daemon is the one that cargo has built beside the tests: it has fault points ([`beeline_spawn::fault`]).

mod row;
mod table;

use table::Operation;

#[test]
fn a_creation_that_goes_wrong_at_any_step_leaves_no_half_of_a_container() {
    row::walk(Operation::Create);
}

#[test]
fn a_start_that_goes_wrong_at_any_step_leaves_a_container_that_can_be_started() {
    row::walk(Operation::Start);
}

#[test]
fn an_exec_that_goes_wrong_at_any_step_leaves_its_container_as_it_is() {
    row::walk(Operation::Exec);
}

#[test]
fn a_running_container_is_on_a_network_or_not_whatever_goes_wrong_while_it_is_connected() {
    row::walk(Operation::Connect);
}

#[test]
fn a_running_container_is_on_a_network_or_not_whatever_goes_wrong_while_it_is_disconnected() {
    row::walk(Operation::Disconnect);
}

#[test]
fn a_stop_that_goes_wrong_at_any_step_can_be_repeated() {
    row::walk(Operation::Stop);
}

#[test]
fn a_removal_that_goes_wrong_at_any_step_can_be_repeated() {
    row::walk(Operation::Remove);
}

#[test]
fn a_removal_by_force_that_goes_wrong_at_any_step_can_be_repeated() {
    row::walk(Operation::Force);
}
