//! Rotation, kill -9, full disks and planted files.

use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::lane::{self, Lane, numbers, wait_for, write, write_numbers};

/// Scenario L2.
#[test]
fn rotation_loses_no_line_and_keeps_to_size_and_count() {
    let lane = Lane::start(&["--log-size", "20000", "--log-count", "1000"]);
    let (mut all, bounded) =
        (lane.fifo("a"), Lane::start(&["--log-size", "999", "--log-count", "3"]));
    write_numbers(&mut all, 0..20_000);
    wait_for("the last line", || lane.texts("a").last()?.ends_with("19999").then_some(()));
    assert!(numbers(&lane.all_texts("a")).into_iter().eq(0..20_000));
    assert_eq!(lane.files("a").len(), 20_000 * 125 / 20_000);
    let mut fifo = bounded.fifo("b");
    write_numbers(&mut fifo, 0..1_000);
    // A line that is longer than a file has a file of its own.
    fifo.write_all(&[b'y'; 2_000]).unwrap();
    fifo.write_all(b"\nend\n").unwrap();
    bounded.wait_for_text("b", "end");
    let sizes: Vec<_> =
        bounded.files("b").iter().map(|path| path.metadata().unwrap().len()).collect();
    assert_eq!(sizes, [6 * 125, 25 + 2_000 + 1, 25 + 3 + 1]);
}

/// Scenario L5.
#[test]
fn an_interrupted_rotation_is_completed_without_losing_the_oldest_file() {
    let lane = Lane::start(&["--log-size", "129", "--log-count", "5"]);
    std::fs::create_dir(lane.log_dir()).unwrap();
    let file = |name: &str| lane.log_dir().join(name);
    // As a crash leaves it after `.log.2` became `.log.3`.
    for (name, text) in [("a.log.4", "4"), ("a.log.3", "3"), ("a.log.1", "1"), ("a.log", "torn")] {
        write(&file(name), text);
    }
    write_numbers(&mut lane.fifo("a"), 7..8);
    wait_for("the rotation", || {
        (lane.files("a").len() == 5 && lane.log("a").len() == 125).then_some(())
    });
    let old: Vec<_> = lane.files("a")[..4].iter().map(|p| std::fs::read(p).unwrap()).collect();
    assert_eq!(old, [&b"4"[..], b"3", b"1", b"torn\n"]);
}

/// Scenario L5.
#[test]
fn a_killed_lane_costs_the_writer_nothing_and_at_most_one_read() {
    // Small files, so that some kills hit a rotation.
    let mut lane = Lane::start(&["--log-size", "50000", "--log-count", "1000"]);
    let mut fifo = lane.fifo("a");
    let writer = std::thread::spawn(move || write_numbers(&mut fifo, 0..300_000));
    let kills = 20;
    for round in 1..=kills {
        let file = lane.log_dir().join(format!("a.log.{}", round * 30));
        wait_for("some lines", || (file.exists() || writer.is_finished()).then_some(()));
        lane.end(Signal::SIGKILL);
        lane.run();
    }
    writer.join().unwrap();
    wait_for("the last line", || lane.log("a").ends_with(b"0299999\n").then_some(()));
    // A line that was begun before a kill lost its head, or was torn in the file.
    let log = lane.all_bytes("a");
    let whole = log.split(|&byte| byte == b'\n').filter(|line| line.len() == 124);
    let found: Vec<u32> =
        whole.map(|line| std::str::from_utf8(&line[25..]).unwrap().parse().unwrap()).collect();
    assert!(found.is_sorted_by(|a, b| a < b), "a line is there twice or out of order");
    let lost = 300_000 - found.len();
    assert!(lost <= kills * (256 * 1024 / 100 + 2), "{lost} lines lost");
}

/// Scenario L1.
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
    command.arg(lane.log_dir()).arg(inner.get_program()).args(inner.get_args());
    let mut fifo = lane.fifo("a");
    lane.run_as(command);
    let inside = format!("/proc/{}/root{}", lane.pid(), lane.log_dir().display());
    let log = || std::fs::read(format!("{inside}/a.log")).unwrap_or_default();
    fifo.write_all(b"before\n").unwrap();
    wait_for("the first line", || log().ends_with(b" before\n").then_some(()));
    let _ = std::fs::write(format!("{inside}/fill"), vec![0; 2_000_000]);
    write_numbers(&mut fifo, 0..100_000);
    std::fs::remove_file(format!("{inside}/fill")).unwrap();
    std::fs::remove_file(format!("{inside}/a.log")).unwrap();
    let note = wait_for("the note", || {
        let texts = lane::texts(&log());
        let last = texts.iter().any(|text| text.ends_with("99999"));
        let at = texts.iter().position(|text| text.starts_with("treeward: "))?;
        last.then(|| texts[at..].to_vec())
    });
    let lost: usize = note[0].split(' ').nth(1).unwrap().parse().unwrap();
    let why = format!("treeward: {lost} lines lost, because: No space left on device");
    assert!(note[0].starts_with(&why), "{}", note[0]);
    let kept = numbers(&note[1..]);
    assert!(kept.iter().copied().eq(kept[0]..100_000), "the newest stay, in order");
    assert!(lost > 50_000 && kept.len() > 5_000, "{lost} lost, {} kept", kept.len());
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

/// Scenarios F6 and L5.
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
    wait_for("the held line", || (lane.texts("b").len() == before + 1).then_some(()));
}
