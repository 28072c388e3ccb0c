//! The C programs of `tests/daemons`, compiled when a test first asks for one.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;

/// Copies a program, by cp(1): while a file is open for writing in this process, a child that another
/// test has just cloned holds it too, and until that executes its own program nobody can execute this
/// one (ETXTBSY, execve(2)).
pub fn copy_program(from: &str, to: &Path) {
    assert!(Command::new("cp").arg(from).arg(to).status().expect("cp").success(), "{from}");
}

/// The path of a compiled program; its source is `tests/daemons/<name>.c`.
pub fn program(name: &str) -> String {
    static BUILT: Mutex<Option<HashMap<String, PathBuf>>> = Mutex::new(None);
    // A test that panicked while it held the lock left the table as it was.
    let mut built = BUILT.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let path =
        built.get_or_insert_default().entry(name.to_owned()).or_insert_with(|| compile(name));
    path.to_str().expect("a path in UTF-8").to_owned()
}

/// Compiles to a name of this process's own and renames, so that test programs that run at the
/// same time never execute a file that is being written.
fn compile(name: &str) -> PathBuf {
    let source =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/daemons").join(format!("{name}.c"));
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let (fresh, done) = (folder.join(format!("{name}-{}", std::process::id())), folder.join(name));
    let status = Command::new("cc")
        .args(["-Wall", "-Wextra", "-Werror", "-O1", "-o"])
        .args([&fresh, &source])
        .status()
        .expect("cc is not there: scripts/setup installs it");
    assert!(status.success(), "cc could not compile {}", source.display());
    std::fs::rename(&fresh, &done).expect("rename");
    done
}
