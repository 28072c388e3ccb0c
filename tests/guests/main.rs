//! The tests of `run-on-pid-ns`: the real program, with real inits as its guests.
//!
//! - `runner`: one run in a cgroup of its own, looked at from outside and from inside.
//! - `ends`: how a guest ends, and what follows.
//! - `world`: what a guest has of its own, and what it shares when asked to.
//! - `damage`: every way in which a guest was seen to damage its host.
//! - `stop`: that a stop is said in the guest's own words, and what happens to the deaf.
//! - `units`: systemd and runit as units of a real supervisor, entered by `slc enter`.
//!
//! They need root, and namespaces of every kind; without, they fail and say so.

#[path = "../house/mod.rs"]
mod house;

mod damage;
mod ends;
mod runner;
mod stop;
mod units;
mod world;
