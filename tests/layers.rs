//! The plan of the house, policed: who may name whom.

use std::fs;
use std::path::{Path, PathBuf};

/// A room, and what its files must not name.
const FORBIDDEN: &[(&str, &[&str])] = &[
    // The rules are pure: no door, no clock, no log, no system call.
    (
        "supervision",
        &[
            "crate::kernel",
            "crate::launcher",
            "crate::unit_file",
            "crate::journal",
            "crate::protocol",
            "crate::slc",
            "nix::",
            "libc::",
            "log::",
            "procfs::",
            "std::fs",
            "std::io",
            "std::net",
            "std::os",
            "std::process",
            "std::thread",
            "Instant::now",
            "SystemTime",
        ],
    ),
    // The doors have never heard of a service.
    (
        "kernel",
        &[
            "crate::supervision",
            "crate::launcher",
            "crate::unit_file",
            "crate::journal",
            "crate::protocol",
            "crate::slc",
        ],
    ),
    ("unit_file", &["crate::kernel", "crate::launcher", "crate::journal", "crate::protocol"]),
    // What others wrote comes in as text; slc reads the files.
    (
        "import",
        &[
            "crate::kernel",
            "crate::launcher",
            "crate::journal",
            "crate::protocol",
            "crate::slc",
            "std::fs",
            "std::io",
            "std::process",
        ],
    ),
    // The log lane knows what a unit's name is, and nothing else of the rules; of the doors it asks
    // who sent a datagram and whose cgroup that is, and nothing else.
    (
        "journal",
        &[
            "supervision::service",
            "supervision::supervisor",
            "supervision::status",
            "supervision::unit::",
            "kernel::{",
            "kernel::cgroup::",
            "kernel::leaf",
            "kernel::spawn",
            "kernel::reap",
            "kernel::process",
            "kernel::files",
            "kernel::fifos",
            "kernel::signals",
            "kernel::poll",
            "crate::launcher",
            "crate::unit_file",
            "crate::protocol",
        ],
    ),
    ("protocol", &["crate::kernel", "crate::launcher", "crate::unit_file", "crate::journal"]),
    // What is wrong with units: it reads them and looks at the machine, and starts nothing.
    (
        "check",
        &[
            "crate::launcher",
            "crate::journal",
            "crate::protocol",
            "crate::slc",
            "supervision::service",
            "supervision::supervisor",
            "kernel::spawn",
            "kernel::leaf",
            "kernel::cgroup",
        ],
    ),
    ("slc", &["crate::kernel", "crate::launcher"]),
    // Process 1 is small: it knows the kernel, and the word that a supervisor ends with.
    (
        "pid1",
        &[
            "crate::supervision",
            "crate::launcher",
            "crate::unit_file",
            "crate::journal",
            "crate::protocol",
            "crate::slc",
        ],
    ),
    // A guest may ask for the machine's end over the control socket, nothing else.
    (
        "pid_ns",
        &[
            "crate::supervision",
            "crate::launcher",
            "crate::unit_file",
            "crate::journal",
            "crate::slc",
        ],
    ),
];

/// Outside crates with one door each.
const DOORS: &[(&str, &[&str])] = &[
    ("cgroups_rs::", &["kernel/tree_kill.rs"]),
    ("procfs::", &["kernel/process.rs", "kernel/processes.rs", "kernel/membership.rs"]),
    ("serde_yaml::", &["unit_file/node.rs"]),
    ("granit_parser::", &["unit_file/plain.rs"]),
    ("regex_lite::", &["unit_file/pattern.rs"]),
    // Each of the three programs waits for signals in one place.
    ("signal_hook::", &["kernel/signals.rs", "journal/lane.rs", "slc/watch.rs"]),
    ("simplelog::", &["console.rs"]),
    ("croner::", &["supervision/calendar.rs"]),
    ("dlmalloc::", &["kernel/heap.rs"]),
    ("clap_complete::", &["slc/completions.rs"]),
    ("clap_mangen::", &["slc/man.rs"]),
    ("unicode_width::", &["slc/style.rs"]),
];

/// The files that may hold unsafe code.
const UNSAFE: &[&str] = &[
    "kernel/sys.rs",
    "kernel/spawn.rs",
    "kernel/spawn/child.rs",
    "kernel/spawn/clone.rs",
    "kernel/spawn/dispositions.rs",
    "kernel/spawn/gate.rs",
    "kernel/heap.rs",
    "kernel/child_memory.rs",
    "kernel/child_sockets.rs",
];

/// The most lines that a file should have.
const MOST_LINES: usize = 480;

fn sources() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    let mut open: Vec<PathBuf> = vec![root.clone()];
    while let Some(dir) = open.pop() {
        for entry in fs::read_dir(&dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                let name = path.strip_prefix(&root).unwrap().to_str().unwrap().to_owned();
                found.push((name, fs::read_to_string(&path).unwrap()));
            }
        }
    }
    assert!(found.len() > 60, "only {} files were found", found.len());
    found
}

/// The lines of code: no comments.
fn code(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let lines = text.lines().enumerate().map(|(at, line)| (at + 1, line.trim_start()));
    lines.filter(|(_, line)| !line.starts_with("//"))
}

fn is_test(name: &str) -> bool {
    name.contains("tests") || name.ends_with("testing.rs") || name.contains("walk")
}

#[test]
fn no_room_names_one_that_it_must_not_know() {
    let mut broken = Vec::new();
    for (name, text) in sources() {
        let rooms = FORBIDDEN.iter().filter(|(room, _)| name.starts_with(&format!("{room}/")));
        for (_, forbidden) in rooms {
            for (number, line) in code(&text) {
                let named = forbidden.iter().find(|word| line.contains(**word));
                broken.extend(named.map(|word| format!("src/{name}:{number} names {word}")));
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn each_outside_crate_has_its_door() {
    let mut broken = Vec::new();
    for (name, text) in sources().iter().filter(|(name, _)| !is_test(name)) {
        for (krate, doors) in DOORS {
            if doors.iter().any(|door| name.starts_with(door)) {
                continue;
            }
            let uses = code(text).filter(|(_, line)| line.contains(krate));
            broken.extend(uses.map(|(number, _)| format!("src/{name}:{number} uses {krate}")));
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn unsafe_code_stays_in_its_files_and_each_block_says_why() {
    for (name, text) in sources().iter().filter(|(name, _)| !is_test(name)) {
        let uses = code(text).filter(|(_, line)| {
            line.contains("unsafe {") || line.contains("unsafe fn") || line.contains("unsafe impl")
        });
        let uses = uses.count();
        assert!(uses == 0 || UNSAFE.contains(&name.as_str()), "src/{name} has unsafe code");
        let reasons = text.matches("// SAFETY:").count() + text.matches("# Safety").count();
        assert!(reasons >= uses.saturating_sub(4), "src/{name}: {uses} unsafe, {reasons} reasons");
    }
}

#[test]
fn files_stay_readable() {
    for (name, text) in sources() {
        let lines = text.lines().count();
        assert!(lines <= MOST_LINES, "src/{name} has {lines} lines");
    }
}
