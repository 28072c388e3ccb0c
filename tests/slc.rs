//! slc and an independent Varlink client against a service of canned answers.

mod canned;

use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use canned::{Service, ended};
use treeward::protocol::listener::Listener;
use treeward::protocol::message::Listing;
use treeward::supervision::status::Change;

#[test]
fn list_shows_services_and_problems() {
    let service = Service::new();
    let (code, out, err) = service.run(&["list"]);
    assert_eq!((code, err.as_str()), (0, ""));
    assert!(out.contains("nginx  up "), "{out}");
    assert!(out.contains("  bad: bad.yml:1:1: unknown key\n"), "{out}");
    let (code, out, _) = service.run(&["list", "--json"]);
    let listing: Listing = serde_json::from_str(&out).unwrap();
    assert_eq!((code, listing.services.len()), (0, 2));
}

#[test]
fn list_shows_what_starts_units() {
    let service = Service::new();
    let (code, out, err) = service.run(&["list", "--sockets"]);
    assert_eq!((code, err.as_str()), (0, ""));
    assert!(out.contains("*:80        http  open    nginx  up\n"), "{out}");
    let (_, out, _) = service.run(&["list", "--sockets", "--json"]);
    let answer: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(answer["sockets"][0]["address"], "*:80");
    for (option, none) in [("--timers", "no timers\n"), ("--paths", "no paths\n")] {
        assert_eq!(service.run(&["list", option]), (0, none.to_owned(), String::new()));
    }
    assert_eq!(service.run(&["list", "--timers", "--paths"]).0, 2);
}

#[test]
fn status_tells_by_its_exit_status_whether_all_units_live() {
    let service = Service::new();
    let (code, out, err) = service.run(&["status", "nginx"]);
    assert_eq!((code, err.as_str()), (0, ""), "{out}");
    assert!(out.contains("└─ 100  1 ms  evil \\x1b[2J  [main, adopted]\n"), "{out}");
    assert!(!out.contains('\x1b'));
    assert_eq!(service.run(&["status", "cron"]).0, 3);
    assert_eq!(service.run(&["status", "nginx", "cron"]).0, 3);
    assert_eq!(service.run(&["status", "--json", "nginx"]).0, 0);
}

#[test]
fn a_wrong_name_is_answered_with_the_right_one_or_the_reason() {
    let service = Service::new();
    for command in ["status", "start", "stop", "kill"] {
        let (code, out, err) = service.run(&[command, "ngnix"]);
        assert_eq!((code, out.as_str()), (4, ""));
        assert_eq!(err, "slc: no such unit: ngnix; did you mean nginx?\n");
    }
    let (code, _, err) = service.run(&["start", "bad"]);
    assert_eq!(code, 4);
    assert!(err.ends_with("bad.yml:1:1: unknown key\n1 | x: y\n"), "{err}");
    for name in ["../../etc/x", "", "a b", "x\ny", "\x1b[2J"] {
        let (code, _, err) = service.run(&["stop", "--", name]);
        assert_eq!((code, err.lines().count()), (4, 1), "{err}");
        assert!(!err.contains('\x1b'));
    }
}

#[test]
fn orders_say_for_each_unit_what_became_of_it() {
    let service = Service::new();
    let (code, out, err) = service.run(&["start", "nginx", "cron"]);
    assert_eq!(code, 1);
    assert_eq!(out, "nginx: up\n");
    assert_eq!(err, "slc: cron: it refuses\n");
    // What does not run is told apart from what fails.
    assert_eq!(service.run(&["reload", "cron"]).0, 3);
    assert_eq!(service.run(&["reload", "--json", "nginx", "cron"]).0, 3);
    let (code, out, _) = service.run(&["reload"]);
    let change = "command  nginx -> nginx -x  [at the next start]";
    assert_eq!(code, 0);
    assert_eq!(out, format!("+ new: start: new\n~ nginx: change: changed\n    {change}\n"));
    let (code, out, _) = service.run(&["kill", "--signal", "hup", "nginx"]);
    assert_eq!((code, out.as_str()), (0, "nginx: SIGHUP sent to 3 processes\n"));
    let (code, out, _) = service.run(&["kill", "--signal", "RTMIN+3", "nginx"]);
    assert_eq!((code, out.as_str()), (0, "nginx: signal 37 sent to 3 processes\n"));
    assert_eq!(service.run(&["kill", "cron"]).0, 3);
    assert_eq!(service.run(&["kill", "--who", "0", "nginx"]).0, 2);
}

