//! U: unit files that nobody wrote in good faith, and many of them, in front of a supervisor that
//! runs. What is said of each single mistake, `tests/bad-units` has.

use std::fs::{self, File};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::os::unix::net::UnixListener;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use nix::sys::stat::Mode;
use serde_json::{Value, json};
use treeward::supervision::status::StateWord;

use crate::house::{House, PATIENCE, SECOND};
use crate::supervisor::print;
use crate::watched::{Watched, list};
use crate::{SLEEPER, up};

/// The problems that `slc list` shows, as name and text.
fn problems(house: &House) -> Vec<(String, String)> {
    let reply = house.call("List", json!({})).expect("List");
    let text = |problem: &Value, key: &str| problem[key].as_str().expect("text").to_owned();
    let problems = reply["problems"].as_array().expect("an array").iter();
    problems.map(|problem| (text(problem, "name"), text(problem, "text"))).collect()
}

/// What is said of one unit that was not loaded.
fn problem(house: &House, name: &str) -> String {
    let all = problems(house);
    let found = all.iter().find(|(of, _)| of == name);
    found.unwrap_or_else(|| panic!("{name} is no problem: {all:#?}")).1.clone()
}

#[test]
fn u1_u2_no_unit_file_keeps_a_running_supervisor_busy() {
    let bomb: String = ('b'..='z')
        .map(|name| {
            let before = char::from_u32(u32::from(name) - 1).expect("a letter");
            format!("{name}: &{name} [{}]\n", vec![format!("*{before}"); 9].join(","))
        })
        .collect();
    let keys: String = (0..20_000).map(|n| format!("key{n}: 1\n")).collect();
    let house = Watched::new(&[("sleeper", SLEEPER)]);
    let process = up(&house, "sleeper");
    for (name, text) in [
        ("bomb", format!("a: &a [x]\n{bomb}")),
        ("itself", "command: &a [*a]\n".to_owned()),
        ("brackets", format!("environment: {}", "[".repeat(250_000))),
        ("maps", "{a: ".repeat(60_000)),
        ("keys", keys),
        ("documents", "---\ncommand: a\n---\ncommand: b\n".to_owned()),
        ("merge", "base: &b {command: a}\n<<: *b\n".to_owned()),
        ("tabs", "command: a\nrestart:\n\t- x\n".to_owned()),
        ("duplicates", "command: a\nenvironment: {A: 1, A: 2}\n".to_owned()),
        ("nul", "command: [a, \"b\\0c\"]\n".to_owned()),
    ] {
        house.write_unit(name, &text);
    }
    // A file of 50 MB, and one of 50 MB of holes.
    house.write_unit("large", &"#".repeat(50_000_000));
    File::create(house.path("units/holes.yml")).and_then(|f| f.set_len(50_000_000)).expect("holes");
    let begin = Instant::now();
    let answer = house.slc(&["reload"]);
    print(&format!("12 hostile unit files refused in {:?}", begin.elapsed()));
    assert!(begin.elapsed() < 10 * SECOND, "{:?}", begin.elapsed());
    assert_eq!(answer.code, Some(1), "{answer:?}");
    for name in
        ["bomb", "itself", "brackets", "maps", "keys", "documents", "tabs", "duplicates", "nul"]
    {
        let text = problem(&house, name);
        assert!(text.contains(&format!("{name}.yml:")), "no line and column: {text}");
        assert!(text.len() < 20_000, "{name} is answered with {} bytes", text.len());
        assert!(answer.out.contains(name) || answer.err.contains(name), "{name}: {answer:?}");
    }
    for name in ["large", "holes"] {
        assert!(problem(&house, name).contains("50000000 bytes are too many"), "{name}");
    }
    assert_eq!(up(&house, "sleeper"), process);
}

#[test]
fn u4_u9_a_bad_new_text_keeps_the_service_and_its_old_unit() {
    let house = Watched::new(&[("sleeper", "command: sleep infinity\ndescription: the old one\n")]);
    let process = up(&house, "sleeper");
    for text in
        ["comand: sleep 1\n", "command: sleep 1\nnice: 99\ndescription: half\n", "command: [a", ""]
    {
        house.write_unit("sleeper", text);
        assert_eq!(house.slc(&["reload"]).code, Some(1));
        assert!(problem(&house, "sleeper").contains("sleeper.yml"), "{text:?}");
        let status = house.status("sleeper");
        assert_eq!(status.summary.description, "the old one", "{text:?} is half loaded");
        assert_eq!(up(&house, "sleeper"), process);
    }
    house.slc_done(&["restart", "sleeper"]);
    assert_eq!(up(&house, "sleeper").command, "sleep infinity", "the old command still");
    house.write_unit("sleeper", "command: sleep infinity\ndescription: the new one\n");
    house.slc_done(&["reload"]);
    assert_eq!(house.status("sleeper").summary.description, "the new one");
}

