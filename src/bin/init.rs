//! Process 1.

fn main() {}
