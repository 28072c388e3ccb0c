//! C: the control socket, and the socket for notifications.

use std::ffi::OsStr;
use std::fs;
use std::io::{ErrorKind, IoSlice, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};
use serde_json::{Value, json};
use treeward::protocol::MAX_MESSAGE;
use treeward::protocol::server::MAX_CONNECTIONS;
use treeward::supervision::status::StateWord;

use crate::house::{House, PATIENCE, SECOND, eventually};
use crate::watched::Watched;
use crate::{SLEEPER, assert_gone, up};

const NOBODY: u32 = 65_534;

fn connect(house: &House) -> UnixStream {
    let stream = UnixStream::connect(house.path("run/control.sock")).expect("connect");
    stream.set_read_timeout(Some(PATIENCE)).expect("timeout");
    stream
}

/// Everything that comes until the other end closes.
fn all_answers(stream: &mut UnixStream) -> String {
    let mut bytes = Vec::new();
    // Who was hung up on in the middle of a message sees a reset.
    let _ = stream.read_to_end(&mut bytes);
    String::from_utf8_lossy(&bytes).into_owned()
}

/// How long the quickest of a few lists takes.
fn quickest_list(house: &House) -> Duration {
    let time = |_| {
        let begin = Instant::now();
        house.call("List", json!({})).expect("List");
        begin.elapsed()
    };
    (0..5).map(time).min().unwrap_or_default()
}

