//! L: logs, in front of services that write too much, too strangely, or onto a disk that is full.

use std::fs;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use treeward::supervision::status::StateWord;

use crate::house::{House, PATIENCE, Process, eventually};
use crate::supervisor::print;
use crate::watched::{Watched, children_of};
use crate::{SLEEPER, up};

#[test]
fn l1_a_full_log_disk_holds_up_no_service_and_logging_comes_back_by_itself() {
    let unit = "\
command:
- sh
- -c
- seq 1000000 2500000; touch {dir}/written; while ! test -e {dir}/go; do sleep 0.02; done;
  echo after; exec sleep 1000
";
    let mut house = House::vacant(&[("writer", unit), ("sleeper", SLEEPER)]);
    let log = house.path("log").display().to_string();
    let script = "mount -t tmpfs -o size=1m,mode=755 none \"$0\" && exec \"$@\"";
    let words = ["unshare", "--mount", "--propagation", "private", "sh", "-c", script, &log];
    assert!(house.launch_behind(&words));
    let house = Watched::over(house);
    // 12 MB for a disk of 1 MB: the service comes to its end of them all the same.
    let written = || house.path("written").exists();
    assert!(eventually(2 * PATIENCE, written), "the service waits for the log disk");
    assert_eq!(house.status("writer").summary.state, StateWord::Up);
    house.slc_done(&["restart", "sleeper"]);
    let full = || house.shell(&format!("df --output=avail {log} | tail -n 1"));
    assert!(eventually(PATIENCE, || full().trim() == "0"), "{}", full());
    // Somebody makes room; nobody tells the log lane.
    house.shell(&format!("rm {log}/writer.log"));
    house.write("go", "");
    let text = || house.shell(&format!("cat {log}/writer.log 2> /dev/null || true"));
    assert!(eventually(PATIENCE, || text().ends_with(" after\n")), "no line came after the room");
    let text = text();
    let note = text.lines().find(|line| line.contains("treeward: ")).expect("a note of the loss");
    let lost: u64 = note
        .split("treeward: ")
        .nth(1)
        .and_then(|note| note.split(' ').next()?.parse().ok())
        .expect("a number");
    assert!(note.ends_with("lines lost, because: No space left on device"), "{note}");
    assert!(lost > 1_000_000, "{note}");
    // What is kept is the newest, without a gap.
    let kept: Vec<u64> =
        text.lines().filter_map(|line| line.rsplit(' ').next()?.parse().ok()).collect();
    assert!(kept.iter().copied().eq(kept[0]..=2_500_000), "{} lines, not in a row", kept.len());
    // One complaint or a few, not one for each line.
    let complaints = house.read("launcher.log").matches("No space left").count();
    assert!((1..20).contains(&complaints), "{complaints} complaints");
}

#[test]
fn l2_three_floods_delay_neither_restarts_nor_the_lines_of_others() {
    let quick = "command: sleep infinity\nrestart_delay: 0s\nrestart_max_attempts: 0\n";
    let flood = "command: [sh, -c, 'yes flood flood flood flood']\nenabled: false\n";
    let quiet = "command: [sh, -c, 'for n in $(seq 300); do echo line $n; sleep 0.005; done; \
                 exec sleep 1000']\nenabled: false\n";
    let mut house = House::vacant(&[
        ("quick", quick),
        ("flood-1", flood),
        ("flood-2", flood),
        ("flood-3", flood),
        ("quiet", quiet),
    ]);
    let script = "exec \"$@\" --log-size 1000000 --log-count 2";
    assert!(house.launch_behind(&["sh", "-c", script, "sh"]));
    let house = Watched::over(house);
    up(&house, "quick");
    let calm = restart_latency(&house, "quick");
    house.slc_done(&["start", "flood-1", "flood-2", "flood-3"]);
    let rotated = || (1..=3).all(|n| house.path(&format!("log/flood-{n}.log.1")).exists());
    assert!(eventually(PATIENCE, rotated), "the floods do not come through");
    house.slc_done(&["start", "quiet"]);
    let flooded = restart_latency(&house, "quick");
    print(&format!(
        "restart latency, median of 15: {calm:?} in calm, {flooded:?} beside three floods"
    ));
    // A machine with few cores shares them with the floods.
    let limit = Duration::from_millis(100).max(calm * 50);
    assert!(flooded < limit, "{flooded:?}, and {calm:?} without the floods");
    let log = house.wait_for_log("quiet", "line 300");
    let numbers: Vec<u32> =
        log.lines().filter_map(|line| line.rsplit(' ').next()?.parse().ok()).collect();
    assert!(numbers.iter().copied().eq(1..=300), "lines of the quiet one are missing: {numbers:?}");
    house.slc_done(&["stop", "flood-1", "flood-2", "flood-3"]);
    for n in 1..=3 {
        for file in [format!("log/flood-{n}.log"), format!("log/flood-{n}.log.1")] {
            // The last lines may still be on their way, and a rotation with them.
            let length = || fs::metadata(house.path(&file)).map(|file| file.len()).ok();
            let bounded = || length().is_some_and(|length| length <= 1_000_000);
            assert!(eventually(PATIENCE, bounded), "{file} has {:?} bytes", length());
        }
        assert!(!house.path(&format!("log/flood-{n}.log.2")).exists(), "a file too many");
    }
}