#[test]
fn u5_no_wrong_user_ever_means_root() {
    let names =
        ["0day", "no-such-user", "4294967295", "-1", "\"\"", "' '", "root:", "\"0x0\"", "1e3"];
    let units: Vec<(String, String)> = names
        .iter()
        .enumerate()
        .map(|(n, user)| {
            (format!("unit-{n}"), format!("command: sleep 1000\nrestart: \"no\"\nuser: {user}\n"))
        })
        .collect();
    let mut all: Vec<(&str, &str)> =
        units.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
    all.push(("nobody", "command: sleep 1000\nuser: \"65534\"\ngroup: \"65534\"\n"));
    let house = Watched::new(&all);
    let process = up(&house, "nobody");
    assert_eq!(process.status_line("Uid"), "65534\t65534\t65534\t65534");
    for (n, user) in names.iter().enumerate() {
        let name = format!("unit-{n}");
        assert_eq!(house.processes(&name), [], "user: {user}");
        let refused = problems(&house).iter().any(|(bad, _)| *bad == name);
        let failed = || house.wait_state(&name, StateWord::Failed, PATIENCE).summary.why;
        assert!(refused || failed().contains("user"), "user: {user}");
    }
}

#[test]
fn u6_what_is_too_long_for_an_exec_fails_with_the_reason() {
    let long = format!("command: [sleep, '{}']\nrestart: \"no\"\n", "1".repeat(128 * 1024));
    let many: String = (0..9_000).map(|n| format!("  NAME_{n}: \"value\"\n")).collect();
    let many = format!("command: sleep infinity\nenvironment:\n{many}");
    // A unit's name may have 200 bytes; the file system would take 255.
    let name = "n".repeat(200);
    let too_long = "n".repeat(201);
    let house = Watched::new(&[
        ("long", &long),
        ("many", &many),
        (&name, SLEEPER),
        (&too_long, SLEEPER),
        ("patient", "command: sleep infinity\nstop_grace_period: 8760h\nrestart_delay: 8760h\n"),
        ("sleeper", SLEEPER),
    ]);
    up(&house, "sleeper");
    let status = house.wait_state("long", StateWord::Failed, PATIENCE);
    assert!(status.summary.why.contains("Argument list too long"), "{}", status.summary.why);
    let process = up(&house, "many");
    assert_eq!(
        process.environment().iter().filter(|word| word.starts_with("NAME_")).count(),
        9_000
    );
    up(&house, &name);
    assert!(problem(&house, &too_long).contains("at most 200 bytes"));
    up(&house, "patient");
    house.slc_done(&["stop", "patient"]);
}

#[test]
fn u6_ten_thousand_units_are_read_while_others_are_served() {
    const UNITS: usize = 10_000;
    let mut house = House::vacant(&[("sleeper", SLEEPER)]);
    let unit = "command: sleep infinity\nenabled: false\n";
    (0..UNITS).for_each(|n| house.write_unit(&format!("unit-{n}"), unit));
    house.launch();
    let house = Watched::over(house);
    let process = up(&house, "sleeper");
    assert_eq!(list(&house).len(), UNITS + 1);
    let calm = (0..5).map(|_| time_of_status(&house)).min().unwrap_or_default();
    // They are read again in a thread of its own.
    let over = AtomicBool::new(false);
    let (took, slowest) = std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let begin = Instant::now();
            house.slc_done(&["reload"]);
            over.store(true, Ordering::Relaxed);
            begin.elapsed()
        });
        let mut slowest = Duration::ZERO;
        while !over.load(Ordering::Relaxed) {
            slowest = slowest.max(time_of_status(&house));
        }
        (reader.join().expect("no panic"), slowest)
    });
    print(&format!(
        "{UNITS} units read again in {took:?}; slowest status {slowest:?}, {calm:?} before"
    ));
    assert!(took < 30 * SECOND, "{took:?}");
    assert!(slowest < SECOND.max(calm * 50), "a status took {slowest:?}");
    house.slc_done(&["start", "unit-9999"]);
    house.slc_done(&["stop", "unit-9999"]);
    assert_eq!(up(&house, "sleeper"), process);
}

