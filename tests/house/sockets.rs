//! Sockets that the supervisor holds: passed on, watched, and kept while it is away.

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use treeward::supervision::status::StateWord;

use crate::house::{House, PATIENCE, eventually, program};

/// Answers each connection with its process id and the line it got. It takes `sockets` of its
/// environment as sd_listen_fds(3) says, and ends after `idle` seconds without a connection.
const SERVER: &str = r#"
import os, select, socket, sys
idle = float(sys.argv[1]) if len(sys.argv) > 1 else None
assert os.environ['LISTEN_PID'] == str(os.getpid()), os.environ
count = int(os.environ['LISTEN_FDS'])
names = os.environ['LISTEN_FDNAMES'].split(':')
assert len(names) == count, names
socks = [socket.socket(fileno=3 + at) for at in range(count)]
print('serves', names, flush=True)
while True:
    ready, _, _ = select.select(socks, [], [], idle)
    if not ready:
        sys.exit(0)
    for sock in ready:
        name = names[socks.index(sock)]
        if sock.type == socket.SOCK_DGRAM:
            print('got', name, sock.recv(1000), flush=True)
            continue
        one, _ = sock.accept()
        try:
            one.sendall(b'%d %s\n' % (os.getpid(), name.encode()))
        except OSError:
            pass
        one.close()
"#;

/// A house with the server above.
fn house(units: &[(&str, &str)]) -> House {
    let house = House::vacant(units);
    house.write("server.py", SERVER);
    house
}

/// A port that nobody had a moment ago.
fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").expect("bind").local_addr().expect("address").port()
}

/// What the server says to a client, or what the kernel does.
fn ask(port: u16) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut said = String::new();
    stream.read_to_string(&mut said)?;
    Ok(said)
}

fn ask_path(path: &Path) -> std::io::Result<String> {
    let mut stream = UnixStream::connect(path)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut said = String::new();
    stream.read_to_string(&mut said)?;
    Ok(said)
}

fn is_refused(port: u16) -> bool {
    TcpStream::connect(("127.0.0.1", port)).is_err_and(|e| e.kind() == ErrorKind::ConnectionRefused)
}

fn pid(said: &str) -> u32 {
    said.split(' ').next().and_then(|pid| pid.parse().ok()).unwrap_or_else(|| panic!("{said:?}"))
}

fn on_demand(port: u16, idle: &str) -> String {
    format!(
        "command: python3 {{dir}}/server.py {idle}\nactivation: on_demand\n\
         sockets: {{http: 127.0.0.1:{port}}}\n"
    )
}

#[test]
fn a_service_gets_its_sockets_in_order_and_by_name() {
    let port = free_port();
    let unit = format!(
        "command: python3 {{dir}}/server.py\nuser: nobody\nsockets:\n  http: 127.0.0.1:{port}\n  \
         control: {{listen: '{{dir}}/run/a/control.sock', mode: 0620, user: nobody}}\n  \
         abstract: '@treeward-test-{port}'\n  log: {{listen: '{{dir}}/log.sock', type: dgram}}\n"
    );
    let mut house = house(&[("server", &unit)]);
    house.launch();
    let status = house.wait_state("server", StateWord::Up, PATIENCE);
    assert_eq!(ask(port).expect("an answer"), format!("{} http\n", status.first_pid.unwrap()));
    let control = house.path("run/a/control.sock");
    let metadata = fs::metadata(&control).expect("the socket");
    assert_eq!(metadata.permissions().mode() & 0o7777, 0o620);
    assert_ne!(std::os::unix::fs::MetadataExt::uid(&metadata), 0);
    assert!(ask_path(&control).expect("an answer").ends_with(" control\n"));
    let datagrams = std::os::unix::net::UnixDatagram::unbound().expect("a socket");
    datagrams.send_to(b"hello", house.path("log.sock")).expect("send");
    house.wait_for_log("server", "got log b'hello'");
    // And nothing else of the supervisor's.
    let process = &house.processes("server")[0];
    let fds: Vec<_> = process.descriptors().into_iter().collect();
    assert_eq!(fds.len(), 7, "{fds:?}");
    let listed = house.slc_done(&["list", "--sockets"]);
    for text in [format!("127.0.0.1:{port}"), format!("@treeward-test-{port}"), "open".into()] {
        assert!(listed.contains(&text), "{listed}");
    }
    house.slc_done(&["stop", "server"]);
    assert!(is_refused(port) && !control.exists());
    assert!(house.slc_done(&["list", "--sockets"]).contains("closed"));
}

