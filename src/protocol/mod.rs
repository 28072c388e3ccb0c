//! The control socket's language: a small part of Varlink (<https://varlink.org>) over
//! `serde_json`, so that any Varlink client can ask what there is and call it.
//!
//! A message is one JSON object on one line. It ends with NUL, as Varlink has it, or with a
//! newline, so that `echo '{"method":"List"}' | nc -U socket` works by hand; the answer ends the
//! way the question did.
//!
//! - [`message`]: what can be asked and answered, as types.
//! - [`wire`]: those types to and from bytes.
//! - [`listener`]: the socket itself, and who may do what on it.
//! - [`server`]: all connections as one value that an event loop turns.
//! - [`client`]: one connection seen from the other end; blocking, with time-outs.

pub mod client;
mod connection;
#[cfg(test)]
mod interface;
pub mod listener;
pub mod message;
#[cfg(any(test, fuzzing))]
pub mod properties;
pub mod server;
pub mod wire;

pub use message::{Failure, Reply, Request, Verb, Who};

/// The name of our interface.
pub const INTERFACE: &str = "org.treeward.Supervisor";

/// The description of our interface, which `GetInterfaceDescription` returns.
pub const DESCRIPTION: &str = include_str!("org.treeward.Supervisor.varlink");

/// Where the control socket is unless something else is asked for.
pub const SOCKET: &str = "/run/treeward/control.sock";

/// The longest message in bytes that a server takes.
pub const MAX_MESSAGE: usize = 64 * 1024;