/// How long it takes from a kill to the next process, the median of 15.
fn restart_latency(house: &House, unit: &str) -> Duration {
    let mut times: Vec<Duration> = (0..15)
        .map(|_| {
            let before = up(house, unit);
            assert!(
                eventually(PATIENCE, || before.name == "sleep" || up(house, unit).name == "sleep")
            );
            let begin = Instant::now();
            before.signal(Signal::SIGKILL);
            let next = || house.processes(unit).into_iter().find(|process| *process != before);
            loop {
                if next().is_some() {
                    break;
                }
                assert!(begin.elapsed() < PATIENCE, "it is not started again");
                std::thread::sleep(Duration::from_micros(200));
            }
            begin.elapsed()
        })
        .collect();
    times.sort();
    times[times.len() / 2]
}

#[test]
fn l3_what_a_service_prints_cannot_steer_a_terminal_or_forge_a_line() {
    let program = "\
import sys, time
out = sys.stdout.buffer
out.write(b'\\x1b]0;title\\x07\\x1b[2J\\x1b[31mred\\n')
out.write(b'overwritten\\r2026-01-01T00:00:00.000Z sshd[1]: Accepted password for root\\n')
out.write('bidi \\u202e\\u2066 c1 \\u009b31m del \\x7f\\n'.encode())
out.write(b'raw c1 \\x9b31m \\x90 latin1 caf\\xe9 nul \\x00 back\\x08\\x08\\n')
out.write(b'the end\\n')
out.flush()
time.sleep(1000)
";
    let mut house = House::vacant(&[(
        "painter",
        "command: [sh, -c, 'exec python3 {dir}/paint $(printf \"\\\\033[31margument\")']\n",
    )]);
    house.write("paint", program);
    house.launch();
    let house = Watched::over(house);
    let journal = house.wait_for_log("painter", "the end");
    let status = house.slc_done(&["status", "painter"]);
    assert!(
        status.contains("[31margument"),
        "the command line is shown, made harmless: {status:?}"
    );
    let list = house.slc_done(&["list"]);
    let colours = house.slc_done(&["--color", "always", "journal", "painter"]);
    let ours = |text: &str| {
        // The colours that slc itself sets are short and end in `m`.
        let mut rest = text.to_owned();
        for code in ["0", "1", "2", "2;37", "31", "32", "33", "36"] {
            rest = rest.replace(&format!("\u{1b}[{code}m"), "");
        }
        rest
    };
    assert!(!colours.contains("\u{1b}[31mred"), "the service sets a colour: {colours:?}");
    for text in [&journal, &status, &list, &ours(&colours)] {
        let bad = text.chars().find(|c| {
            c.is_control() && *c != '\n'
                || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200e}' | '\u{200f}')
        });
        assert_eq!(bad, None, "{text:?}");
    }
    // Five lines were written, five are shown, each with our stamp before it.
    assert_eq!(journal.lines().count(), 5, "{journal}");
    let forged = journal.lines().find(|line| line.contains("sshd[1]")).expect("the line");
    assert!(!forged.starts_with("2026-01-01") && forged.contains("overwritten"), "{forged}");
    // The file keeps the bytes.
    let bytes = fs::read(house.path("log/painter.log")).expect("the log");
    assert!(bytes.windows(8).any(|window| window == b"\x1b]0;titl"), "{bytes:?}");
}

#[test]
fn l4_lines_of_any_shape_are_kept_within_bounds() {
    let program = "\
import os, time
block = b'x' * 100000
for n in range(300): os.write(1, block)
os.write(1, b'\\nend of the long one\\n')
os.write(1, b'nul \\x00 nul\\n')
for byte in b'one at a time\\n': os.write(1, bytes([byte]))
r, w = os.pipe()
if not os.fork():
    os.setsid()
    os.write(1, b'grandchild\\n')
    os.closerange(1, 100)
    time.sleep(1000)
os.close(w)
os.read(r, 1)
os.write(1, b'no end')
";
    let unit = "command: [python3, '{dir}/shapes']\nrestart: \"no\"\n";
    let mut house = House::vacant(&[("shapes", unit)]);
    house.write("shapes", program);
    house.launch();
    let house = Watched::over(house);
    let log = || fs::read(house.path("log/shapes.log")).unwrap_or_default();
    assert!(
        eventually(PATIENCE, || log().ends_with(b" no end\n")),
        "the last line has no end:\n{}",
        house.read("launcher.log")
    );
    let log: Vec<u8> = [
        "log/shapes.log.4",
        "log/shapes.log.3",
        "log/shapes.log.2",
        "log/shapes.log.1",
        "log/shapes.log",
    ]
    .iter()
    .flat_map(|file| fs::read(house.path(file)).unwrap_or_default())
    .collect();
    assert_eq!(log.iter().filter(|byte| **byte == b'x').count(), 30_000_000, "not a byte is lost");
    let longest = log.split(|byte| *byte == b'\n').map(<[u8]>::len).max();
    assert!(longest < Some(66_000), "{longest:?}");
    for wanted in
        [&b" nul \0 nul\n"[..], b" one at a time\n", b" grandchild\n", b" end of the long one\n"]
    {
        let there = log.windows(wanted.len()).any(|window| window == wanted);
        assert!(there, "{} is missing", String::from_utf8_lossy(wanted));
    }
    let lane = children_of(house.supervisor().pid)
        .into_iter()
        .filter_map(Process::look)
        .find(|process| process.command.contains("--journal"))
        .expect("the log lane");
    let peak: u64 = lane.status_line("VmHWM").trim_end_matches(" kB").parse().expect("VmHWM");
    assert!(peak < 64 * 1024, "the log lane grew to {peak} KiB");
    house.slc_done(&["stop", "shapes"]);
}