/// A Python program as the user nobody; `{socket}` stands for the control socket.
fn as_nobody(house: &House, program: &str) -> String {
    let socket = house.path("run/control.sock").display().to_string();
    let output = Command::new("setpriv")
        .args(["--reuid=65534", "--regid=65534", "--clear-groups", "/usr/bin/env", "python3", "-c"])
        .arg(program.replace("{socket}", &socket))
        .current_dir("/")
        .output()
        .expect("setpriv");
    assert!(output.status.success(), "{output:?}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

const ASK: &str = "
import socket, json
def ask(method, **parameters):
    s = socket.socket(socket.AF_UNIX)
    s.connect('{socket}')
    s.sendall(json.dumps({'method': 'org.treeward.Supervisor.' + method, 'parameters': parameters}).encode() + b'\\n')
    return s.makefile().readline().strip()
";

#[test]
fn c1_a_user_without_rights_cannot_connect_and_a_group_may_only_look() {
    let house = Watched::new(&[("sleeper", SLEEPER)]);
    let process = up(&house, "sleeper");
    let socket = fs::metadata(house.path("run/control.sock")).expect("socket");
    assert_eq!((socket.mode() & 0o777, socket.uid()), (0o600, 0));
    let said = as_nobody(
        &house,
        &format!("{ASK}\ntry: print(ask('List'))\nexcept OSError as e: print(e)"),
    );
    assert!(said.contains("Permission denied"), "{said}");

    let mut house = house.let_go();
    assert_eq!(house.end_supervisor(), Some(0));
    assert!(house.launch_behind(&["sh", "-c", "exec \"$@\" --group nogroup", "sh"]));
    assert!(!process.lives());
    let house = Watched::over(house);
    let process = up(&house, "sleeper");
    let orders = "print(ask('List'))\nprint(ask('Stop', units=['sleeper']))\n\
                  print(ask('Kill', unit='sleeper', signal=9))\nprint(ask('ReadUnits'))\n";
    let said = as_nobody(&house, &format!("{ASK}{orders}"));
    let lines: Vec<&str> = said.lines().collect();
    assert!(lines[0].contains("\"name\":\"sleeper\""), "{said}");
    assert!(lines[1..].iter().all(|line| line.contains("PermissionDenied")), "{said}");
    assert_eq!(lines.len(), 4, "{said}");
    assert!(process.lives());
    // Those who may look cannot take all places: some are kept for those who may control.
    let hoard = "
import socket, sys
held = []
for n in range(300):
    s = socket.socket(socket.AF_UNIX)
    s.connect('{socket}')
    s.settimeout(0.02)
    try: refused = s.recv(1000)
    except TimeoutError: refused = b''
    if refused:
        print(refused.decode().strip())
        break
    held.append(s)
print(len(held))
import os, time
while not os.path.exists('{go}'): time.sleep(0.02)
";
    let go = house.path("go").display().to_string();
    std::thread::scope(|scope| {
        let hoarder = scope.spawn(|| as_nobody(&house, &hoard.replace("{go}", &go)));
        for _ in 0..20 {
            house.slc_done(&["list"]);
        }
        house.slc_done(&["restart", "sleeper"]);
        house.write("go", "");
        let said = hoarder.join().expect("no panic");
        assert!(said.contains("Busy") && said.trim().ends_with("240"), "{said}");
    });
}

#[test]
fn c2_a_run_directory_that_others_may_change_is_refused() {
    let mut house = House::vacant(&[("sleeper", SLEEPER)]);
    let run = house.path("run");
    let plant: [(&str, &dyn Fn()); 5] = [
        ("others may write", &|| {
            fs::create_dir(&run).expect("mkdir");
            fs::set_permissions(&run, fs::Permissions::from_mode(0o777)).expect("chmod");
        }),
        ("a sticky one", &|| {
            fs::create_dir(&run).expect("mkdir");
            fs::set_permissions(&run, fs::Permissions::from_mode(0o1777)).expect("chmod");
        }),
        ("owned by nobody", &|| {
            fs::create_dir(&run).expect("mkdir");
            chown(&run, Some(NOBODY), Some(NOBODY)).expect("chown");
        }),
        ("a link", &|| symlink(house_log(&run), &run).expect("symlink")),
        ("a file", &|| fs::write(&run, "").expect("write")),
    ];
    for (what, make) in plant {
        let _ = fs::remove_dir_all(&run);
        let _ = fs::remove_file(&run);
        make();
        let output = Command::new(env!("CARGO_BIN_EXE_service-launcher"))
            .args(house.arguments())
            .stdin(Stdio::null())
            .output()
            .expect("service-launcher");
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{what}: {said}");
        assert!(said.contains("/run"), "{what}: {said}");
        assert_eq!(said.trim().lines().count(), 1, "{what}: {said}");
        assert_eq!(fs::read_dir(house_log(&run)).expect("log").count(), 0, "{what}: written to");
    }
    let _ = fs::remove_file(&run);
    fs::create_dir(&run).expect("mkdir");
    // In a safe directory whatever lies at the socket's place is an old thing of ours.
    drop(UnixListener::bind(house.path("run/control.sock")).expect("bind"));
    house.launch();
    Watched::over(house);
}

fn house_log(run: &std::path::Path) -> std::path::PathBuf {
    run.with_file_name("log")
}

#[test]
fn c3_clients_that_never_read_keep_nobody_waiting() {
    let names: Vec<String> = (0..60).map(|n| format!("unit-{n}")).collect();
    let units: Vec<(&str, &str)> =
        names.iter().map(|name| (name.as_str(), "command: sleep infinity\n")).collect();
    let house = Watched::new(&units);
    let calm = quickest_list(&house);
    let mut deaf: Vec<UnixStream> = (0..100).map(|_| connect(&house)).collect();
    for stream in &mut deaf {
        // More answers than a socket holds; the later ones are not begun.
        let line = b"{\"method\":\"org.treeward.Supervisor.Status\"}\n";
        stream.write_all(&line.repeat(100)).expect("write");
    }
    let busy = quickest_list(&house);
    let limit = Duration::from_millis(200).max(calm * 20);
    assert!(busy < limit, "a list takes {busy:?} beside a hundred that do not read");
    house.slc_done(&["restart", "unit-7"]);
}

#[test]
fn c4_no_bytes_on_the_socket_do_harm() {
    let house = Watched::new(&[("sleeper", SLEEPER)]);
    let process = up(&house, "sleeper");
    let deep = format!("{{\"method\":\"List\",\"parameters\":{}", "{\"a\":".repeat(10_000));
    let brackets = "[".repeat(MAX_MESSAGE - 2);
    let messages: &[&[u8]] = &[
        b"\0",
        b"\n\n\n\0\0\r\n",
        b"\xff\xfe\xfd\n",
        b"{\"method\":\"org.treeward.Supervisor.Stop\",\"parameters\":{\"units\":[\"\xc3\x28\"]}}\n",
        b"{\"method\":\"org.treeward.Supervisor.Stop\",\"parameters\":{\"units\":[\"\\ud800\"]}}\n",
        b"{\"method\":\"org.treeward.Supervisor.Kill\",\"parameters\":{\"unit\":\"sleeper\",\"signal\":-9}}\n",
        b"{\"method\":\"org.treeward.Supervisor.Kill\",\"parameters\":{\"unit\":\"sleeper\",\"signal\":9,\"who\":\"1\"}}\n",
        b"{\"method\":\"org.treeward.Supervisor.Kill\",\"parameters\":{\"unit\":\"sleeper\",\"signal\":1e99}}\n",
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        deep.as_bytes(),
        brackets.as_bytes(),
    ];
    for message in messages {
        let mut stream = connect(&house);
        stream.write_all(message).expect("write");
        stream.shutdown(std::net::Shutdown::Write).expect("shutdown");
        let answers = all_answers(&mut stream);
        for line in answers.split(['\n', '\0']).filter(|line| !line.is_empty()) {
            let answer: Value = serde_json::from_str(line).expect("JSON");
            assert!(answer["error"].is_string(), "{answer}");
        }
        assert!(process.lives());
    }

    // A message that never ends is refused long before it has come.
    let mut endless = connect(&house);
    let block = [b'x'; 65_536];
    let mut sent = 0;
    let refused = loop {
        match endless.write(&block) {
            Ok(count) => sent += count,
            Err(error) => break error,
        }
        assert!(sent < 100_000_000, "100 MB without an end were taken");
    };
    assert!(
        matches!(refused.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset),
        "{refused}"
    );
    assert!(sent < 2_000_000, "{sent} bytes were taken");

    // Descriptors that come along are closed, and other kinds of socket find nobody.
    let stream = connect(&house);
    let fds = [stream.as_raw_fd(); 20];
    let part = [IoSlice::new(b"{\"method\":")];
    sendmsg::<()>(
        stream.as_raw_fd(),
        &part,
        &[ControlMessage::ScmRights(&fds)],
        MsgFlags::empty(),
        None,
    )
    .expect("sendmsg");
    let datagram = UnixDatagram::unbound().expect("socket");
    assert!(datagram.connect(house.path("run/control.sock")).is_err());

    // A client that dies in the middle of its answer, and some that send a byte at a time.
    let mut slow: Vec<UnixStream> = (0..20).map(|_| connect(&house)).collect();
    for byte in b"{\"me" {
        slow.iter_mut().for_each(|stream| stream.write_all(&[*byte]).expect("write"));
        house.slc_done(&["list"]);
    }
    for _ in 0..50 {
        connect(&house)
            .write_all(b"{\"method\":\"org.treeward.Supervisor.Status\"}\n")
            .expect("write");
    }
    house.slc_done(&["status", "sleeper"]);
    assert!(process.lives());
}

#[test]
fn c4_notifications_from_outside_the_leaf_change_nothing() {
    let house = Watched::new(&[
        ("mute", "type: notify\ncommand: sleep infinity\nstart_timeout: 1000s\n"),
        ("sleeper", SLEEPER),
        // It speaks for itself, and nobody else.
        (
            "speaker",
            "type: notify\ncommand:\n- python3\n- -c\n- |\n  import os, socket, time\n  \
             s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)\n  \
             s.connect(os.environ['NOTIFY_SOCKET'])\n  \
             s.send(b'READY=1\\nMAINPID=1\\nSTATUS=here\\x1b[2J I am')\n  \
             while not os.path.exists('{dir}/flood'): time.sleep(0.02)\n  \
             end = time.monotonic() + 1\n  \
             while time.monotonic() < end: s.send(b'STATUS=busy')\n  \
             s.send(b'STATUS=calm')\n  time.sleep(1000)\n",
        ),
    ]);
    house.wait_state("mute", StateWord::Starting, PATIENCE);
    let mute = house.processes("mute").remove(0);
    let outside = UnixDatagram::unbound().expect("socket");
    outside.connect(house.path("run/notify")).expect("connect");
    let mainpid = format!("READY=1\nMAINPID={}\nSTATUS=not me", mute.pid);
    let huge = vec![b'x'; 100_000];
    for text in [b"".as_slice(), b"READY=1", mainpid.as_bytes(), b"STOPPING=1", b"\xff\0\n=", &huge]
    {
        outside.send(text).expect("send");
    }
    let status =
        house.wait_for("speaker", "up", PATIENCE, |status| status.summary.state == StateWord::Up);
    assert_ne!(status.summary.main_pid, Some(1), "process 1 is nobody's main process");
    let shown = house.slc_done(&["status", "speaker"]);
    assert!(shown.contains("I am") && !shown.contains('\u{1b}'), "{shown:?}");
    let status = house.status("mute");
    assert_eq!((status.summary.state, status.status_text.as_str()), (StateWord::Starting, ""));

    let calm = quickest_list(&house);
    house.write("flood", "");
    house.wait_for("speaker", "flooding", PATIENCE, |status| status.status_text == "busy");
    let busy = quickest_list(&house);
    let limit = Duration::from_millis(200).max(calm * 20);
    assert!(busy < limit, "a list takes {busy:?} in a flood of notifications");
    house.wait_for("speaker", "calm", PATIENCE, |status| status.status_text == "calm");
    house.slc_done(&["stop", "mute"]);
}

#[test]
fn c5_a_thousand_connections_are_told_that_it_is_busy_and_leave_nothing_behind() {
    let house = Watched::new(&[("sleeper", SLEEPER)]);
    let mut open = Vec::new();
    let mut refused = 0;
    for _ in 0..1_000 {
        let mut stream = connect(&house);
        if open.len() < MAX_CONNECTIONS {
            open.push(stream);
            continue;
        }
        let answer = all_answers(&mut stream);
        assert!(answer.contains("Busy") && answer.contains("256"), "{answer}");
        refused += 1;
    }
    assert_eq!(refused, 1_000 - MAX_CONNECTIONS);
    let answer = house.slc(&["list"]);
    assert_eq!(answer.code, Some(5), "{answer:?}");
    assert!(answer.err.contains("256 connections"), "{answer:?}");
    // Those who are in are served.
    for stream in &mut open {
        stream.write_all(b"{\"method\":\"org.treeward.Supervisor.Version\"}\n").expect("write");
    }
    for stream in &mut open {
        let mut byte = [0];
        stream.read_exact(&mut byte).expect("an answer");
    }
    drop(open);
    assert!(eventually(SECOND, || house.slc(&["list"]).code == Some(0)));
    let begin = Instant::now();
    for _ in 0..1_000 {
        house.call("List", json!({})).expect("List");
    }
    assert!(begin.elapsed() < 10 * SECOND, "{:?}", begin.elapsed());
}

#[test]
fn c6_orders_from_many_sides_have_an_order_and_never_make_two_of_one() {
    let unit = "command: sleep infinity\nrestart_delay: 0s\nrestart_max_attempts: 0\n";
    let house = Watched::new(&[("contested", unit)]);
    let over = AtomicBool::new(false);
    let most = std::thread::scope(|scope| {
        let clients: Vec<_> = (0_usize..12)
            .map(|client| {
                let (house, over): (&House, _) = (&house, &over);
                scope.spawn(move || {
                    let verbs = ["Start", "Stop", "Restart"];
                    let mut answers = 0;
                    while !over.load(Ordering::Relaxed) {
                        let verb = verbs[(client + answers * 7) % 3];
                        let units = json!({"units": ["contested"]});
                        if client % 4 == 3 {
                            // Leaves while it waits.
                            let call = json!({"method": verb, "parameters": units});
                            let _ = connect(house).write_all(format!("{call}\n").as_bytes());
                        } else {
                            house.call(verb, units).expect("an answer");
                        }
                        answers += 1;
                    }
                    answers
                })
            })
            .collect();
        let until = Instant::now() + 3 * SECOND;
        let mut most = 0;
        while Instant::now() < until {
            most = most.max(house.processes("contested").len());
        }
        over.store(true, Ordering::Relaxed);
        for client in clients {
            assert!(client.join().expect("no panic") > 0, "a client got no answers");
        }
        most
    });
    assert!(most <= 1, "{most} at one time");
    house.slc_done(&["start", "contested"]);
    let process = up(&house, "contested");
    house.slc_done(&["stop", "contested"]);
    assert_gone(&house, "contested", &[process]);
}

#[test]
fn c6_a_stop_that_a_start_overtakes_is_answered() {
    let deaf = "command: [sh, -c, \"trap '' TERM; echo deaf; while :; do sleep 1000; done\"]\n\
                stop_grace_period: 1s\n";
    let house = Watched::new(&[("deaf", deaf)]);
    house.wait_for_log("deaf", "deaf");
    std::thread::scope(|scope| {
        let stop = scope.spawn(|| house.slc(&["--timeout", "10", "stop", "deaf"]));
        house.wait_state("deaf", StateWord::Stopping, PATIENCE);
        house.slc_done(&["start", "deaf"]);
        let stop = stop.join().expect("no panic");
        assert_eq!(stop.code, Some(1), "{stop:?}");
        assert!(stop.err.contains("somebody else has asked for a start since"), "{stop:?}");
    });
    assert_eq!(house.status("deaf").start, 2, "it was stopped and started");
}

#[test]
fn c7_names_are_names_and_never_paths() {
    let house = Watched::new(&[("sleeper", SLEEPER)]);
    let process = up(&house, "sleeper");
    let long = "x".repeat(5_000);
    let names: Vec<&[u8]> = vec![
        b"../../etc/x",
        b"../sleeper",
        b"./sleeper",
        b"/etc/passwd",
        b"",
        b".",
        b"..",
        b"a b",
        b"sleeper\n",
        b"x\ny",
        b"foo@../..",
        b"\x1b[2J",
        b"*",
        b"$(id)",
        b"%n%s",
        long.as_bytes(),
        &long.as_bytes()[..300],
    ];
    for name in names {
        for verb in ["stop", "status", "kill"] {
            let output = Command::new(env!("CARGO_BIN_EXE_slc"))
                .arg("--socket")
                .arg(house.path("run/control.sock"))
                .args([OsStr::new(verb), OsStr::new("--"), OsStr::from_bytes(name)])
                .output()
                .expect("slc");
            let shown = String::from_utf8_lossy(&output.stderr).into_owned();
            assert_eq!(output.status.code(), Some(4), "{verb} {name:?}: {output:?}");
            let text = shown.trim_end_matches('\n');
            assert!(!text.contains(char::is_control), "{verb} {name:?}: {text:?}");
            assert!(text.len() < 1_000, "{verb}: {} bytes are said", text.len());
        }
    }
    // What is no text at all is refused before it is asked.
    let output = Command::new(env!("CARGO_BIN_EXE_slc"))
        .arg("--socket")
        .arg(house.path("run/control.sock"))
        .args([OsStr::new("stop"), OsStr::from_bytes(b"\xff\xfe")])
        .output()
        .expect("slc");
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert!(process.lives());
}