#[test]
fn a_plan_is_shown_and_a_mistake_ends_it() {
    let service = Service::new();
    let (code, out, err) = service.run(&["plan", "--restart"]);
    assert_eq!((code, err.as_str()), (0, ""));
    assert!(
        out.ends_with(
            "! nginx: restart: changed\n    command  nginx -> nginx -x  [by the restart]\n"
        ),
        "{out}"
    );
    for command in ["plan", "reload"] {
        let (code, out, err) = service.run(&[command, "--only", "bad"]);
        assert_eq!((code, out.as_str()), (1, ""));
        assert!(
            err.starts_with("slc: bad: bad.yml:1:1: unknown key\n1 | x: y\nslc: nothing"),
            "{err}"
        );
        let (code, out, _) = service.run(&[command, "--json", "--only", "bad"]);
        assert_eq!(code, 1);
        assert!(out.contains("\"problems\":[{\"name\":\"bad\""), "{out}");
    }
}

#[test]
fn a_boot_is_told_in_five_ways() {
    let service = Service::new();
    for (args, wanted) in [
        (&["blame"][..], "        100 ms  cron\n        100 ms  nginx\n"),
        (
            &["critical-chain"],
            "nginx  up at 200 ms, +100 ms  (waited 100 ms for cron)\n└─ cron  up at 100 ms, +100 ms\n",
        ),
        (&["graph"], "nginx  up\n└─ cron  up  (after)\n"),
        (
            &["why", "nginx"],
            "nginx: up for 8 s\n    start 1 began 100 ms after it was due: it waited for cron; up 100 ms \
             later\n    wanted up: its unit is enabled\n",
        ),
    ] {
        assert_eq!(service.run(args), (0, wanted.to_owned(), String::new()), "{args:?}");
        let (code, out, _) = service.run(&[args, &["--json"]].concat());
        assert!(code == 0 && serde_json::from_str::<serde_json::Value>(&out).is_ok(), "{out}");
    }
    let (code, out, _) = service.run(&["plot"]);
    assert!(code == 0 && out.starts_with("<svg ") && out.ends_with("</svg>\n"), "{out}");
    for command in ["why", "graph", "critical-chain"] {
        let (code, _, err) = service.run(&[command, "ngnix"]);
        assert_eq!((code, err.as_str()), (4, "slc: no such unit: ngnix; did you mean nginx?\n"));
    }
}

#[test]
fn an_order_without_a_unit_is_refused() {
    let service = Service::new();
    for verb in ["start", "stop", "restart"] {
        let (code, out, err) = service.run(&[verb, "--no-wait"]);
        assert_eq!((code, out.as_str()), (2, ""));
        assert!(err.contains("<UNIT>..."), "{err}");
    }
}

#[test]
fn an_unreachable_and_a_silent_supervisor_are_told_apart() {
    let dir = tempfile::tempdir().unwrap();
    let slc = |socket: &str, args: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_slc"));
        let path = dir.path().join(socket);
        ended(command.arg("--socket").arg(path).args(args).output().unwrap())
    };
    let (code, _, err) = slc("none", &["list"]);
    assert_eq!(code, 5);
    assert!(err.starts_with("slc: the supervisor is not running"), "{err}");
    let _silent = Listener::bind(&dir.path().join("silent"), None).unwrap();
    let (code, _, err) = slc("silent", &["stop", "nginx", "--timeout", "0.2"]);
    assert_eq!(code, 6);
    let order = "within 0.2 s; the order may still be carried out: slc status nginx shows it\n";
    assert!(err.contains("no answer") && err.ends_with(order), "{err}");
    let (code, _, err) = slc("silent", &["list", "--timeout", "0.2"]);
    assert!(code == 6 && err.ends_with("within 0.2 s\n"), "{err}");
}

#[test]
fn a_reader_who_leaves_early_is_no_failure() {
    let service = Service::with(20_000, None);
    let mut slc = service.slc().arg("list").stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(slc.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert!(line.starts_with("NAME"));
    assert_eq!(slc.wait().unwrap().code(), Some(0));
}

/// A running `slc watch`, its first line, and where the others come.
fn watching(service: &Service, args: &[&str]) -> (Child, String, BufReader<ChildStdout>) {
    let mut slc = service.slc();
    let mut slc = slc.arg("watch").args(args).stdout(Stdio::piped()).spawn().unwrap();
    let mut out = BufReader::new(slc.stdout.take().unwrap());
    let reader = std::thread::spawn(move || {
        let mut line = String::new();
        out.read_line(&mut line).unwrap();
        (line, out)
    });
    // Nothing tells when the watch has begun, so there are orders until it shows one.
    let deadline = Instant::now() + Duration::from_secs(20);
    while !reader.is_finished() && Instant::now() < deadline {
        service.run(&["restart", "nginx"]);
    }
    let (line, out) = reader.join().unwrap();
    (slc, line, out)
}

#[test]
fn watch_writes_each_change_at_once_and_ends_well_on_ctrl_c() {
    let service = Service::new();
    let (mut slc, line, _out) = watching(&service, &["--json"]);
    let change: Change = serde_json::from_str(&line).unwrap();
    assert_eq!(change.unit, "nginx");
    let pid = nix::unistd::Pid::from_raw(slc.id().cast_signed());
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGINT).unwrap();
    assert_eq!(slc.wait().unwrap().code(), Some(0));
}

