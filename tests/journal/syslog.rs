//! The syslog socket and who sent what.

use std::io::Write;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::lane::{Lane, wait_for};

/// A cgroup tree `services/web/1` of its own.
struct Leaf(PathBuf);

impl Leaf {
    fn new(name: &str) -> Self {
        let name = format!("treeward-journal-{name}-{}", std::process::id());
        let root = Path::new("/sys/fs/cgroup/unified").join(name);
        std::fs::create_dir_all(root.join("services/web/1")).unwrap();
        Self(root)
    }

    /// The cgroup above its units, as /proc/PID/cgroup shows it.
    fn services(&self) -> String {
        format!("/{}/services", self.0.file_name().unwrap().to_str().unwrap())
    }
}

impl Drop for Leaf {
    fn drop(&mut self) {
        let inner = ["services/web/1/inner", "services/web/1", "services/web/2"];
        for below in inner.into_iter().chain(["services/web", "services", ""]) {
            // A process that was just reaped may keep the cgroup busy for an instant.
            let end = Instant::now() + Duration::from_secs(5);
            let below = self.0.join(below);
            while below.exists() && std::fs::remove_dir(&below).is_err() && Instant::now() < end {
                std::thread::sleep(Duration::from_millis(5));
            }
        }
    }
}

/// What a process in the new cgroup `below` of a tree says to the socket at `path` before it ends.
/// Gives its process id.
fn last_words(tree: &Leaf, below: &str, path: &str, text: &str) -> u32 {
    let cgroup = tree.0.join(below);
    std::fs::create_dir_all(&cgroup).unwrap();
    let procs = cgroup.join("cgroup.procs");
    let script = "echo $$ > \"$0\" && exec logger -u \"$1\" --socket-errors=on -t web \"$2\"";
    let mut logger = Command::new("sh")
        .args(["-c", script, procs.to_str().unwrap(), path, text])
        .spawn()
        .unwrap();
    assert!(logger.wait().unwrap().success());
    logger.id()
}

fn remove(tree: &Leaf, below: &str) {
    let cgroup = tree.0.join(below);
    wait_for("the cgroup's end", || std::fs::remove_dir(&cgroup).ok());
}

/// Whether the kernel tells the cgroup of a process that was reaped (6.15).
fn kernel_knows_the_gone() -> bool {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    let mut numbers = release.split(['.', '-']).map_while(|number| number.parse::<u32>().ok());
    (numbers.next(), numbers.next()) >= (Some(6), Some(15))
}

#[test]
fn the_last_words_of_a_process_go_to_its_unit() {
    let tree = Leaf::new("gone");
    let mut lane = Lane::prepare(&[]);
    let socket = lane.dir.path().join("devlog");
    let path = socket.to_str().unwrap().to_owned();
    let mut command = lane.command();
    command.args(["--syslog", &path, "--services-cgroup", &tree.services()]);
    lane.run_as(command);
    wait_for("the socket", || UnixDatagram::unbound().unwrap().connect(&socket).ok());

    // Read only when the sender is buried, and its leaf is there.
    lane.freeze();
    let first = last_words(&tree, "services/web/1", &path, "one");
    let inner = last_words(&tree, "services/web/1/inner", &path, "inner");
    lane.signal(Signal::SIGCONT);
    let said = ["web: one", "web: inner"];
    let here = UnixDatagram::unbound().unwrap();
    here.send_to(b"one was read", &socket).unwrap();
    lane.wait_for_text("syslog", "one was read");

    // The leaf is gone too: known from the line before. The other leaf never said a word.
    lane.freeze();
    let last = last_words(&tree, "services/web/1", &path, "two");
    let stranger = last_words(&tree, "services/web/2", &path, "three");
    for below in ["services/web/1/inner", "services/web/1", "services/web/2"] {
        remove(&tree, below);
    }
    lane.signal(Signal::SIGCONT);
    let lost = |pid, text| format!("(process {pid}, gone) web: {text}");
    lane.wait_for_text("syslog", &lost(stranger, "three"));
    if kernel_knows_the_gone() {
        assert_eq!(lane.texts("web"), [said[0], said[1], "web: two"]);
    } else {
        for text in [lost(first, "one"), lost(inner, "inner"), lost(last, "two")] {
            lane.wait_for_text("syslog", &text);
        }
    }
    assert_eq!(lane.end(Signal::SIGTERM).code(), Some(0));
}

#[test]
fn a_syslog_line_goes_to_the_unit_in_whose_leaf_its_sender_is() {
    let leaf = Leaf::new("alive");
    let services = leaf.services();
    let mut lane = Lane::prepare(&[]);
    let socket = lane.dir.path().join("devlog");
    let path = socket.to_str().unwrap().to_owned();
    // A dead socket stands in the way, as after kill -9.
    drop(UnixDatagram::bind(&socket).unwrap());
    let mut command = lane.command();
    command.args(["--syslog", &path, "--services-cgroup", &services]);
    lane.run_as(command);
    wait_for("the socket", || UnixDatagram::unbound().unwrap().connect(&socket).ok());

    let procs = leaf.0.join("services/web/1/cgroup.procs");
    let script = "echo $$ > \"$0\" && exec logger -u \"$1\" --socket-errors=on -t web";
    let mut logger = Command::new("sh")
        .args(["-c", script, procs.to_str().unwrap(), &path])
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    // It lives while its standard input is open.
    logger.stdin.as_mut().unwrap().write_all(b"from the leaf\n").unwrap();
    lane.wait_for_text("web", "web: from the leaf");
    drop(logger.stdin.take());
    assert!(logger.wait().unwrap().success());

    let here = UnixDatagram::unbound().unwrap();
    here.send_to(b"<13>Nov 22 19:48:51 test[1]: a\nb\n", &socket).unwrap();
    lane.wait_for_text("syslog", "b");
    assert_eq!(lane.texts("syslog"), ["test[1]: a", "b"]);
    assert_eq!(lane.texts("web").len(), 1);
    assert_eq!(lane.end(Signal::SIGTERM).code(), Some(0));
    assert!(!socket.exists());

    // A living socket is somebody else's: the lane goes on without.
    let other = UnixDatagram::bind(&socket).unwrap();
    let mut command = lane.command();
    command.args(["--syslog", &path]);
    lane.run_as(command);
    lane.fifo("a").write_all(b"works\n").unwrap();
    lane.wait_for_text("a", "works");
    here.send_to(b"theirs", &socket).unwrap();
    assert_eq!(other.recv(&mut [0; 10]).unwrap(), 6);
    assert_eq!(lane.end(Signal::SIGTERM).code(), Some(0));
    assert!(socket.exists());
}
