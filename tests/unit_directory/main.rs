//! Unit files that nobody wrote in good faith, and directories of any content and size: no file
//! takes long, and none stops the others.

mod several;
mod shelf;
mod templates;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use treeward::unit_file::{Diagnostic, Loaded, MAX_FILE_BYTES, parse, read_directory};

fn shown(diagnostics: &[Diagnostic]) -> String {
    diagnostics.iter().map(|diagnostic| format!("{diagnostic}\n")).collect()
}

/// Scenarios U1 and U2.
#[test]
fn no_text_keeps_the_parser_busy() {
    let fill = |piece: &str| piece.repeat(MAX_FILE_BYTES / piece.len());
    let nine = |c: char| vec![format!("*{c}"); 9].join(",");
    let before = |c: char| char::from_u32(u32::from(c) - 1).unwrap();
    let bomb: String = ('b'..='z').map(|c| format!("{c}: &{c} [{}]\n", nine(before(c)))).collect();
    let numbered = |line: fn(usize) -> String| {
        let mut text = String::from("command: a\n");
        for n in 0.. {
            let next = line(n);
            if text.len() + next.len() > MAX_FILE_BYTES {
                return text;
            }
            text += &next;
        }
        text
    };
    for (what, text) in [
        ("alias bomb", format!("a: &a [x]\n{bomb}")),
        ("brackets", fill("[")),
        ("mappings", fill("{a: ")),
        ("mappings without blanks", fill("{a:")),
        ("brackets in a value", format!("environment: {}", &fill("[")[20..])),
        ("dashes", fill("- ")),
        ("question marks", fill("? ")),
        ("anchors", fill("&a ")),
        ("anchored lists", fill("&a [")),
        ("quotes", fill("'")),
        ("tags", fill("!")),
        ("percent lines", fill("%a\n")),
        ("documents", fill("---\n")),
        ("comments", fill("#\n")),
        ("colons", fill(": ")),
        ("commas", fill("[,")),
        ("one long word", fill("a")),
        ("one long key", format!("{}: 1", &fill("k")[3..])),
        ("blanks", fill(" ")),
        ("line feeds", fill("\n")),
        ("unknown keys", numbered(|n| format!("k{n}: 1\n"))),
        (
            "unknown resources",
            numbered(|n| format!("{}r{n}: 1\n", if n == 0 { "ulimits:\n " } else { " " })),
        ),
        ("the same key", numbered(|_| "nice: 1\n".to_owned())),
        ("merge keys", numbered(|n| format!("k{n}: {{<<: {{a: 1}}}}\n"))),
        ("deep block", numbered(|n| format!("{}a:\n", " ".repeat(n)))),
        ("a long command", format!("command: {}", &fill("a ")[9..])),
        ("dollars", format!("command: {}", &fill("'\" ")[9..])),
    ] {
        assert!(text.len() <= MAX_FILE_BYTES, "{what} is not even parsed");
        let started = cpu_time();
        let result = parse(Path::new("/etc/yml-services/app.yml"), &text);
        let took = cpu_time() - started;
        assert!(took < Duration::from_secs(1), "{what} took {took:?}");
        match result {
            Ok(unit) => assert_eq!(what, "a long command", "{what} was accepted: {unit:?}"),
            Err(bad) => {
                let answer = shown(&bad);
                assert!(answer.len() < 20_000, "{what} is answered with {} bytes", answer.len());
                assert!(!answer.contains(|c: char| c.is_control() && c != '\n'), "{what}");
            }
        }
    }
    let large = parse(Path::new("app.yml"), &" ".repeat(MAX_FILE_BYTES + 1)).unwrap_err();
    assert!(shown(&large).contains("at most 262144"), "{large:?}");
}

/// What this thread has used of a CPU; other than the time of day, a busy machine leaves it alone.
fn cpu_time() -> Duration {
    nix::time::ClockId::CLOCK_THREAD_CPUTIME_ID.now().unwrap().into()
}

/// A directory of its own, removed in the end.
struct Directory(tempfile::TempDir);

impl Directory {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, bytes).unwrap();
        path
    }

    fn load(&self) -> Loaded {
        read_directory(self.0.path()).unwrap()
    }

    /// What is said about the one bad unit of this name.
    fn refusal(&self, name: &str) -> String {
        let loaded = self.load();
        assert!(loaded.units.iter().all(|unit| unit.name.as_str() != name), "{name} was loaded");
        let bad: Vec<_> = loaded.bad.iter().filter(|bad| bad.name == name).collect();
        assert_eq!(bad.len(), 1, "{name}: {loaded:?}");
        shown(&bad[0].diagnostics)
    }
}

#[test]
fn a_directory_gives_its_units_sorted_and_ignores_other_files() {
    let directory = Directory::new();
    for name in ["nginx.yml", "cron.yaml", "agetty@tty1.yml", "a.b.yml"] {
        directory.write(name, "command: a\n");
    }
    for name in [
        "README.md",
        "x.yml.disabled",
        "x.yml~",
        ".x.yml",
        ".#x.yml",
        "#x.yml#",
        "x.YML",
        "yml",
        ".yml",
        ".yaml",
        "x.yml.swp",
        "x",
    ] {
        directory.write(name, "this: [is no unit");
    }
    let target = directory.write("elsewhere", "command: linked\n");
    std::os::unix::fs::symlink(target, directory.path("link.yml")).unwrap();
    let Loaded { units, bad, .. } = directory.load();
    let names: Vec<_> = units.iter().map(|unit| unit.name.as_str()).collect();
    assert_eq!(names, ["a.b", "agetty@tty1", "cron", "link", "nginx"]);
    assert!(bad.is_empty(), "{bad:?}");
    assert_eq!(units[3].command.to_vec(), ["linked"]);
    assert_eq!(*units[3].source, *directory.path("link.yml"));
}

