//! The log lane as a process: what it promises to services and to readers.

#[path = "journal/lane.rs"]
mod lane;
#[path = "journal/syslog.rs"]
mod syslog;
#[path = "journal/trouble.rs"]
mod trouble;

use std::io::{ErrorKind, Write};
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
    writers.into_iter().for_each(|writer| writer.join().unwrap());
    for unit in ["a", "b", "c"] {
        let size = 100_000 * 125;
        wait_for("all lines", || (lane.log(unit).len() >= size).then_some(()));
        assert!(numbers(&lane.texts(unit)).into_iter().eq(0..100_000), "{unit}");
    }
}

/// Scenario L4.
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

/// Scenario L4.
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
    let open: Vec<_> = lsof.flatten().flat_map(|fd| std::fs::read_link(fd.path())).collect();
    assert!(open.contains(&lane.fifo_path("treeward")));
    assert!(!open.contains(&lane.fifo_path("plain")) && !open.contains(&lane.fifo_path(".hidden")));
}

/// Scenario L2.
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
fn a_lane_ends_when_its_directory_is_removed() {
    let mut lane = Lane::start(&[]);
    let mut fifo = lane.fifo("a");
    fifo.write_all(b"one\n").unwrap();
    lane.wait_for_text("a", "one");
    lane.freeze();
    fifo.write_all(b"last words\n").unwrap();
    std::fs::remove_dir_all(lane.fifo_path("a").parent().unwrap()).unwrap();
    lane.signal(Signal::SIGCONT);
    assert_eq!(lane.wait_for_end().code(), Some(0));
    assert_eq!(lane.texts("a"), ["one", "last words"]);
}

#[test]
fn a_thousand_idle_services_cost_no_wake_up_and_little_memory() {
    let lane = Lane::start(&[]);
    let fifos: Vec<_> = (0..1_000).map(|n| lane.fifo(&format!("unit-{n}"))).collect();
    for mut fifo in &fifos {
        fifo.write_all(b"hello\n").unwrap();
    }
    lane.wait_for_text("unit-999", "hello");
    wait_for("all lines", || {
        (0..1_000).all(|n| !lane.log(&format!("unit-{n}")).is_empty()).then_some(())
    });
    let switches = || {
        let status = std::fs::read_to_string(format!("/proc/{}/status", lane.pid())).unwrap();
        let line = status.lines().find(|line| line.starts_with("voluntary_ctxt")).unwrap();
        line.to_owned()
    };
    let quiet = Duration::from_millis(400);
    wait_for("a quiet time", || {
        let before = switches();
        std::thread::sleep(quiet);
        (switches() == before).then_some(())
    });
    let rollup = std::fs::read_to_string(format!("/proc/{}/smaps_rollup", lane.pid())).unwrap();
    let dirty = rollup.lines().find_map(|line| line.strip_prefix("Private_Dirty:")).unwrap();
    let kib: u64 = dirty.trim().trim_end_matches(" kB").parse().unwrap();
    assert!(kib < 1_536, "{kib} KiB");
}

#[test]
fn following_gives_every_line_once_across_rotations() {
    let lane = Lane::start(&["--log-size", "100000", "--log-count", "50"]);
    let mut fifo = lane.fifo("a");
    write_numbers(&mut fifo, 0..1_000);
    wait_for("the last line", || lane.texts("a").last()?.ends_with("0999").then_some(()));
    let last = Reader::last(&lane.log_dir(), "a", 900).unwrap();
    assert_eq!((last.len(), last[0].bytes().ends_with(b"0100")), (900, true));

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
            found.push(std::str::from_utf8(line.bytes()).unwrap().parse::<u32>().unwrap());
        }
    }
    writer.join().unwrap();
    assert!(found.into_iter().eq(990..20_000));
    assert!(follower.wait_more(Some(Duration::from_millis(20))).unwrap().is_empty());
    // A file that somebody removes is not taken for a rotation.
    std::fs::remove_file(lane.log_dir().join("a.log")).unwrap();
    assert!(follower.wait_more(Some(Duration::from_millis(20))).unwrap().is_empty());
    lane.open("a").write_all(b"new\n").unwrap();
    let lines = follower.wait_more(Some(Duration::from_secs(30))).unwrap();
    assert_eq!(lines.iter().map(|line| line.bytes()).collect::<Vec<_>>(), [b"new"]);
}
