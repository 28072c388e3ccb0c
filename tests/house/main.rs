//! The house tests: the real programs, on real daemons, in cgroups and namespaces of their own.
//!
//! - `daemons`: the script that every daemon goes through, and the table of the real ones.
//! - `nasty`: the C programs that are nastier than any of them.
//! - `stopping`: what a stop must achieve, and how.
//! - `restarting`: back-off, giving up, oneshots, readiness.
//! - `templates`: instances of templates.
//! - `drop_ins`: several unit directories, drop-ins and masks.
//! - `hooks`: what runs before and after a service.
//! - `imports`: the sandboxes of imported units.
//! - `conditions`: starts that are skipped, and units that cannot live beside each other.
//! - `boot`: whose turn it is to start, and what is told of a boot afterwards.
//! - `order`: dependencies, and units that are wrong.
//! - `readiness`: when a service is up.
//! - `health`: whether it does its work: checks and watchdogs.
//! - `reload`: unit files that change under services that live.
//! - `files`: `slc enable`, `disable` and `edit`.
//! - `findings`: what a machine lacks of what a unit needs.
//! - `power`: going down for an init, and cgroups that services divide.
//! - `paths`: files and directories that start units.
//! - `pid_files`: what a PID file may say.
//! - `birth`: what a service finds when it is born.
//! - `survival`: the supervisor killed, doubled, idle, or without rights.
//! - `timers`: units that are due.
//! - `upgrade`: the supervisor replaced while people wait.
//! - `client`: `slc` and the socket.
//! - `sockets`: sockets that services are given, and connections that start them.
//! - `strangers`: what other users can do and see.

#[path = "mod.rs"]
mod house;

mod birth;
mod boot;
mod client;
mod conditions;
mod daemons;
mod drop_ins;
mod files;
mod findings;
mod health;
mod hooks;
mod imports;
mod nasty;
mod order;
mod paths;
mod pid_files;
mod power;
mod readiness;
mod reload;
mod restarting;
mod sockets;
mod stopping;
mod strangers;
mod survival;
mod templates;
mod timers;
mod upgrade;
