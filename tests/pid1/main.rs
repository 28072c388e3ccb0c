//! `init` as process 1 of namespaces of its own, on a small root file system of its own.
//!
//! - `boot`: what is set up before anything else runs, and what may be missing.
//! - `file_systems`: fstab, checks, disks that are there or not.
//! - `keeping`: the launcher dies, is missing, is given up.
//! - `ending`: every way down, and what may stand in it.
//! - `orphans`: ten thousand of them.
//! - `real`: with the real supervisor.
//! - `by_hand`: called by somebody.
//!
//! Each test also proves that the machine's own mounts and hostname are as they were.

#[path = "../house/mod.rs"]
mod house;
mod machine;

mod boot;
mod by_hand;
mod ending;
mod file_systems;
mod keeping;
mod orphans;
mod real;