fn time_of_status(house: &House) -> Duration {
    let begin = Instant::now();
    house.status("sleeper");
    begin.elapsed()
}

#[test]
fn u7_an_instance_is_a_unit_of_its_own_and_nothing_in_its_name_is_expanded() {
    let shows = "command: [sh, -c, 'echo \"$0 $TREEWARD_UNIT\"; exec sleep 1000', '%i $(id)']\n";
    let names = ["agetty@ttyS0", "x@-rf", "x@%i", "x@"];
    let units: Vec<(&str, &str)> = names.iter().map(|name| (*name, shows)).collect();
    let house = Watched::new(&units);
    house.wait_state("agetty@ttyS0", StateWord::Up, PATIENCE);
    house.wait_for_log("agetty@ttyS0", "%i $(id) agetty@ttyS0");
    // A template is no unit by itself, and what is put into it is data.
    assert!(problems(&house).iter().all(|(bad, _)| bad != "x@"));
    house.slc_done(&["start", "x@7"]);
    house.wait_for_log("x@7", "7 $(id) x@7");
    // A leading dash is a name behind `--`; what is no name is refused with the place.
    for name in ["x@-rf", "x@%i"] {
        if problems(&house).iter().all(|(bad, _)| bad != name) {
            house.wait_state(name, StateWord::Up, PATIENCE);
            house.slc_done(&["stop", "--", name]);
        }
    }
}

#[test]
fn u8_circles_name_their_members_and_long_chains_start() {
    let depends = |on: &str| format!("command: sleep infinity\ndepends_on: [{on}]\n");
    let mut units: Vec<(String, String)> = vec![
        ("self".into(), depends("self")),
        ("sleeper".into(), SLEEPER.into()),
        ("lost".into(), depends("nowhere")),
        ("soft".into(), "command: sleep infinity\nafter: [nowhere]\n".into()),
        // A circle through `after` alone, and the same unit in both.
        ("first".into(), "command: sleep infinity\nafter: [second]\n".into()),
        ("second".into(), "command: sleep infinity\nafter: [first]\n".into()),
        (
            "both".into(),
            "command: sleep infinity\ndepends_on: [sleeper]\nafter: [sleeper]\n".into(),
        ),
    ];
    for n in 0..20 {
        units.push((format!("ring-{n}"), depends(&format!("ring-{}", (n + 1) % 20))));
    }
    let quick = "type: oneshot\nremain_after_exit: true\ncommand: 'true'\n";
    units.push(("chain-0".into(), quick.into()));
    for n in 1..500 {
        units.push((format!("chain-{n}"), format!("{quick}depends_on: [chain-{}]\n", n - 1)));
    }
    // A diamond: one below, a hundred between, one above.
    let between: Vec<String> = (0..100).map(|n| format!("between-{n}")).collect();
    units.push(("above".into(), format!("{quick}depends_on: [{}]\n", between.join(", "))));
    for name in &between {
        units.push((name.clone(), format!("{quick}depends_on: [below]\n")));
    }
    units.push(("below".into(), quick.into()));
    let all: Vec<(&str, &str)> =
        units.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
    let house = House::new(&all);
    house.wait_state("chain-499", StateWord::Done, 3 * PATIENCE);
    house.wait_state("above", StateWord::Done, PATIENCE);
    for name in ["sleeper", "soft", "both"] {
        up(&house, name);
    }
    let ring = problem(&house, "ring-7");
    for n in 0..20 {
        assert!(ring.contains(&format!("ring-{n}")), "ring-{n} is not named: {ring}");
    }
    assert!(ring.contains("wait for each other in a circle"), "{ring}");
    assert!(ring.contains("yml:") && ring.contains(" | depends_on: "), "no line of a file: {ring}");
    assert!(problem(&house, "self").contains("self"));
    assert!(problem(&house, "first").contains("second"));
    let lost = house.slc(&["list"]);
    let line = lost.out.lines().find(|line| line.contains("lost")).expect("a line");
    assert!(line.contains("nowhere"), "{line}");
    assert_eq!(house.processes("lost"), []);
    Watched::over(house);
}