#[test]
fn no_connection_is_refused_through_twenty_restarts() {
    let port = free_port();
    let unit = format!("command: python3 {{dir}}/server.py\nsockets: {{http: 127.0.0.1:{port}}}\n");
    let mut house = house(&[("server", &unit)]);
    house.launch();
    house.wait_state("server", StateWord::Up, PATIENCE);
    let (stop, answers) = (AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        let client = scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                match TcpStream::connect(("127.0.0.1", port)) {
                    // A connection that was taken may end with its server.
                    Ok(mut stream) => {
                        let mut said = String::new();
                        let _ = stream.set_read_timeout(Some(PATIENCE));
                        if stream.read_to_string(&mut said).is_ok() && !said.is_empty() {
                            answers.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                    Err(error) => return Err(error),
                }
            }
            Ok(())
        });
        for _ in 0..20 {
            house.slc_done(&["restart", "server"]);
            let before = answers.load(Ordering::Relaxed);
            assert!(eventually(PATIENCE, || answers.load(Ordering::Relaxed) > before + 1));
        }
        stop.store(true, Ordering::Relaxed);
        client.join().expect("join").expect("no connection is refused");
    });
    assert_eq!(house.status("server").start, 21);
}

#[test]
fn the_first_connection_starts_a_service_and_its_idle_end_leaves_the_socket_open() {
    let port = free_port();
    let mut house = house(&[("server", &on_demand(port, "0.3"))]);
    house.launch();
    let status = house.wait_state("server", StateWord::Down, PATIENCE);
    assert_eq!(status.start, 0);
    assert_eq!(status.summary.why, format!("listens on 127.0.0.1:{port}"));
    assert!(house.slc_done(&["list", "--sockets"]).contains("starts it"));

    let first = ask(port).expect("an answer");
    let status = house.wait_state("server", StateWord::Up, PATIENCE);
    assert_eq!(status.start, 1);
    let by = format!("a connection to 127.0.0.1:{port}");
    assert_eq!(status.triggered_by.as_ref(), Some(&by));
    let why = house.slc_done(&["why", "server"]);
    assert!(why.contains(&format!("wanted up: triggered by {by}\n")), "{why}");
    let again = ask(port).expect("an answer");
    assert_eq!(pid(&first), pid(&again));
    let status = house.wait_state("server", StateWord::Down, PATIENCE);
    assert_eq!(status.summary.why, format!("listens on 127.0.0.1:{port}"));
    // It was short, but nobody was left waiting: the next is served at once.
    let before = Instant::now();
    let later = ask(port).expect("an answer");
    assert_ne!(pid(&first), pid(&later));
    assert!(before.elapsed() < PATIENCE / 2);

    // A stop is the end of it, and a start begins at once.
    house.slc_done(&["stop", "server"]);
    assert!(is_refused(port));
    let status = house.status("server");
    assert!(status.summary.why.starts_with("asked to stop"), "{}", status.summary.why);
    house.slc_done(&["start", "server"]);
    let status = house.status("server");
    assert_eq!((status.summary.state, status.triggered_by), (StateWord::Up, None));
    ask(port).expect("an answer");
}

