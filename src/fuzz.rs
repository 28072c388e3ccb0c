//! What is read from others, and what must hold for every input there can be.
//!
//! Each room states this next to its own readers, in `properties.rs`. Two ask for it: the fuzzing
//! program (`scripts/fuzz`), which looks for an input that breaks it, and an ordinary test, which
//! tries every input that is kept in `tests/corpus/`.

use crate::{journal, launcher, protocol, unit_file};

/// Something that reads what others wrote.
pub struct Target {
    /// What `scripts/fuzz` and the directory of the corpus call it.
    pub name: &'static str,
    /// Reads this input, and panics where something does not hold.
    pub check: fn(&[u8]),
    /// Bytes of memory that any input may take, and how many more for each of its own.
    pub memory: (u64, u64),
}

/// All of them.
pub const TARGETS: &[Target] = &[
    Target { name: "unit", check: unit_file::properties::unit, memory: (512 << 10, 4_096) },
    Target { name: "instance", check: unit_file::properties::instance, memory: (4 << 20, 4_096) },
    Target { name: "control", check: protocol::properties::control, memory: (256 << 10, 64) },
    Target { name: "pid-file", check: launcher::properties::pid_file, memory: (1 << 10, 4) },
    Target { name: "notice", check: launcher::properties::notice, memory: (4 << 10, 32) },
    Target { name: "record", check: launcher::properties::record, memory: (64 << 10, 64) },
    Target { name: "log", check: journal::properties::log, memory: (4 << 10, 256) },
    Target { name: "syslog", check: journal::properties::syslog, memory: (4 << 10, 32) },
];

/// Milliseconds of processor time that any input may take, and how many more for each of its
/// bytes. A hundred times what they take here: a reader that is quadratic goes far beyond.
const TIME: (u64, u64) = (200, 1);

impl Target {
    /// Finds one by its name.
    #[must_use]
    pub fn find(name: &str) -> Option<&'static Self> {
        TARGETS.iter().find(|target| target.name == name)
    }

    /// Asserts that an input of this length took no more than it may.
    ///
    /// # Panics
    /// When it took more.
    pub fn assert_bounds(&self, length: usize, memory: u64, millis: u64) {
        let length = length as u64;
        let bound = |(base, each): (u64, u64)| base + each * length;
        let (most, longest) = (bound(self.memory), bound(TIME));
        assert!(memory <= most, "{length} bytes took {memory} bytes of memory, not {most}");
        assert!(millis <= longest, "{length} bytes took {millis} ms, not {longest}");
    }
}

/// The processor time of this thread in milliseconds, which no busy machine makes longer.
#[must_use]
pub fn thread_time() -> u64 {
    let clock = nix::time::ClockId::CLOCK_THREAD_CPUTIME_ID;
    let time = nix::time::clock_gettime(clock).map(std::time::Duration::from);
    time.map_or(0, |time| time.as_millis().try_into().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::{Path, PathBuf};

    use super::{TARGETS, thread_time};

    fn kept(target: &str) -> Vec<(PathBuf, Vec<u8>)> {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus").join(target);
        let entries = fs::read_dir(&dir).unwrap_or_else(|e| panic!("{}: {e}", dir.display()));
        let paths = entries.map(|entry| entry.unwrap().path());
        paths.map(|path| (path.clone(), fs::read(path).unwrap())).collect()
    }

    #[test]
    fn whatever_is_kept_in_the_corpus_holds() {
        for target in TARGETS {
            let inputs = kept(target.name);
            assert!(inputs.len() >= 5, "{}: {} inputs are kept", target.name, inputs.len());
            for (path, input) in inputs {
                let began = thread_time();
                let check = || (target.check)(&input);
                let result = std::panic::catch_unwind(|| allocation_counter::measure(check));
                let Ok(used) = result else { panic!("{} broke it", path.display()) };
                target.assert_bounds(input.len(), used.bytes_max, thread_time() - began);
            }
        }
    }

    #[test]
    fn every_directory_of_the_corpus_has_its_target() {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus");
        for entry in fs::read_dir(dir).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            assert!(super::Target::find(&name).is_some(), "tests/corpus/{name}");
        }
    }

    #[test]
    #[should_panic(expected = "bytes of memory")]
    fn an_input_that_takes_too_much_memory_is_found_out() {
        let used = allocation_counter::measure(|| drop(vec![1_u8; 1 << 20]));
        super::Target::find("pid-file").unwrap().assert_bounds(3, used.bytes_max, 0);
    }
}
