//! Treeward: a service supervisor for Linux that holds on to whole process trees.
//!
//! The map of the house, from the rules inward to the doors outward:
//!
//! - [`supervision`]: the rules. Pure: events and `now` go in, actions come out.
//! - [`unit_file`]: YAML text to [`supervision::unit::Unit`], with diagnostics.
//! - [`check`]: what is wrong with units beyond their text: among each other, and on this machine.
//! - [`kernel`]: the doors, one file for each kernel facility; never heard of a service.
//! - [`launcher`]: the only loop, and the only place that knows both rules and doors.
//! - [`journal`]: the log lane, a process of its own that never touches the rules.
//! - [`protocol`]: Varlink on the control socket, for servers and clients.
//! - [`slc`]: the client, for people and scripts.
//! - [`pid1`]: `init`: mounts, keeps the supervisor running, ends the machine.
//! - [`pid_ns`]: `run-on-pid-ns`: another init as process 1 of its own namespaces.
//! - [`console`]: the log lines of `service-launcher` and `init`, in one format.
//! - [`power`]: how a machine ends, the one word that all of them share.
//!
//! `fuzz` is there for tests alone: what holds whatever others write.

pub mod check;
pub mod console;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
pub mod import;
mod index;
pub mod journal;
pub mod kernel;
pub mod launcher;
pub mod pid1;
pub mod pid_ns;
pub mod power;
pub mod protocol;
pub mod slc;
pub mod supervision;
pub mod unit_file;
mod words;