#[test]
fn watch_says_when_the_supervisor_goes_away() {
    let service = Service::new();
    let (mut slc, line, _out) = watching(&service, &[]);
    assert!(line.contains("  nginx  "), "{line}");
    drop(service);
    assert_eq!(slc.wait().unwrap().code(), Some(5));
}

#[test]
fn journal_needs_no_supervisor() {
    let dir = tempfile::tempdir().unwrap();
    let line = "2026-11-22T20:10:36.007Z hello \x1b[2J\n";
    std::fs::write(dir.path().join("nginx.log"), line.repeat(3)).unwrap();
    let mut slc = Command::new(env!("CARGO_BIN_EXE_slc"));
    slc.env("TZ", "UTC").args(["--socket", "/nonexistent/sock", "journal", "-n", "2"]);
    slc.arg("--log-dir").arg(dir.path()).arg("nginx");
    let (code, out, err) = ended(slc.output().unwrap());
    assert_eq!((code, err.as_str()), (0, ""));
    assert_eq!(out, "2026-11-22 20:10:36.007 hello \\x1b[2J\n".repeat(2));
}

#[test]
fn journal_knows_units_where_a_supervisor_does() {
    let service = Service::new();
    let dir = tempfile::tempdir().unwrap();
    let journal = |args: &[&str]| {
        let dir = dir.path().to_str().unwrap();
        service.run(&[&["journal", "--log-dir", dir], args].concat())
    };
    let err = "slc: no such unit: ngnix; did you mean nginx?\n";
    assert_eq!(journal(&["ngnix"]), (4, String::new(), err.to_owned()));
    assert_eq!(journal(&["-f", "ngnix"]).0, 4);
    let (code, out, err) = journal(&["nginx"]);
    assert_eq!((code, out.as_str()), (0, ""));
    assert!(err.starts_with("slc: nginx has no lines in "), "{err}");
    assert_eq!(journal(&["treeward"]).0, 0);
    std::fs::write(dir.path().join("nginx.log"), "2026-11-22T20:10:36.007Z hello\n").unwrap();
    assert_eq!(journal(&["-n", "0", "nginx"]), (0, String::new(), String::new()));
    // The log of a unit that is no more can still be read.
    std::fs::rename(dir.path().join("nginx.log"), dir.path().join("ngnix.log")).unwrap();
    assert_eq!(journal(&["ngnix"]).0, 0);
}

#[test]
fn journal_says_which_directory_is_missing() {
    let dir = tempfile::tempdir().unwrap();
    let missing = dir.path().join("none");
    for follow in [&[][..], &["-f"]] {
        let mut slc = Command::new(env!("CARGO_BIN_EXE_slc"));
        slc.args(["--socket", "/nonexistent/sock", "journal", "nginx"]).args(follow);
        let (code, out, err) = ended(slc.arg("--log-dir").arg(&missing).output().unwrap());
        assert_eq!((code, out.as_str()), (1, ""));
        let path = missing.display();
        assert_eq!(err, format!("slc: no such directory: {path}; name it by --log-dir\n"));
    }
}

#[test]
fn a_unit_directory_that_is_missing_can_be_named() {
    let mut slc = Command::new(env!("CARGO_BIN_EXE_slc"));
    slc.args(["--socket", "/nonexistent/sock", "list", "--templates", "--units", "/nonexistent"]);
    let said = "slc: cannot read the unit directory /nonexistent: No such file or directory; name \
                another by --units\n";
    assert_eq!(ended(slc.output().unwrap()), (1, String::new(), said.to_owned()));
}

