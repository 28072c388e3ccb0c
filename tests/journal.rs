//! The log lane as a process: what it promises to services and to readers.

#[path = "journal/lane.rs"]
mod lane;

use std::io::{ErrorKind, Write};
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use treeward::journal::{Follower, Reader, lines::LINE_MAX};

use lane::{Lane, numbers, wait_for, write, write_numbers};

#[test]
fn three_writers_lose_no_line_and_keep_their_order() {
    let lane = Lane::start(&["--log-size", "1000000000"]);
    let writers: Vec<_> = ["a", "b", "c"]
        .map(|unit| {
            let mut fifo = lane.fifo(unit);
            std::thread::spawn(move || write_numbers(&mut fifo, 0..100_000))
        })
        .into();
    writers
        .into_iter()
        .for_each(|writer| writer.join().unwrap());
    for unit in ["a", "b", "c"] {
        let size = 100_000 * 125;
        wait_for("all lines", || (lane.log(unit).len() >= size).then_some(()));
        assert!(
            numbers(&lane.texts(unit)).into_iter().eq(0..100_000),
            "{unit}"
        );
    }
}

#[test]
fn the_bytes_of_a_line_stay_and_a_long_line_is_cut_with_a_mark() {
    let lane = Lane::start(&[]);
    let mut fifo = lane.fifo("a");
    let mut sent: Vec<u8> = (0..=255).filter(|&byte| byte != b'\n').collect();
    sent.push(b'\n');
    sent.extend(vec![b'x'; 2 * LINE_MAX + 7]);
    sent.extend(b"\nend\n");
    fifo.write_all(&sent).unwrap();
    lane.wait_for_text("a", "end");
    let log = lane.log("a");
    assert_eq!(log[25..281], sent[..256]);
    let lines = lane.texts("a");
    let piece = "x".repeat(LINE_MAX);
    assert_eq!(lines[1..3], [format!("{piece} \\"), format!("{piece} \\")]);
    assert_eq!(lines[3..], ["xxxxxxx", "end"]);
}

#[test]
fn a_line_without_an_end_is_written_after_a_second_or_with_its_fifo() {
    let lane = Lane::start(&[]);
    let (mut prompt, mut gone) = (lane.fifo("prompt"), lane.fifo("gone"));
    let begin = Instant::now();
    prompt.write_all(b"login: ").unwrap();
    lane.wait_for_text("prompt", "login: ");
    assert!(begin.elapsed() >= Duration::from_millis(900));
    gone.write_all(b"first\nlast words").unwrap();
    std::fs::remove_file(lane.fifo_path("gone")).unwrap();
    lane.wait_for_text("gone", "last words");
    assert_eq!(lane.texts("gone"), ["first", "last words"]);
}

