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
    fn new() -> Self {
        let name = format!("treeward-journal-{}", std::process::id());
        let root = Path::new("/sys/fs/cgroup/unified").join(name);
        std::fs::create_dir_all(root.join("services/web/1")).unwrap();
        Self(root)
    }
}

impl Drop for Leaf {
    fn drop(&mut self) {
        for below in ["services/web/1", "services/web", "services", ""] {
            // A process that was just reaped may keep the cgroup busy for an instant.
            let end = Instant::now() + Duration::from_secs(5);
            while std::fs::remove_dir(self.0.join(below)).is_err() && Instant::now() < end {
                std::thread::sleep(Duration::from_millis(5));
            }
        }
    }
}

#[test]
fn a_syslog_line_goes_to_the_unit_in_whose_leaf_its_sender_is() {
    let leaf = Leaf::new();
    let services = format!("/{}/services", leaf.0.file_name().unwrap().to_str().unwrap());
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
    lane.freeze();
    let gone = Command::new("logger").args(["-u", &path, "-t", "web", "late"]).spawn().unwrap();
    let pid = gone.id();
    assert!({ gone }.wait().unwrap().success());
    lane.signal(Signal::SIGCONT);
    lane.wait_for_text("syslog", &format!("(process {pid}, gone) web: late"));
    assert_eq!(lane.texts("syslog")[..2], ["test[1]: a", "b"]);
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
