//! `slc check`, `slc schema` and `slc help units`, from the outside: no supervisor, no root.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

/// A directory of files with these names and texts.
fn directory(files: &[(&str, &str)]) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in files {
        fs::write(dir.path().join(name), text).unwrap();
    }
    dir
}

fn executable(dir: &TempDir, name: &str, text: &str) {
    let path = dir.path().join(name);
    fs::write(&path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

/// slc in the directory; exit status, standard output with the directory as DIR, standard error.
fn slc(dir: &Path, args: &[&str]) -> (i32, String, String) {
    let mut slc = Command::new(env!("CARGO_BIN_EXE_slc"));
    slc.args(args).current_dir(dir).env("TREEWARD_SOCKET", "/nonexistent/socket");
    let output = slc.env_remove("NO_COLOR").output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    let own = dir.to_str().unwrap();
    (output.status.code().unwrap(), text(output.stdout).replace(own, "DIR"), text(output.stderr))
}

/// What `slc check .` says of one unit, without the line that counts.
fn said(dir: &TempDir, text: &str) -> String {
    fs::write(dir.path().join("x.yml"), text.replace("DIR", dir.path().to_str().unwrap())).unwrap();
    let (code, out, err) = slc(dir.path(), &["check", "x.yml"]);
    assert_eq!(err, "");
    let (said, count) = out.trim_end().rsplit_once('\n').unwrap_or(("", &out));
    assert!(count.starts_with("1 unit file checked: "), "{out}");
    let errors =
        said.lines().filter(|line| line.starts_with("./x.yml") && !line.contains(": warning: "));
    assert_eq!(code == 1, errors.count() > 0, "{out}");
    said.to_owned()
}

#[test]
fn units_that_are_well_are_said_to_be() {
    let dir =
        directory(&[("a.yml", "command: /bin/sh\n"), ("b.yaml", "command: sh\nafter: [a]\n")]);
    let (code, out, err) = slc(dir.path(), &["check", "."]);
    assert_eq!(
        (code, out.as_str(), err.as_str()),
        (0, "2 unit files checked: nothing wrong\n", "")
    );
}

#[test]
fn what_a_start_would_not_find_is_told_where_it_is_written() {
    let dir = directory(&[("data", ""), ("env", "PATH=DIR\n"), ("broken-env", "A=1\nnonsense\n")]);
    executable(&dir, "script", "#!/nonexistent/sh\n");
    executable(&dir, "good", "#!/bin/sh\n");
    executable(&dir, "text", "hello\n");
    let path = format!("PATH={}\n", dir.path().display());
    fs::write(dir.path().join("env"), path).unwrap();
    for (text, expected) in [
        (
            "command: ngnix -g 'daemon off;'\n",
            "./x.yml:1:10: command: there is no program \"ngnix\" in the PATH \
             /usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n\
             \x20   1 | command: ngnix -g 'daemon off;'\n\
             \x20     |          ^^^^^",
        ),
        (
            "command: [DIR/data, -x]\n",
            "./x.yml:1:11: command: DIR/data is not executable (mode 0644); chmod +x would make it so",
        ),
        ("command: /nonexistent/x\n", "./x.yml:1:10: command: /nonexistent/x does not exist"),
        (
            "command: DIR/script\n",
            "./x.yml:1:10: command: DIR/script names the interpreter \"/nonexistent/sh\" in its \
             first line: /nonexistent/sh does not exist",
        ),
        (
            "command: DIR/text\n",
            "./x.yml:1:10: warning: command: DIR/text is neither a binary program nor a script \
             with an interpreter: its first line does not start with #!",
        ),
        ("command: good\nenvironment: {PATH: DIR}\n", ""),
        ("command: good\nenv_file: DIR/env\n", ""),
        (
            "command: good\nenv_file: DIR/env\nenvironment: {PATH: /nowhere}\n",
            "./x.yml:1:10: command: there is no program \"good\" in the PATH /nowhere",
        ),
        (
            "command: sh\nstop_command: /nonexistent/a b\nreload_command: [/nonexistent/c]\n",
            "./x.yml:2:15: stop_command: /nonexistent/a does not exist",
        ),
        (
            "command: sh\nreload_command: [/nonexistent/c]\n",
            "./x.yml:2:18: reload_command: /nonexistent/c does not exist",
        ),
        (
            "command: sh\nstart_pre: /nonexistent/d\n",
            "./x.yml:2:12: start_pre: /nonexistent/d does not exist",
        ),
        (
            "command: sh\nuser: no-such-user-x\n",
            "./x.yml:2:7: user: there is no user \"no-such-user-x\", so every start fails",
        ),
        (
            "command: sh\nuser: root:no-such-group-x\n",
            "./x.yml:2:12: user: there is no group \"no-such-group-x\", so every start fails",
        ),
        (
            "command: sh\ngroup: no-such-group-x\n",
            "./x.yml:2:8: group: there is no group \"no-such-group-x\", so every start fails",
        ),
        (
            "command: sh\nuser: 3999999999\n",
            "./x.yml:2:7: user: user 3999999999 is not in the user database: a group must be \
             given, too, so every start fails",
        ),
        (
            "command: sh\nworking_dir: /nonexistent/dir\n",
            "./x.yml:2:14: working_dir: there is no directory /nonexistent/dir; a start fails until \
             there is one",
        ),
        (
            "command: sh\nworking_dir: DIR/data\n",
            "./x.yml:2:14: working_dir: DIR/data is no directory; a start fails until there is one",
        ),
        (
            "command: sh\nenv_file: [/dev/null, {path: /nonexistent/env}]\n",
            "./x.yml:2:12: env_file: /dev/null: cannot read /dev/null: Invalid argument",
        ),
        (
            "command: sh\nenv_file: [{path: /nonexistent/env}]\n",
            "./x.yml:2:19: env_file: there is no file /nonexistent/env; a start fails until there is \
             one; write {path: ..., required: false} if it can do without\n",
        ),
        ("command: sh\nenv_file: {path: /nonexistent/env, required: false}\n", ""),
        (
            "command: sh\nenv_file: DIR/broken-env\n",
            "./x.yml:2:11: env_file: DIR/broken-env: line 2: expected NAME=value, so every start fails",
        ),
        (
            "command: sh\npid_file: /nonexistent/run/x.pid\n",
            "./x.yml:2:11: warning: pid_file: there is no directory /nonexistent/run; the daemon \
             can write it once there is one",
        ),
        (
            "command: sh\ntty: /dev/ttyNONE\n",
            "./x.yml:2:6: warning: tty: there is no terminal /dev/ttyNONE; a start fails until \
             there is one",
        ),
        ("command: sh\ntty: DIR/data\n", "./x.yml:2:6: warning: tty: DIR/data is no terminal"),
        (
            "command: sh\nworking_dir: /\npid_file: /x.pid\nuser: root\ngroup: '0'\ntty: /dev/null\n",
            "",
        ),
    ] {
        let said = said(&dir, text);
        assert!(
            said.starts_with(expected) && expected.is_empty() == said.is_empty(),
            "{text}{said}"
        );
    }
}

#[test]
fn every_command_of_a_unit_is_looked_for() {
    let dir = directory(&[]);
    for (text, key) in [
        ("ready: {command: DIR/none}", "ready"),
        ("ready: {command: [DIR/none, x], interval: 1s}", "ready"),
        ("healthcheck: {test: [CMD, DIR/none]}", "healthcheck"),
        ("stop_command: DIR/none", "stop_command"),
        ("reload_command: DIR/none", "reload_command"),
        ("start_pre: DIR/none", "start_pre"),
        ("start_post: [[DIR/none, x], sh]", "start_post"),
        ("stop_post: {command: DIR/none}", "stop_post"),
    ] {
        let said = said(&dir, &format!("command: sh\n{text}\n"));
        assert!(said.starts_with("./x.yml:2:"), "{text}: {said}");
        assert!(said.contains(&format!(": {key}: DIR/none does not exist")), "{text}: {said}");
    }
    for text in ["ready: {tcp: 80}", "healthcheck: {test: DIR/none}", "ready: {command: [sh, x]}"] {
        assert_eq!(said(&dir, &format!("command: sh\n{text}\n")), "", "{text}");
    }
}

#[test]
fn what_a_drop_in_or_a_template_says_is_told_where_it_is_written() {
    let dir = directory(&[
        ("web.yml", "command: sh\nstart_pre: [[sh, a]]\nworking_dir: /\nafter: [one]\n"),
        ("one.yml", "command: sh\n"),
        ("tty@.yml", "command: sh\ndepends_on: [one, 'on-%i']\ninstances: [a]\n"),
    ]);
    for name in ["web.yml.d", "tty@.yml.d", "tty@a.yml.d"] {
        fs::create_dir(dir.path().join(name)).unwrap();
    }
    let write = |name: &str, text: &str| fs::write(dir.path().join(name), text).unwrap();
    write("web.yml.d/a.yml", "# More.\n\nworking_dir: /no/such/directory\n");
    write("web.yml.d/b.yml", "start_pre+: [/no/such/program]\ndepends_on: {onne: {}}\n");
    write("tty@.yml.d/a.yml", "user: no-such-user\n");
    write("tty@a.yml.d/a.yml", "pid_file: /no/such/tty.pid\n");
    let (code, out, _) = slc(dir.path(), &["check", "."]);
    assert_eq!(code, 1);
    let places: Vec<&str> = out.lines().filter(|line| line.starts_with("./")).collect();
    let expected = [
        "./tty@.yml:2:19: depends_on: there is no unit on-a, ",
        "./tty@.yml.d/a.yml:1:7: user: ",
        "./tty@a.yml.d/a.yml:1:11: warning: pid_file: ",
        "./web.yml.d/a.yml:3:14: working_dir: there is no directory /no/such/directory",
        "./web.yml.d/b.yml:1:14: start_pre: /no/such/program does not exist",
        "./web.yml.d/b.yml:2:14: depends_on: there is no unit onne, ",
    ];
    assert_eq!(places.len(), expected.len(), "{out}");
    for (found, expected) in places.iter().zip(expected) {
        assert!(found.starts_with(expected), "{expected}\n{out}");
    }
    // The line is that of the drop-in.
    assert!(out.contains("\n    3 | working_dir: /no/such/directory\n"), "{out}");
    let (code, out, _) = slc(dir.path(), &["check", "web.yml.d/a.yml"]);
    assert_eq!(code, 1, "{out}");
    assert!(out.contains("web.yml.d/a.yml:3:14: working_dir: "), "{out}");
}

#[test]
fn what_units_say_of_each_other_is_checked() {
    let dir = directory(&[
        ("web.yml", "command: sh\ndepends_on:\n  - reddis\n  - cache\n"),
        ("redis.yml", "command: sh\n"),
        ("a.yml", "command: sh\ndepends_on: {b: {condition: service_started}}\n"),
        ("b.yml", "command: sh\nafter: [a]\n"),
        ("cache.yml", "comand: sh\n"),
    ]);
    let (code, out, _) = slc(dir.path(), &["check", "."]);
    assert_eq!(code, 1);
    assert_eq!(
        out,
        "\
./a.yml:2:14: depends_on: a -> b -> a: these units wait for each other in a circle, so none of them can start; take one depends_on or after away
    2 | depends_on: {b: {condition: service_started}}
      |              ^
./cache.yml:1:1: comand: unknown key; did you mean \"command\" (the program and its arguments)?
    1 | comand: sh
      | ^^^^^^
./web.yml:3:5: depends_on: there is no unit reddis, so this one never starts; did you mean redis?
    3 |   - reddis
      |     ^^^^^^
5 unit files checked: 3 errors
"
    );
    // A file is checked among the others of its directory, which are not complained of.
    let (code, out, _) = slc(dir.path(), &["check", "redis.yml"]);
    assert_eq!((code, out.as_str()), (0, "1 unit file checked: nothing wrong\n"));
    let (code, out, _) = slc(dir.path(), &["check", "b.yml"]);
    assert_eq!(code, 1);
    assert!(out.starts_with("./b.yml:2:9: after: b -> a -> b: these units wait"), "{out}");
    assert!(out.ends_with("\n1 unit file checked: 1 error\n"), "{out}");
    let full = dir.path().join("cache.yml");
    let (code, out, _) = slc(Path::new("/"), &["check", full.to_str().unwrap()]);
    assert_eq!(code, 1);
    assert!(out.contains("cache.yml:1:1: comand: unknown key"), "{out}");
}

#[test]
fn two_units_that_want_one_address_are_told_apart() {
    let unit = "command: /bin/sh\nsockets: {http: 80}\n";
    let other = "command: /bin/sh\nsockets:\n  web: 127.0.0.1:80\n";
    let dir = directory(&[("a.yml", unit), ("b.yml", other)]);
    let (code, out, _) = slc(dir.path(), &["check", "."]);
    assert_eq!(code, 1, "{out}");
    let told =
        "./b.yml:3:3: sockets: 127.0.0.1:80 and *:80 of the unit a are conflicting sockets: ";
    assert!(out.contains(told) && !out.contains("a.yml:"), "{out}");
}

#[test]
fn warnings_are_no_errors_unless_they_are_asked_to_be() {
    let dir = directory(&[("a.yml", "command: sh\ntty: /dev/ttyNONE\n")]);
    let (code, out, _) = slc(dir.path(), &["check", "a.yml"]);
    assert_eq!(code, 0);
    assert!(out.ends_with("\n1 unit file checked: 1 warning\n"), "{out}");
    assert_eq!(slc(dir.path(), &["check", "--strict", "a.yml"]).0, 1);
}

#[test]
fn a_path_that_is_no_unit_is_an_error_and_the_others_are_checked() {
    let dir = directory(&[("a.yml", "command: sh\n"), ("notes.txt", "")]);
    let paths = ["check", "gone.yml", "notes.txt", "a.yml", "nowhere/"];
    let (code, out, err) = slc(dir.path(), &paths);
    assert_eq!((code, err.as_str()), (1, ""));
    assert_eq!(
        out,
        "\
gone.yml: No such file or directory
notes.txt: this is no unit file by its name; expected NAME.yml or NAME.yaml
nowhere/: No such file or directory
4 unit files checked: 3 errors
"
    );
}

#[test]
fn programs_get_the_same_as_json() {
    let dir = directory(&[
        ("a.yml", "command: sh\nniec: 5\n"),
        ("b.yml", "command: sh\ntty: /dev/ttyNONE\n"),
    ]);
    let (code, out, _) = slc(dir.path(), &["check", "--json", "."]);
    let answer: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(code, 1);
    assert_eq!(
        (&answer["files"], &answer["errors"], &answer["warnings"]),
        (&2.into(), &1.into(), &1.into())
    );
    let first = &answer["diagnostics"][0];
    assert_eq!((&first["severity"], &first["file"]), (&"error".into(), &"./a.yml".into()));
    assert_eq!(
        (&first["line"], &first["column"], &first["key"]),
        (&2.into(), &1.into(), &"niec".into())
    );
    let text = first["text"].as_str().unwrap();
    assert_eq!(text.lines().count(), 3, "{text}");
    assert!(text.contains(first["message"].as_str().unwrap()));
    assert_eq!(answer["diagnostics"][1]["severity"], "warning");
}

#[test]
fn colours_come_when_asked_for_and_nothing_of_a_unit_reaches_the_terminal_raw() {
    let text = "command: sh\ndescription: \"\u{9b}2J\"\n\u{1b}[2Jx: 1\n";
    let dir = directory(&[("a.yml", text)]);
    let (_, out, _) = slc(dir.path(), &["check", "a.yml"]);
    assert!(!out.contains(['\u{1b}', '\u{9b}']), "{out:?}");
    let (_, out, _) = slc(dir.path(), &["--color", "always", "check", "a.yml"]);
    assert!(out.contains("\u{1b}[1m./a.yml:") && !out.contains("\u{1b}[2J"), "{out:?}");
}

#[test]
fn every_example_is_at_least_well_written_and_finds_its_neighbours() {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    let (_, out, _) = slc(&examples, &["check", "--json", "."]);
    let answer: Value = serde_json::from_str(&out).unwrap();
    // Their daemons need not be installed here.
    for found in answer["diagnostics"].as_array().unwrap() {
        let key = found["key"].as_str().unwrap_or_default();
        let lacks = [
            "command",
            "start_pre",
            "stop_command",
            "reload_command",
            "user",
            "group",
            "tty",
            "pid_file",
            "working_dir",
            "env_file",
        ];
        assert!(lacks.contains(&key), "{found}");
    }
}

#[test]
fn ten_thousand_units_are_checked_in_a_bearable_time() {
    let dir = tempfile::tempdir().unwrap();
    let text = |n: u32| {
        let filler = "# a comment that is as long as comments are\n".repeat(110);
        let wrong = if n.is_multiple_of(100) { "nice: 50\n" } else { "" };
        format!("{filler}command: sh -c 'exit {n}'\ndepends_on: [u{}]\n{wrong}", (n + 1) % 20_000)
    };
    for n in 0..10_000 {
        fs::write(dir.path().join(format!("u{n}.yml")), text(n)).unwrap();
    }
    let began = Instant::now();
    let (code, out, _) = slc(dir.path(), &["check", "."]);
    let took = began.elapsed();
    // Each hundredth has a wrong value, and the last one needs a unit that is not there.
    assert_eq!(code, 1);
    assert!(
        out.ends_with("\n10000 unit files checked: 101 errors\n"),
        "{}",
        &out[out.len() - 200..]
    );
    assert!(took < Duration::from_secs(60), "{took:?}");
}

#[test]
fn the_schema_is_printed_and_is_json() {
    let (code, out, _) = slc(Path::new("/"), &["schema"]);
    let schema: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(code, 0);
    assert!(schema["properties"]["command"]["description"].is_string());
}

#[test]
fn help_knows_commands_and_keys() {
    let help = |args: &[&str]| slc(Path::new("/"), &[&["help"], args].concat());
    let (code, out, _) = help(&["units", "restart"]);
    assert_eq!(code, 0);
    assert!(out.contains("\n  Example   restart: on-failure:3\n"), "{out}");
    assert!(help(&["units"]).1.contains("\n  depends_on "));
    assert!(help(&["check"]).1.contains("Usage: slc check [OPTIONS] [PATH]..."));
    assert!(help(&[]).1.contains("Exit status:"));
    let (code, out, err) = help(&["units", "restrat"]);
    assert_eq!((code, out.as_str()), (1, ""));
    assert_eq!(err, "slc: there is no help for units restrat; did you mean restart?\n");
    assert_eq!(help(&["xyzzy"]).0, 1);
}

#[test]
fn manual_pages_are_written() {
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(slc(dir.path(), &["man", "pages/man1"]), (0, String::new(), String::new()));
    let page = fs::read_to_string(dir.path().join("pages/man1/slc-check.1")).unwrap();
    assert!(page.contains("slc\\-check") && page.contains("strict"), "{page}");
    assert!(dir.path().join("pages/man1/slc.1").exists());
}