#[test]
fn fifos_are_found_at_the_start_later_and_again_under_the_same_name() {
    let mut lane = Lane::prepare(&[]);
    lane.fifo("early").write_all(b"one\n").unwrap();
    lane.run();
    lane.wait_for_text("early", "one");
    std::fs::remove_file(lane.fifo_path("early")).unwrap();
    lane.fifo("early").write_all(b"three\n").unwrap();
    lane.wait_for_text("early", "three");
    // No FIFO, no unit name: neither is opened.
    write(&lane.fifo_path("plain"), "text\n");
    nix::unistd::mkfifo(&lane.fifo_path(".hidden"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    lane.fifo("treeward").write_all(b"four\n").unwrap();
    lane.wait_for_text("treeward", "four");
    let lsof = std::fs::read_dir(format!("/proc/{}/fd", lane.pid())).unwrap();
    let open: Vec<_> = lsof
        .flatten()
        .flat_map(|fd| std::fs::read_link(fd.path()))
        .collect();
    assert!(open.contains(&lane.fifo_path("treeward")));
    assert!(!open.contains(&lane.fifo_path("plain")) && !open.contains(&lane.fifo_path(".hidden")));
}

#[test]
fn rotation_loses_no_line_and_keeps_to_size_and_count() {
    let lane = Lane::start(&["--log-size", "20000", "--log-count", "1000"]);
    let (mut all, bounded) = (
        lane.fifo("a"),
        Lane::start(&["--log-size", "999", "--log-count", "3"]),
    );
    write_numbers(&mut all, 0..20_000);
    wait_for("the last line", || {
        lane.texts("a").last()?.ends_with("19999").then_some(())
    });
    assert!(numbers(&lane.all_texts("a")).into_iter().eq(0..20_000));
    assert_eq!(lane.files("a").len(), 20_000 * 125 / 20_000);
    let mut fifo = bounded.fifo("b");
    write_numbers(&mut fifo, 0..1_000);
    // A line that is longer than a file has a file of its own.
    fifo.write_all(&[b'y'; 2_000]).unwrap();
    fifo.write_all(b"\nend\n").unwrap();
    bounded.wait_for_text("b", "end");
    let sizes: Vec<_> = bounded
        .files("b")
        .iter()
        .map(|path| path.metadata().unwrap().len())
        .collect();
    assert_eq!(sizes, [6 * 125, 25 + 2_000 + 1, 25 + 3 + 1]);
}

#[test]
fn an_interrupted_rotation_is_completed_without_losing_the_oldest_file() {
    let lane = Lane::start(&["--log-size", "129", "--log-count", "5"]);
    std::fs::create_dir(lane.log_dir()).unwrap();
    let file = |name: &str| lane.log_dir().join(name);
    // As a crash leaves it after `.log.2` became `.log.3`.
    for (name, text) in [
        ("a.log.4", "4"),
        ("a.log.3", "3"),
        ("a.log.1", "1"),
        ("a.log", "torn"),
    ] {
        write(&file(name), text);
    }
    write_numbers(&mut lane.fifo("a"), 7..8);
    wait_for("the rotation", || {
        (lane.files("a").len() == 5 && lane.log("a").len() == 125).then_some(())
    });
    let old: Vec<_> = lane.files("a")[..4]
        .iter()
        .map(|p| std::fs::read(p).unwrap())
        .collect();
    assert_eq!(old, [&b"4"[..], b"3", b"1", b"torn\n"]);
}

#[test]
fn a_killed_lane_costs_the_writer_nothing_and_at_most_one_read() {
    // Small files, so that some kills hit a rotation.
    let mut lane = Lane::start(&["--log-size", "50000", "--log-count", "1000"]);
    let mut fifo = lane.fifo("a");
    let writer = std::thread::spawn(move || write_numbers(&mut fifo, 0..300_000));
    let kills = 20;
    for round in 1..=kills {
        let file = lane.log_dir().join(format!("a.log.{}", round * 30));
        wait_for("some lines", || {
            (file.exists() || writer.is_finished()).then_some(())
        });
        lane.end(Signal::SIGKILL);
        lane.run();
    }
    writer.join().unwrap();
    wait_for("the last line", || {
        lane.log("a").ends_with(b"0299999\n").then_some(())
    });
    // A line that was begun before a kill lost its head, or was torn in the file.
    let log = lane.all_bytes("a");
    let whole = log
        .split(|&byte| byte == b'\n')
        .filter(|line| line.len() == 124);
    let found: Vec<u32> = whole
        .map(|line| std::str::from_utf8(&line[25..]).unwrap().parse().unwrap())
        .collect();
    assert!(
        found.is_sorted_by(|a, b| a < b),
        "a line is there twice or out of order"
    );
    let lost = 300_000 - found.len();
    assert!(lost <= kills * (256 * 1024 / 100 + 2), "{lost} lines lost");
}

#[test]
fn a_full_disk_blocks_nobody_and_the_lost_lines_are_counted() {
    let mut lane = Lane::prepare(&[]);
    std::fs::create_dir(lane.log_dir()).unwrap();
    let mut command = Command::new("unshare");
    command.args([
        "-m",
        "sh",
        "-c",
        "mount -t tmpfs -o size=1m,mode=755 none \"$0\" && exec \"$@\"",
    ]);
    let inner = lane.command();
    command
        .arg(lane.log_dir())
        .arg(inner.get_program())
        .args(inner.get_args());
    let mut fifo = lane.fifo("a");
    lane.run_as(command);
    let inside = format!("/proc/{}/root{}", lane.pid(), lane.log_dir().display());
    let log = || std::fs::read(format!("{inside}/a.log")).unwrap_or_default();
    fifo.write_all(b"before\n").unwrap();
    wait_for("the first line", || {
        log().ends_with(b" before\n").then_some(())
    });
    let _ = std::fs::write(format!("{inside}/fill"), vec![0; 2_000_000]);
    write_numbers(&mut fifo, 0..100_000);
    std::fs::remove_file(format!("{inside}/fill")).unwrap();
    std::fs::remove_file(format!("{inside}/a.log")).unwrap();
    let note = wait_for("the note", || {
        let texts = lane::texts(&log());
        let last = texts.iter().any(|text| text.ends_with("99999"));
        let at = texts
            .iter()
            .position(|text| text.starts_with("treeward: "))?;
        last.then(|| texts[at..].to_vec())
    });
    let lost: usize = note[0].split(' ').nth(1).unwrap().parse().unwrap();
    let why = format!("treeward: {lost} lines lost, because: No space left on device");
    assert!(note[0].starts_with(&why), "{}", note[0]);
    let kept = numbers(&note[1..]);
    assert!(
        kept.iter().copied().eq(kept[0]..100_000),
        "the newest stay, in order"
    );
    assert!(
        lost > 50_000 && kept.len() > 5_000,
        "{lost} lost, {} kept",
        kept.len()
    );
}

#[test]
fn lines_wait_until_the_log_directory_can_be_made() {
    let mut lane = Lane::prepare(&[]);
    write(&lane.log_dir(), "in the way");
    lane.run();
    let mut fifo = lane.fifo("a");
    fifo.write_all(b"early\n").unwrap();
    lane.fifo("b").write_all(b"also early\n").unwrap();
    fifo.write_all(b"later\n").unwrap();
    std::fs::remove_file(lane.log_dir()).unwrap();
    lane.wait_for_text("a", "later");
    lane.wait_for_text("b", "also early");
    assert_eq!(lane.texts("a"), ["early", "later"]);
}

#[test]
fn planted_links_and_directories_of_others_are_refused() {
    let lane = Lane::start(&[]);
    let target = lane.dir.path().join("shadow");
    write(&target, "secret\n");
    std::fs::create_dir(lane.log_dir()).unwrap();
    let link = lane.log_dir().join("a.log");
    std::os::unix::fs::symlink(&target, &link).unwrap();
    let (mut bad, mut good) = (lane.fifo("a"), lane.fifo("b"));
    bad.write_all(b"root:x\n").unwrap();
    good.write_all(b"one\n").unwrap();
    lane.wait_for_text("b", "one");
    assert!(lane.files("a") == [link.clone()] && link.is_symlink());
    std::fs::remove_file(&link).unwrap();
    lane.wait_for_text("a", "root:x");
    assert_eq!(std::fs::read_to_string(&target).unwrap(), "secret\n");

    let mode = |bits| std::fs::Permissions::from_mode(bits);
    std::fs::set_permissions(lane.log_dir(), mode(0o777)).unwrap();
    lane.signal(Signal::SIGHUP);
    // The file is opened anew after the signal, which may come after the first lines.
    let before = wait_for("the refusal", || {
        let before = lane.texts("b").len();
        good.write_all(b"two\n").unwrap();
        let again = Instant::now() + Duration::from_millis(300);
        while lane.texts("b").len() == before {
            if Instant::now() > again {
                return Some(before);
            }
        }
        None
    });
    std::fs::set_permissions(lane.log_dir(), mode(0o755)).unwrap();
    wait_for("the held line", || {
        (lane.texts("b").len() == before + 1).then_some(())
    });
}

#[test]
fn three_floods_do_not_delay_a_quiet_service() {
    let lane = Lane::start(&["--log-size", "1000000", "--log-count", "2"]);
    let stop = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let floods = ["f1", "f2", "f3"].map(|unit| {
        let (mut fifo, stop) = (lane.fifo(unit), stop.clone());
        std::thread::spawn(move || {
            let lines = b"flood flood flood\n".repeat(500);
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                fifo.write_all(&lines).unwrap();
            }
        })
    });
    wait_for("the floods", || (lane.files("f3").len() == 2).then_some(()));
    let mut quiet = lane.fifo("quiet");
    let mut delays: Vec<_> = (0..50)
        .map(|n| {
            let begin = Instant::now();
            writeln!(quiet, "{n}").unwrap();
            lane.wait_for_text("quiet", &n.to_string());
            begin.elapsed()
        })
        .collect();
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    floods.into_iter().for_each(|flood| flood.join().unwrap());
    delays.sort();
    assert!(delays[25] < Duration::from_millis(250), "{delays:?}");
}

#[test]
fn a_service_that_is_held_up_by_its_pipe_holds_up_nobody_else() {
    let lane = Lane::start(&[]);
    let (mut a, mut b) = (lane.fifo("a"), lane.fifo("b"));
    lane.freeze();
    let mut full = lane.open_nonblocking("a");
    while full.write(&[b'x'; 4096]).is_ok() {}
    assert_eq!(full.write(b"x").unwrap_err().kind(), ErrorKind::WouldBlock);
    b.write_all(b"free\n").unwrap();
    lane.signal(Signal::SIGCONT);
    lane.wait_for_text("b", "free");
    a.write_all(b"\nfree\n").unwrap();
    lane.wait_for_text("a", "free");
}

#[test]
fn sigterm_drains_what_is_in_the_fifos() {
    let mut lane = Lane::start(&[]);
    let mut fifo = lane.fifo("a");
    fifo.write_all(b"one\n").unwrap();
    lane.wait_for_text("a", "one");
    lane.freeze();
    write_numbers(&mut fifo, 0..500);
    fifo.write_all(b"no end").unwrap();
    lane.signal(Signal::SIGTERM);
    assert_eq!(lane.end(Signal::SIGCONT).code(), Some(0));
    let texts = lane.texts("a");
    assert_eq!((texts.len(), texts[501].as_str()), (502, "no end"));
}

#[test]
fn a_second_lane_leaves_at_once_and_a_removed_file_comes_back() {
    let lane = Lane::start(&[]);
    let status = lane.command().status().unwrap();
    assert_eq!(status.code(), Some(0));
    let mut fifo = lane.fifo("a");
    fifo.write_all(b"one\n").unwrap();
    lane.wait_for_text("a", "one");
    std::fs::remove_file(&lane.files("a")[0]).unwrap();
    fifo.write_all(b"two\n").unwrap();
    lane.wait_for_text("a", "two");
}

#[test]
fn a_thousand_idle_services_cost_no_wake_up_and_little_memory() {
    let lane = Lane::start(&[]);
    let fifos: Vec<_> = (0..1_000)
        .map(|n| lane.fifo(&format!("unit-{n}")))
        .collect();
    for mut fifo in &fifos {
        fifo.write_all(b"hello\n").unwrap();
    }
    lane.wait_for_text("unit-999", "hello");
    wait_for("all lines", || {
        (0..1_000)
            .all(|n| !lane.log(&format!("unit-{n}")).is_empty())
            .then_some(())
    });
    let switches = || {
        let status = std::fs::read_to_string(format!("/proc/{}/status", lane.pid())).unwrap();
        let line = status
            .lines()
            .find(|line| line.starts_with("voluntary_ctxt"))
            .unwrap();
        line.to_owned()
    };
    let quiet = Duration::from_millis(400);
    wait_for("a quiet time", || {
        let before = switches();
        std::thread::sleep(quiet);
        (switches() == before).then_some(())
    });
    let rollup = std::fs::read_to_string(format!("/proc/{}/smaps_rollup", lane.pid())).unwrap();
    let dirty = rollup
        .lines()
        .find_map(|line| line.strip_prefix("Private_Dirty:"))
        .unwrap();
    let kib: u64 = dirty.trim().trim_end_matches(" kB").parse().unwrap();
    assert!(kib < 1_536, "{kib} KiB");
}

#[test]
fn following_gives_every_line_once_across_rotations() {
    let lane = Lane::start(&["--log-size", "100000", "--log-count", "50"]);
    let mut fifo = lane.fifo("a");
    write_numbers(&mut fifo, 0..1_000);
    wait_for("the last line", || {
        lane.texts("a").last()?.ends_with("0999").then_some(())
    });
    let last = Reader::last(&lane.log_dir(), "a", 900).unwrap();
    assert_eq!(
        (last.len(), last[0].bytes().ends_with(b"0100")),
        (900, true)
    );

    let mut follower = Follower::new(&lane.log_dir(), "a", 10).unwrap();
    let writer = std::thread::spawn(move || {
        for n in 1_000..20_000 {
            write_numbers(&mut fifo, n..n + 1);
            // Some pauses, so that the follower catches up and waits for changes as well.
            if n % 500 == 0 {
                std::thread::sleep(Duration::from_millis(5));
            }
        }
    });
    let mut found = Vec::new();
    while found.last() != Some(&19_999) {
        let lines = follower.wait_more(Some(Duration::from_secs(30))).unwrap();
        assert!(!lines.is_empty(), "no more after {:?}", found.last());
        for line in lines {
            assert!(line.stamp().is_some());
            found.push(
                std::str::from_utf8(line.bytes())
                    .unwrap()
                    .parse::<u32>()
                    .unwrap(),
            );
        }
    }
    writer.join().unwrap();
    assert!(found.into_iter().eq(990..20_000));
    assert!(
        follower
            .wait_more(Some(Duration::from_millis(20)))
            .unwrap()
            .is_empty()
    );
    // A file that somebody removes is not taken for a rotation.
    std::fs::remove_file(lane.log_dir().join("a.log")).unwrap();
    assert!(
        follower
            .wait_more(Some(Duration::from_millis(20)))
            .unwrap()
            .is_empty()
    );
    lane.open("a").write_all(b"new\n").unwrap();
    let lines = follower.wait_more(Some(Duration::from_secs(30))).unwrap();
    assert_eq!(
        lines.iter().map(|line| line.bytes()).collect::<Vec<_>>(),
        [b"new"]
    );
}

/// A cgroup tree `services/web/1` of its own.
struct Leaf(std::path::PathBuf);

impl Leaf {
    fn new() -> Self {
        let name = format!("treeward-journal-{}", std::process::id());
        let root = std::path::Path::new("/sys/fs/cgroup/unified").join(name);
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
    let services = format!(
        "/{}/services",
        leaf.0.file_name().unwrap().to_str().unwrap()
    );
    let mut lane = Lane::prepare(&[]);
    let socket = lane.dir.path().join("devlog");
    let path = socket.to_str().unwrap().to_owned();
    // A dead socket stands in the way, as after kill -9.
    drop(std::os::unix::net::UnixDatagram::bind(&socket).unwrap());
    let mut command = lane.command();
    command.args(["--syslog", &path, "--services-cgroup", &services]);
    lane.run_as(command);
    wait_for("the socket", || {
        std::os::unix::net::UnixDatagram::unbound()
            .unwrap()
            .connect(&socket)
            .ok()
    });

    let procs = leaf.0.join("services/web/1/cgroup.procs");
    let script = "echo $$ > \"$0\" && exec logger -u \"$1\" --socket-errors=on -t web";
    let mut logger = Command::new("sh")
        .args(["-c", script, procs.to_str().unwrap(), &path])
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    // It lives while its standard input is open.
    logger
        .stdin
        .as_mut()
        .unwrap()
        .write_all(b"from the leaf\n")
        .unwrap();
    lane.wait_for_text("web", "web: from the leaf");
    drop(logger.stdin.take());
    assert!(logger.wait().unwrap().success());

    let here = std::os::unix::net::UnixDatagram::unbound().unwrap();
    here.send_to(b"<13>Nov 22 19:48:51 test[1]: a\nb\n", &socket)
        .unwrap();
    lane.wait_for_text("syslog", "b");
    lane.freeze();
    let gone = Command::new("logger")
        .args(["-u", &path, "-t", "web", "late"])
        .spawn()
        .unwrap();
    let pid = gone.id();
    assert!({ gone }.wait().unwrap().success());
    lane.signal(Signal::SIGCONT);
    lane.wait_for_text("syslog", &format!("(process {pid}, gone) web: late"));
    assert_eq!(lane.texts("syslog")[..2], ["test[1]: a", "b"]);
    assert_eq!(lane.texts("web").len(), 1);
    assert_eq!(lane.end(Signal::SIGTERM).code(), Some(0));
    assert!(!socket.exists());

    // A living socket is somebody else's: the lane goes on without.
    let other = std::os::unix::net::UnixDatagram::bind(&socket).unwrap();
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