#[test]
fn a_stop_of_one_that_never_ran_is_remembered_by_the_next_supervisor() {
    let port = free_port();
    let mut house = house(&[("server", &on_demand(port, "5"))]);
    house.launch();
    assert!(!is_refused(port));
    house.slc_done(&["stop", "server"]);
    assert!(is_refused(port));
    house.kill_supervisor();
    house.launch();
    assert!(is_refused(port));
    let why = house.status("server").summary.why;
    assert!(why.starts_with("asked to stop"), "{why}");
}

#[test]
fn who_needs_it_is_satisfied_by_the_socket() {
    let port = free_port();
    let client = format!(
        "type: oneshot\nremain_after_exit: true\ndepends_on: [server]\n\
         command: [bash, -c, 'exec 3<>/dev/tcp/127.0.0.1/{port}; cat <&3']\n"
    );
    let mut house = house(&[("client", &client), ("server", &on_demand(port, "60"))]);
    house.launch();
    house.wait_state("client", StateWord::Done, PATIENCE);
    house.wait_for_log("client", " http");
    let events = house.read("launcher.log");
    let place = |text: &str| events.find(text).unwrap_or_else(|| panic!("no {text:?}: {events}"));
    assert!(place("client: blocked -> starting") < place("server: down -> starting"));
    // Its stop takes those along that need it.
    house.slc_done(&["stop", "server"]);
    assert_eq!(house.status("client").summary.state, StateWord::Down);
}

#[test]
fn a_service_that_fails_at_each_connection_is_given_up_and_its_socket_is_closed() {
    let port = free_port();
    let unit = format!(
        "command: [sh, -c, exit 3]\nactivation: on_demand\nrestart_delay: 50ms\n\
         restart_max_attempts: 3\nsockets: {{http: 127.0.0.1:{port}}}\n"
    );
    // And one that ends well, but leaves its clients waiting.
    let (idle, refused) = (free_port(), "given up after 3 restarts");
    let lazy = unit.replace("exit 3", "exit 0").replace(&port.to_string(), &idle.to_string());
    let mut house = house(&[("broken", &unit), ("lazy", &lazy)]);
    house.launch();
    for (unit, port) in [("broken", port), ("lazy", idle)] {
        house.wait_state(unit, StateWord::Down, PATIENCE);
        let mut client = TcpStream::connect(("127.0.0.1", port)).expect("connect");
        let status = house.wait_state(unit, StateWord::Failed, PATIENCE);
        assert!(status.summary.why.contains(refused), "{}", status.summary.why);
        assert_eq!(status.start, 4);
        assert!(eventually(PATIENCE, || is_refused(port)), "{unit}");
        client.set_read_timeout(Some(PATIENCE)).expect("time-out");
        let end = client.read(&mut [0]);
        assert!(end.is_err_and(|error| error.kind() == ErrorKind::ConnectionReset));
        house.slc(&["start", unit]);
    }
}

#[test]
fn a_port_in_use_is_a_failure_of_its_unit_and_tried_again() {
    let holder = TcpListener::bind("127.0.0.1:0").expect("bind");
    let port = holder.local_addr().expect("address").port();
    let boot = format!(
        "command: python3 {{dir}}/server.py\nrestart_delay: 100ms\nsockets: {{http: '{port}'}}\n"
    );
    let demand = on_demand(port, "60").replace("127.0.0.1:", "") + "restart_delay: 100ms\n";
    for (unit, text) in [("boot", boot), ("demand", demand)] {
        let mut house = house(&[(unit, &text)]);
        house.launch();
        let said = format!("cannot start: socket http: cannot listen on port {port}: Address");
        house.wait_for(unit, "waiting for the port", PATIENCE, |status| {
            status.summary.state == StateWord::Waiting && status.summary.why.contains(&said)
        });
        if unit == "demand" {
            drop(holder);
            house.wait_for(unit, "listening", PATIENCE, |status| {
                status.summary.why.starts_with("listens on")
            });
            ask(port).expect("an answer");
            return;
        }
    }
}