/// Scenario U9.
#[test]
fn what_is_no_plain_file_is_refused_without_waiting_and_the_others_load() {
    use std::os::unix::fs::PermissionsExt;
    let directory = Directory::new();
    directory.write("good.yml", "command: a\n");
    fs::create_dir(directory.path("directory.yml")).unwrap();
    let mode = nix::sys::stat::Mode::from_bits_truncate(0o600);
    nix::unistd::mkfifo(&directory.path("fifo.yml"), mode).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(directory.path("socket.yml")).unwrap();
    std::os::unix::fs::symlink("/nowhere", directory.path("dangling.yml")).unwrap();
    std::os::unix::fs::symlink("loop.yml", directory.path("loop.yml")).unwrap();
    std::os::unix::fs::symlink("/dev/zero", directory.path("device.yml")).unwrap();
    directory.write("latin1.yml", b"command: a\ndescription: caf\xe9\n");
    directory.write("nul.yml", "command: a\n\0");
    directory.write("large.yml", "#".repeat(MAX_FILE_BYTES + 1));
    directory.write("getty@.yml", "comand: a\n");
    directory.write("two words.yml", "command: a\n");
    let open = directory.write("open.yml", "command: a\n");
    fs::set_permissions(&open, fs::Permissions::from_mode(0o666)).unwrap();
    directory.write("both.yml", "command: a\n");
    directory.write("both.yaml", "command: b\n");
    directory.write("broken.yml", "command: [a\n");

    for (name, words) in [
        ("directory", "this is a directory"),
        ("fifo", "no regular file"),
        ("socket", "this is a socket"),
        ("dangling", "leads nowhere"),
        ("loop", "cannot be opened"),
        ("device", "no regular file"),
        ("latin1", "latin1.yml:2:17: this byte is no UTF-8"),
        ("nul", "nul.yml:2:1: a NUL byte"),
        ("large", "262145 bytes are too many"),
        ("getty@", "getty@.yml:1:1: comand: unknown key; did you mean \"command\""),
        ("two words", "only letters, digits"),
        ("open", "anybody could run programs as root"),
        ("both", "both.yaml and both.yml are the same unit"),
        ("broken", "broken.yml:1:10"),
    ] {
        let answer = directory.refusal(name);
        assert!(answer.contains(words), "{name}: {answer}");
    }
    let Loaded { units, bad, .. } = directory.load();
    assert_eq!(units.iter().map(|unit| unit.name.as_str()).collect::<Vec<_>>(), ["good"]);
    assert!(bad.is_sorted_by_key(|bad| bad.name.clone()));
}

#[test]
fn a_file_that_is_longer_than_its_size_says_is_read_to_its_end() {
    let directory = Directory::new();
    // Files of /proc have no size before they are read.
    let source = "/proc/sys/kernel/ostype";
    assert_eq!(fs::metadata(source).unwrap().len(), 0);
    std::os::unix::fs::symlink(source, directory.path("proc.yml")).unwrap();
    let answer = directory.refusal("proc");
    assert!(answer.contains("a single value is written here"), "{answer}");
    assert!(answer.contains("    1 | Linux\n      | ^^^^^\n"), "{answer}");
}

#[test]
fn names_that_are_no_utf8_are_bad_units_too() {
    use std::os::unix::ffi::OsStrExt;
    let directory = Directory::new();
    let name = std::ffi::OsStr::from_bytes(b"caf\xe9.yml");
    fs::write(directory.0.path().join(name), "command: a\n").unwrap();
    let Loaded { units, bad, .. } = directory.load();
    assert!(units.is_empty());
    assert_eq!(bad.len(), 1);
    assert!(shown(&bad[0].diagnostics).contains("gives no unit name"));
}

#[test]
fn a_directory_that_everybody_may_write_to_is_refused() {
    use std::os::unix::fs::PermissionsExt;
    let directory = Directory::new();
    directory.write("good.yml", "command: a\n");
    fs::set_permissions(directory.0.path(), fs::Permissions::from_mode(0o777)).unwrap();
    let error = read_directory(directory.0.path()).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::PermissionDenied);
    assert!(read_directory(&directory.path("nowhere")).is_err());
}

/// Scenario U6.
#[test]
fn ten_times_as_many_units_take_about_ten_times_as_long() {
    let text = "description: One of many\ncommand: [/usr/bin/app, --port, 8080]\n\
                restart: always\ndepends_on: [network-up]\nenvironment: {A: 1, B: two}\n";
    let time = |count: usize| {
        let directory = Directory::new();
        for n in 0..count {
            directory.write(&format!("unit-{n}.yml"), text);
        }
        let mut best = Duration::MAX;
        for _ in 0..2 {
            let started = cpu_time();
            let loaded = directory.load();
            best = best.min(cpu_time() - started);
            assert_eq!((loaded.units.len(), loaded.bad.len()), (count, 0));
        }
        best
    };
    let (few, many) = (time(100), time(1_000));
    // A quadratic step would make it a hundred times.
    assert!(many < few * 40, "100 units: {few:?}, 1,000 units: {many:?}");
}