#[test]
fn u9_files_of_others_and_no_files_at_all_are_refused_with_the_reason() {
    let house = Watched::new(&[("sleeper", SLEEPER)]);
    let process = up(&house, "sleeper");
    let path = |name: &str| house.path(&format!("units/{name}.yml"));
    for name in ["foreign", "open", "closed", "linked"] {
        house.write_unit(name, SLEEPER);
    }
    chown(path("foreign"), Some(65_534), None).expect("chown");
    fs::set_permissions(path("open"), fs::Permissions::from_mode(0o666)).expect("chmod");
    fs::set_permissions(path("closed"), fs::Permissions::from_mode(0o000)).expect("chmod");
    // The file that a link leads to counts.
    house.write("elsewhere", SLEEPER);
    chown(house.path("elsewhere"), Some(65_534), None).expect("chown");
    fs::remove_file(path("linked")).expect("remove");
    symlink(house.path("elsewhere"), path("linked")).expect("symlink");
    fs::create_dir(path("directory")).expect("mkdir");
    nix::unistd::mkfifo(&path("fifo"), Mode::S_IRWXU).expect("mkfifo");
    let _socket = UnixListener::bind(path("socket")).expect("bind");
    symlink("/no/such/file", path("dangling")).expect("symlink");
    fs::write(house.path("units/two\nlines.yml"), SLEEPER).expect("write");
    fs::write(house.path("units/...yml"), SLEEPER).expect("write");
    (0..2_000).for_each(|n| house.write(&format!("units/unit-{n}.yml~"), "no: [unit"));
    let answer = house.slc(&["reload"]);
    assert_eq!(answer.code, Some(1), "{answer:?}");
    for (name, words) in [
        ("foreign", "belongs to user 65534, who could run programs as user 0"),
        ("linked", "belongs to user 65534, who could run programs as user 0"),
        ("open", "everybody may write to this file"),
        ("directory", "this is a directory"),
        ("fifo", "no regular file"),
        ("socket", "this is a socket"),
        ("dangling", "leads nowhere"),
        ("two\nlines", "is refused"),
    ] {
        let text = problem(&house, name);
        assert!(text.contains(words), "{name}: {text}");
        assert!(name.contains('\n') || house.processes(name).is_empty(), "{name} runs");
    }
    let shown = house.slc(&["list"]);
    let text = format!("{}{}", shown.out, shown.err);
    assert!(!text.contains("two\nlines"), "a name with a line feed makes two lines: {text}");
    // Root may read what has no permissions: it is root's own. While others are wrong it must be
    // named.
    assert_eq!(house.status("sleeper").start, 1, "a reload that is refused changes nothing");
    house.slc_done(&["reload", "--only", "closed"]);
    up(&house, "closed");
    assert_eq!(up(&house, "sleeper"), process);

    // A directory that belongs to somebody else: all stays as it is.
    chown(house.path("units"), Some(65_534), None).expect("chown");
    assert_eq!(house.slc(&["reload"]).code, Some(1));
    let said = problems(&house);
    assert!(said[0].1.contains("it belongs to user 65534"), "{said:?}");
    assert_eq!(up(&house, "sleeper"), process);
    chown(house.path("units"), Some(0), None).expect("chown");
}

#[test]
fn u9_a_file_that_is_replaced_while_it_is_read_is_one_or_the_other() {
    let old = format!("command: sleep infinity\ndescription: old\n#{}\n", "x".repeat(100_000));
    let new = "command: sleep infinity\ndescription: new\n";
    let house = Watched::new(&[("sleeper", &old)]);
    up(&house, "sleeper");
    let path = house.path("units/sleeper.yml");
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for n in 0.. {
                if over.load(Ordering::Relaxed) {
                    break;
                }
                let fresh = house.path("fresh");
                fs::write(&fresh, if n % 2 == 0 { new } else { &old }).expect("write");
                fs::rename(&fresh, &path).expect("rename");
                // And vanished for a moment, now and then.
                if n % 7 == 0 {
                    let _ = fs::rename(&path, house.path("away"));
                    fs::rename(house.path("away"), &path).expect("rename");
                }
            }
        });
        for _ in 0..100 {
            house.call("ReadUnits", json!({})).expect("ReadUnits");
            if let Some(summary) = list(&house).first() {
                let text = &summary.description;
                assert!(text == "old" || text == "new" || text.contains("gone"), "{text:?}");
            }
        }
        over.store(true, Ordering::Relaxed);
    });
    fs::write(&path, new).expect("write");
    house.slc_done(&["reload"]);
    house.slc_done(&["restart", "sleeper"]);
    assert_eq!(house.status("sleeper").summary.description, "new");
    assert!(problems(&house).is_empty(), "{:?}", problems(&house));
    assert_eq!(fs::metadata(&path).expect("the file").uid(), 0);
}