#[test]
fn what_waits_at_a_socket_outlives_the_supervisor_and_an_upgrade() {
    let port = free_port();
    let unit = on_demand(port, "60") + "stop_grace_period: 1s\n";
    let path = "command: python3 {dir}/server.py 60\nactivation: on_demand\n\
                sockets: {x: '{dir}/x.sock'}\n";
    // It cannot begin before there is a file, and the connections wait meanwhile.
    let slow = format!("type: notify\ncommand: {} {{dir}}/go\n", program("notifier"));
    let unit = unit + "depends_on: [slow]\n";
    let mut house = house(&[("server", &unit), ("slow", &slow), ("path", path)]);
    house.launch();
    let file = fs::metadata(house.path("x.sock")).expect("the socket");
    house.wait_state("slow", StateWord::Starting, PATIENCE);
    let mut client = TcpStream::connect(("127.0.0.1", port)).expect("connect");
    client.set_read_timeout(Some(PATIENCE)).expect("time-out");
    house.wait_state("server", StateWord::Blocked, PATIENCE);
    for round in 0..3 {
        if round == 1 {
            house.slc_done(&["upgrade"]);
        } else {
            house.kill_supervisor();
            // Nobody is there, and the queue takes clients all the same.
            TcpStream::connect(("127.0.0.1", port)).expect("connect");
            UnixStream::connect(house.path("x.sock")).expect("connect");
            house.launch();
        }
        house.wait_state("server", StateWord::Blocked, PATIENCE);
    }
    house.write("go", "");
    let mut said = String::new();
    let read = client.read_to_string(&mut said);
    assert!(
        read.is_ok(),
        "{read:?}:\n{}\n{}",
        house.read("launcher.log"),
        house.read("log/server.log")
    );
    assert!(said.ends_with(" http\n"), "{said:?}");
    // The one at the path was started by who came while nobody was there.
    house.wait_state("path", StateWord::Up, PATIENCE);
    let same = fs::metadata(house.path("x.sock")).expect("the socket");
    assert_eq!(
        std::os::unix::fs::MetadataExt::ino(&file),
        std::os::unix::fs::MetadataExt::ino(&same)
    );
    // What belongs to nobody any more is closed.
    fs::remove_file(house.path("units/path.yml")).expect("remove");
    house.kill_supervisor();
    house.launch();
    house.slc_done(&["stop", "server"]);
    assert!(is_refused(port));
    house.slc(&["stop", "path"]);
    assert!(eventually(PATIENCE, || !house.path("x.sock").exists()));
}

#[test]
fn units_that_want_the_same_address_are_told_apart() {
    let port = free_port();
    let unit = on_demand(port, "60");
    let mut house = house(&[("b", &unit), ("c", &unit)]);
    house.launch();
    let listed = house.slc_done(&["list"]);
    assert!(listed.contains("c: ") && listed.contains("conflicting sockets"), "{listed}");
    house.wait_state("b", StateWord::Down, PATIENCE);
    // A newcomer does not take it away from who has it, whatever its name.
    house.write_unit("a", &unit);
    house.slc(&["reload"]);
    let listed = house.slc_done(&["list"]);
    assert!(listed.contains("  a: ") && !listed.contains("  b: "), "{listed}");
    ask(port).expect("an answer");
    house.wait_state("b", StateWord::Up, PATIENCE);
}

#[test]
fn a_reload_opens_and_closes_sockets_of_units_at_rest() {
    let (old, new) = (free_port(), free_port());
    let mut house = house(&[("server", &on_demand(old, "0.3"))]);
    house.launch();
    house.wait_state("server", StateWord::Down, PATIENCE);
    house.write_unit("server", &on_demand(new, "60"));
    house.slc_done(&["reload"]);
    let now = format!("127.0.0.1:{new}");
    assert!(eventually(PATIENCE, || house.slc_done(&["list", "--sockets"]).contains(&now)));
    assert!(is_refused(old));
    ask(new).expect("an answer");
    fs::remove_file(house.path("units/server.yml")).expect("remove");
    house.slc_done(&["reload"]);
    house.slc(&["stop", "server"]);
    assert!(eventually(PATIENCE, || is_refused(new)));
}

