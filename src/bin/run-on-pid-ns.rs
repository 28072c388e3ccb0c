//! Runs another init in namespaces of its own.

fn main() {}
