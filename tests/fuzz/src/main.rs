//! Looks for inputs that break what must hold (see `treeward::fuzz`). TREEWARD_FUZZ names the
//! target; the arguments are libFuzzer's. `scripts/fuzz` builds and runs this.

#![no_main]

use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use treeward::fuzz::{Target, thread_time};

static TARGET: OnceLock<&Target> = OnceLock::new();

fn choose() -> &'static Target {
    let name = std::env::var("TREEWARD_FUZZ").unwrap_or_default();
    Target::find(&name).unwrap_or_else(|| panic!("TREEWARD_FUZZ={name}: there is no such target"))
}

fuzz_target!(|input: &[u8]| {
    let target = TARGET.get_or_init(choose);
    let began = thread_time();
    let used = allocation_counter::measure(|| (target.check)(input));
    target.assert_bounds(input.len(), used.bytes_max, thread_time() - began);
});