#[test]
fn files_that_are_not_ours_to_take_away_stay() {
    let unit = "command: python3 {dir}/server.py\nrestart: no\nsockets: {x: '{dir}/x.sock'}\n";
    let mut house = house(&[("server", unit)]);
    let path = house.path("x.sock");
    let theirs = UnixListener::bind(&path).expect("bind");
    house.launch();
    let status = house.wait_state("server", StateWord::Failed, PATIENCE);
    assert!(status.summary.why.contains("Address already in use"), "{}", status.summary.why);
    // One that is dead is in nobody's way.
    drop(theirs);
    house.slc_done(&["start", "server"]);
    ask_path(&path).expect("an answer");
    house.slc_done(&["stop", "server"]);
    assert!(!path.exists());
    fs::write(&path, "a file").expect("write");
    assert_eq!(house.slc(&["start", "server"]).code, Some(1));
    assert!(!fs::metadata(&path).expect("the file").file_type().is_socket());
}

#[test]
fn a_fifo_starts_who_reads_it() {
    let unit = "activation: on_demand\nsockets: {in: {listen: '{dir}/in', type: fifo}}\n\
                command: [sh, -c, 'read -r line <&3; echo \"got $line\"']\n";
    let mut house = house(&[("reader", unit)]);
    house.launch();
    house.wait_state("reader", StateWord::Down, PATIENCE);
    let mut fifo = fs::File::options().write(true).open(house.path("in")).expect("open");
    for word in ["one", "two"] {
        fifo.write_all(format!("{word}\n").as_bytes()).expect("write");
        house.wait_for_log("reader", &format!("got {word}"));
        house.wait_for("reader", "listening again", PATIENCE, |status| {
            status.summary.why.starts_with("listens on")
        });
    }
}

#[test]
fn a_service_that_runs_is_not_watched() {
    // It never accepts: a loop that looked at the socket would spin.
    let port = free_port();
    let unit = format!(
        "command: [sleep, '1000']\nactivation: on_demand\nsockets: {{http: 127.0.0.1:{port}}}\n"
    );
    let mut house = house(&[("sleeper", &unit)]);
    house.launch();
    let _client = TcpStream::connect(("127.0.0.1", port)).expect("connect");
    house.wait_state("sleeper", StateWord::Up, PATIENCE);
    let supervisor = house.supervisor();
    let span = Duration::from_secs(1);
    let idle = eventually(PATIENCE, || {
        let before = supervisor.voluntary_switches();
        std::thread::sleep(span);
        supervisor.voluntary_switches() == before
    });
    assert!(idle, "the supervisor woke up in every span of {span:?}");
}

#[test]
fn the_example_of_a_socket_works_with_a_real_daemon() {
    let example = fs::read_to_string("examples/dbus.yml").expect("the example");
    // A bus of its own, so that it is in nobody's way.
    let unit = example
        .replace("/run/dbus/system_bus_socket", "{dir}/bus")
        .replace("--system", "--session");
    let daemon = Path::new("/usr/bin/dbus-daemon");
    assert!(daemon.exists(), "dbus-daemon is not there: scripts/setup installs it");
    let house = House::new(&[("dbus", &unit)]);
    house.wait_state("dbus", StateWord::Down, PATIENCE);
    let mut client = UnixStream::connect(house.path("bus")).expect("connect");
    client.set_read_timeout(Some(PATIENCE)).expect("time-out");
    client.write_all(b"\0AUTH EXTERNAL 30\r\n").expect("write");
    let mut said = [0; 3];
    client.read_exact(&mut said).expect("an answer");
    assert_eq!(&said, b"OK ");
    house.wait_state("dbus", StateWord::Up, PATIENCE);
}