/// Scenario C1.
#[test]
fn others_may_look_where_a_group_lets_them_and_nothing_else() {
    assert!(nix::unistd::geteuid().is_root(), "this test becomes nobody, so it needs root");
    // Nobody can connect: the socket's group is nobody's.
    let service = Service::with(2, Some(65_534));
    let dir = service.dir.path();
    std::fs::set_permissions(dir, std::fs::Permissions::from_mode(0o755)).unwrap();
    // The build directory may be where nobody cannot go.
    let slc = dir.join("slc");
    std::fs::copy(env!("CARGO_BIN_EXE_slc"), &slc).unwrap();
    let nobody = |args: &[&str]| {
        let mut command = Command::new(&slc);
        command.args(args).env("TREEWARD_SOCKET", service.socket());
        ended(command.current_dir("/").uid(65_534).gid(65_534).output().unwrap())
    };
    assert_eq!(nobody(&["list"]).0, 0);
    assert_eq!(nobody(&["status", "nginx"]).0, 0);
    for order in [&["stop", "nginx"][..], &["kill", "nginx"], &["reload"]] {
        let (code, out, err) = nobody(order);
        assert_eq!((code, out.as_str()), (7, ""));
        assert!(err.contains("permission denied"), "{err}");
    }
    std::fs::set_permissions(service.socket(), std::fs::Permissions::from_mode(0o600)).unwrap();
    let (code, _, err) = nobody(&["list"]);
    assert_eq!(code, 7);
    assert!(err.contains("not allowed"), "{err}");
}

/// `TREEWARD_PYTHON` names a Python that has the varlink package; scripts/test makes one.
#[test]
#[ignore = "needs a Python with the varlink package: TREEWARD_PYTHON=/path/to/python"]
fn an_independent_varlink_client_understands_us() {
    let python = std::env::var_os("TREEWARD_PYTHON").expect("TREEWARD_PYTHON is not set");
    let service = Service::new();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/varlink_client.py");
    let mut client = Command::new(python);
    client.arg(script).arg(service.socket()).arg("nginx");
    let (code, out, err) = ended(client.output().unwrap());
    assert_eq!((code, out.as_str()), (0, "all right\n"), "{err}");
}

/// A directory with a home in it, and the search path with `slc` on it.
fn shell_home() -> (tempfile::TempDir, String) {
    let slc = std::path::Path::new(env!("CARGO_BIN_EXE_slc"));
    let path = format!("{}:/usr/bin:/bin", slc.parent().unwrap().display());
    (tempfile::tempdir().unwrap(), path)
}

/// What a shell writes that runs this script, with the service's units to complete.
fn of_shell(service: &Service, shell: &[&str], script: &str) -> String {
    let (home, path) = shell_home();
    // A completion that waits for keys would wait for ever.
    let output = Command::new("timeout")
        .args(["60", shell[0]])
        .args(&shell[1..])
        .args(["-c", script])
        .env_clear()
        .envs([("PATH", path.as_str()), ("TERM", "dumb"), ("LC_ALL", "C.UTF-8")])
        .envs([("HOME", home.path()), ("TREEWARD_SOCKET", &service.socket())])
        .current_dir(home.path())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let (code, out, err) = ended(output);
    assert_eq!(code, 0, "{out}\n{err}");
    out
}

#[test]
#[ignore = "needs fish"]
fn fish_completes_commands_options_and_units() {
    let service = Service::new();
    let complete = |words: &str| {
        let script = format!("slc completions fish | source; complete -C '{words}'");
        let out = of_shell(&service, &["fish", "--no-config"], &script);
        out.lines().map(|line| line.split('\t').next().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(complete("slc st"), ["start", "status", "stop"]);
    assert_eq!(complete("slc list --ti"), ["--timeout", "--timers"]);
    let units = complete("slc status ");
    assert!(units.iter().any(|unit| unit == "nginx"), "{units:?}");
    assert_eq!(complete("slc status ngi"), ["nginx"]);
}

#[test]
#[ignore = "needs zsh"]
fn zsh_completes_commands_options_and_units() {
    let service = Service::new();
    // A shell at a terminal of its own gets the words and a TAB; what becomes of them is what its
    // line holds then, which a widget writes down. Each step waits for what the last one has written.
    let script = r#"
        mkdir functions; slc completions zsh > functions/_slc; zsh -n functions/_slc || exit 1
        zmodload zsh/zpty
        zpty inner zsh -f -i
        zpty -w inner "PS1=; fpath=($PWD/functions \$fpath); autoload -Uz compinit; compinit -u -D; \
            note() { print -r -- \$BUFFER >> lines; BUFFER=; zle -I; print WRIT''TEN }; \
            zle -N note; bindkey '^X' note; unsetopt list_beep auto_list; print REA''DY"
        zpty -r -m inner seen '*READY*' || exit 1
        for words in 'slc restar' 'slc list --sock' 'slc status ngi'; do
            zpty -w -n inner "$words"$'\t\x18'
            zpty -r -m inner seen '*WRITTEN*' || exit 1
        done
        zpty -d inner
        cat lines
    "#;
    let out = of_shell(&service, &["zsh", "-f"], script);
    let lines: Vec<&str> = out.lines().map(str::trim_end).collect();
    assert_eq!(lines, ["slc restart", "slc list --socket", "slc status nginx"], "{out}");
}
