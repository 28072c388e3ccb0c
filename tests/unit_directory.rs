//! Unit files that nobody wrote in good faith, and directories of any content and size: no file
//! takes long, and none stops the others.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use treeward::supervision::unit::Unit;
use treeward::unit_file::{
    Diagnostic, Directories, Loaded, Lookup, MAX_FILE_BYTES, parse, read_directory,
};

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

/// Several unit directories, in their order.
struct Shelf(Vec<Directory>);

impl Shelf {
    fn new(count: usize) -> Self {
        Self((0..count).map(|_| Directory::new()).collect())
    }

    fn directories(&self) -> Directories {
        Directories::of(self.0.iter().map(|directory| directory.0.path().to_owned()).collect())
    }

    /// Writes `files`, whose names may have a directory in front, into one of them.
    fn fill(&self, number: usize, files: &[(&str, &str)]) {
        for (name, text) in files {
            let path = self.0[number].path(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
    }

    fn link(&self, number: usize, name: &str, target: &str) {
        let path = self.0[number].path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::os::unix::fs::symlink(target, path).unwrap();
    }

    fn read(&self) -> Loaded {
        self.directories().read(&[]).unwrap()
    }

    /// The units by name with their commands, where none is bad.
    fn commands(&self) -> Vec<(String, String)> {
        let loaded = self.read();
        let bad: String = loaded.bad.iter().map(|bad| shown(&bad.diagnostics)).collect();
        assert_eq!(bad, "");
        let one = |unit: &Unit| (unit.name.to_string(), unit.command.to_vec().join("|"));
        loaded.units.iter().map(one).collect()
    }

    /// What is said about a name that cannot be used.
    fn refusal(&self, name: &str) -> String {
        let loaded = self.read();
        let bad: Vec<_> = loaded.bad.iter().filter(|bad| bad.name == name).collect();
        assert_eq!(bad.len(), 1, "{name}: {loaded:#?}");
        shown(&bad[0].diagnostics)
    }
}

fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect()
}

#[test]
fn of_two_files_for_a_unit_the_later_directory_has_the_one_that_counts() {
    let shelf = Shelf::new(3);
    shelf.fill(0, &[("a.yml", "command: a0\n"), ("b.yaml", "command: b0\n"), ("c.yml", "bad")]);
    shelf.fill(
        1,
        &[("a.yml", "command: a1\n"), ("b.yml", "command: b1\n"), ("z.yml", "command: z")],
    );
    shelf.fill(2, &[("a.yaml", "command: a2\n"), ("c.yml", "command: c2\n")]);
    let expected = [("a", "a2"), ("b", "b1"), ("c", "c2"), ("z", "z")];
    assert_eq!(shelf.commands(), pairs(&expected));
    shelf.fill(1, &[("b.yaml", "command: b\n")]);
    assert!(shelf.refusal("b").contains("b.yaml and b.yml are the same unit"));
    // A directory that is named must be there.
    let missing = shelf.0[0].path("missing");
    let error = Directories::of(vec![missing]).read(&[]).unwrap_err();
    assert!(error.to_string().contains("missing: No such file"), "{error}");
}

#[test]
fn a_link_to_dev_null_masks_what_earlier_directories_have() {
    let shelf = Shelf::new(2);
    shelf.fill(
        0,
        &[
            ("a.yml", "command: a\n"),
            ("b.yml", "command: b\n"),
            ("w@.yml", "command: w %i\ninstances: [1, 2]\n"),
        ],
    );
    shelf.link(0, "c.yml", "/dev/null");
    shelf.link(1, "a.yml", "/dev/null");
    shelf.link(1, "w@2.yml", "../../../../../dev/null");
    shelf.fill(1, &[("c.yml", "command: c\n")]);
    let loaded = shelf.read();
    let masked: Vec<_> = loaded.masked.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(masked, ["a", "w@2"]);
    assert_eq!(loaded.masked[0].1, shelf.0[1].path("a.yml"));
    assert_eq!(shelf.commands(), pairs(&[("b", "b"), ("c", "c"), ("w@1", "w|1")]));
    assert!(matches!(shelf.directories().find("a").unwrap(), Lookup::Masked(_)));
    // A masked template takes all its instances with it, but not those with files of their own.
    shelf.link(1, "w@.yml", "/dev/null");
    shelf.fill(1, &[("w@3.yml", "command: own\n"), ("x.yml", "command: x\ndepends_on: [w@9]\n")]);
    let loaded = shelf.read();
    let masked: Vec<_> = loaded.masked.iter().map(|(name, _)| name.as_str()).collect();
    assert!(masked.contains(&"w@") && !masked.contains(&"w@1"), "{masked:?}");
    assert!(loaded.units.iter().any(|unit| unit.name.as_str() == "w@3"));
}

#[test]
fn drop_ins_are_merged_in_the_order_of_their_names() {
    let shelf = Shelf::new(3);
    shelf.fill(
        0,
        &[
            ("a.yml", "command: a\nnice: 1\nenvironment: {A: 1}\n"),
            ("a.yml.d/50-late.yml", "nice: 50x\n"),
            ("a.yml.d/20-early.yml", "nice: 2\nenvironment: {B: 2}\n"),
        ],
    );
    shelf.fill(
        1,
        &[
            ("a.yml.d/50-late.yml", "nice: 5\n"),
            ("a.yml.d/30-gone.yml", "nice: [broken\n"),
            ("a.yml.d/README", "no drop-in"),
            ("a.yml.d/.hidden.yml", "neither"),
        ],
    );
    shelf.link(2, "a.yml.d/30-gone.yml", "/dev/null");
    shelf.fill(2, &[("a.yml.d/10-first.yaml", "nice: 3\nenvironment: {A: 0, C: 3}\n")]);
    let loaded = shelf.read();
    assert!(loaded.bad.is_empty(), "{loaded:#?}");
    let unit = &loaded.units[0];
    assert_eq!(unit.process.nice, Some(5));
    let environment = pairs(&[("A", "0"), ("C", "3"), ("B", "2")]);
    assert_eq!(unit.process.environment, environment);
    assert_eq!(*unit.source, *shelf.0[0].path("a.yml"));
    let Lookup::Parts(parts) = shelf.directories().find("a").unwrap() else { panic!() };
    let names: Vec<_> =
        parts.files().map(|file| file.file_name().unwrap().to_str().unwrap()).collect();
    assert_eq!(names, ["a.yml", "10-first.yaml", "20-early.yml", "50-late.yml"]);
    let (yaml, wrong) = parts.to_yaml();
    assert!(wrong.is_empty(), "{wrong:?}");
    let place = format!("nice: 5  # {}:1\n", shelf.0[1].path("a.yml.d/50-late.yml").display());
    assert!(yaml.contains(&place), "{yaml}");
}

#[test]
fn drop_ins_that_cannot_be_read_make_their_unit_bad_and_no_other() {
    use std::os::unix::fs::PermissionsExt;
    let shelf = Shelf::new(2);
    for name in ["open", "broken", "many", "file", "good"] {
        shelf.fill(0, &[(&format!("{name}.yml"), "command: a\n")]);
    }
    shelf.fill(1, &[("open.yml.d/a.yml", "nice: 1\n"), ("good.yml.d/a.yml", "nice: 1\n")]);
    let open = fs::Permissions::from_mode(0o777);
    fs::set_permissions(shelf.0[1].path("open.yml.d"), open).unwrap();
    shelf.fill(1, &[("broken.yml.d/a.yml", "nice: 1\nnice: 2\n"), ("file.yml.d", "nice: 1\n")]);
    for n in 0..65 {
        shelf.fill(1, &[(&format!("many.yml.d/{n}.yml"), "nice: 1\n")]);
    }
    shelf.fill(1, &[("good.yaml.d/b.yml", "nice: 2\n"), ("nowhere.yml.d/a.yml", "nice: 1\n")]);
    for (name, words) in [
        ("open", "open.yml.d: its drop-ins are not read: everybody may write to it"),
        ("broken", "broken.yml.d/a.yml:2:1: the key \"nice\" is written twice"),
        ("many", "many.yml.d: 65 drop-ins are too many; at most 64"),
        ("file", "file.yml.d: its drop-ins are not read: it is no directory"),
        ("good.yaml.d", "drop-ins are read from good.yml.d"),
    ] {
        let answer = shelf.refusal(name);
        assert!(answer.contains(words), "{name}: {answer}");
    }
    let loaded = shelf.read();
    assert_eq!(loaded.units.len(), 1);
    assert_eq!(loaded.units[0].process.nice, Some(1));
    assert_eq!(loaded.unused, [shelf.0[1].path("nowhere.yml.d")]);
}

const WORKER: &str = "description: \"%n is %i of %p, 100%%\"\n\
    command: [worker, \"%i\", \"%I\", \"%{size}\", \"%{file}\"]\n\
    parameters: {size: 1, file: \"/run/%i\"}\n";

#[test]
fn instances_are_named_by_the_template_by_links_and_by_those_that_need_them() {
    let shelf = Shelf::new(2);
    let template = format!("{WORKER}instances:\n  a-b: {{size: 2}}\n  own:\n  c: {{file: /c}}\n");
    shelf.fill(0, &[("worker@.yml", &template)]);
    shelf.link(1, "worker@link.yml", "worker@.yml");
    shelf.link(1, "other@link.yml", "../nowhere/worker@.yml");
    shelf.fill(
        1,
        &[
            ("worker@own.yml", "command: own %i\n"),
            (
                "user.yml",
                "command: user\ndepends_on: [worker@needed, plain]\nafter: [worker@not]\n",
            ),
            ("plain.yml", "command: plain 100%\n"),
            ("worker@.yml.d/all.yml", "nice: 1\nparameters: {size: 3}\n"),
            ("worker@link.yml.d/one.yml", "nice: 2\nparameters: {size: \"%%\"}\n"),
            ("worker@own.yml.d/own.yml", "nice: 3\n"),
        ],
    );
    let worker = |i: &str, unescaped: &str, size: &str, file: &str| {
        format!("worker|{i}|{unescaped}|{size}|{file}")
    };
    let expected = [
        ("other@link".to_owned(), worker("link", "link", "3", "/run/link")),
        ("plain".into(), "plain|100%".into()),
        ("user".into(), "user".into()),
        ("worker@a-b".into(), worker("a-b", "a/b", "2", "/run/a-b")),
        ("worker@c".into(), worker("c", "c", "3", "/c")),
        ("worker@link".into(), worker("link", "link", "%", "/run/link")),
        ("worker@needed".into(), worker("needed", "needed", "3", "/run/needed")),
        ("worker@own".into(), "own|%i".into()),
    ];
    assert_eq!(shelf.commands(), expected);
    let loaded = shelf.read();
    let unit = |name: &str| loaded.units.iter().find(|unit| unit.name.as_str() == name).unwrap();
    assert_eq!(*unit("worker@a-b").description, *"worker@a-b is a-b of worker, 100%");
    let nice = |name: &str| unit(name).process.nice;
    assert_eq!(
        [nice("worker@c"), nice("worker@link"), nice("worker@own"), nice("other@link")],
        [Some(1), Some(2), Some(3), Some(1)]
    );
    let [template] = loaded.templates.as_slice() else { panic!("{loaded:#?}") };
    assert_eq!(template.name, "worker@");
    assert_eq!(template.description, "%n is %i of %p, 100%%");
    let parameters =
        [("size".to_owned(), Some("3".to_owned())), ("file".into(), Some("/run/%i".into()))];
    assert_eq!(template.parameters, parameters);
    assert_eq!(
        template.instances,
        ["other@link", "worker@a-b", "worker@c", "worker@link", "worker@needed"]
    );
}

/// Scenario U7.
#[test]
fn an_instance_is_data() {
    let shelf = Shelf::new(1);
    let template = "command: run --size=%{size} '%I' \"%{text}\"%{text} -- %i\n\
        environment: {TEXT: \"%{text}\", LIST: \"[%I]\"}\n\
        parameters: {size: 1, text: ''}\n";
    shelf.fill(0, &[("x@.yml", template)]);
    let made = |name: &str| shelf.directories().instances(&[name.to_owned()]).unwrap();
    for (name, last, unescaped) in [
        ("x@-rf", "-rf", "/rf"),
        ("x@a\\x20b\\x27\\x22", "a\\x20b\\x27\\x22", "a b'\""),
        ("x@\\x24\\x28id\\x29", "\\x24\\x28id\\x29", "$(id)"),
        ("x@\\x25i", "\\x25i", "%i"),
        ("x@..-..-etc", "..-..-etc", "../../etc"),
        ("x@a@b:c+d", "a@b:c+d", "a@b:c+d"),
    ] {
        let loaded = made(name);
        let [unit] = loaded.units.as_slice() else { panic!("{name}: {loaded:#?}") };
        assert_eq!(unit.command.to_vec(), ["run", "--size=1", unescaped, "", "--", last], "{name}");
        assert_eq!(unit.process.environment[1].1, format!("[{unescaped}]"), "{name}");
    }
    // What cannot be in a value is refused at the place where it would be put in.
    let answer = |name: &str| shown(&made(name).bad[0].diagnostics);
    assert!(answer("x@a\\x00b").contains("x@.yml:1:10: command: there is a NUL in it"));
    assert!(answer("x@a\\x1bb").contains("there is the control character"));
    assert!(answer("x@a\\xffb").contains("stands for no UTF-8 text"));
    assert!(answer("x@a\\b").contains("is not followed by xNN"));
    for name in ["x@$(id)", "x@%i", "x@a/b", "x@a b", "x@é", "x@\n"] {
        let answer = answer(name);
        assert!(answer.contains("a unit name holds only letters"), "{name}: {answer}");
    }
    let long = format!("x@{}", "a".repeat(300));
    assert!(answer(&long).contains("at most 200 bytes"));
    // Parameters are data as well: blanks, quotes, and more of the same.
    shelf.fill(0, &[("x@1.yml.d/a.yml", "parameters: {text: \"a 'b $(c) %%i %%{size}\"}\n")]);
    let loaded = made("x@1");
    let text = "a 'b $(c) %i %{size}";
    assert_eq!(
        loaded.units[0].command.to_vec(),
        ["run", "--size=1", "1", &text.repeat(2), "--", "1"]
    );
    assert_eq!(loaded.units[0].process.environment[0].1, text);
    // No template, and names that are no instance's.
    for name in ["y@1", "x@", "@1", "x", "@"] {
        let loaded = made(name);
        assert!(loaded.units.is_empty() && loaded.bad.is_empty(), "{name}: {loaded:#?}");
    }
}

#[test]
fn the_names_of_a_mapping_of_depends_on_are_put_together_for_each_instance() {
    let shelf = Shelf::new(1);
    let dump = "command: dump\ndepends_on: {\"db@%i\": {required: false}, 'log@%%': {}}\n";
    shelf.fill(0, &[("db@.yml", "command: db %i\n"), ("dump@.yml", dump)]);
    shelf.fill(0, &[("all.yml", "command: all\ndepends_on: [dump@one]\n")]);
    let answer = shelf.refusal("dump@one");
    assert!(answer.contains("\"log@%\" is refused"), "{answer}");
    let twice = "command: dump\ndepends_on: {\"db@%i\": {required: false}, db@one: {}}\n";
    shelf.fill(0, &[("dump@.yml", twice)]);
    let answer = shelf.refusal("dump@one");
    assert!(answer.contains("\"db@one\" stands here twice"), "{answer}");
    shelf.fill(0, &[("dump@.yml", &dump.replace(", 'log@%%': {}", ""))]);
    let loaded = shelf.read();
    let dump = loaded.units.iter().find(|unit| unit.name.as_str() == "dump@one").unwrap();
    let needs: Vec<_> = dump.needs.iter().map(|need| (need.unit.as_str(), need.required)).collect();
    assert_eq!(needs, [("db@one", false)]);
    assert!(loaded.units.iter().any(|unit| unit.name.as_str() == "db@one"), "{loaded:#?}");
}

#[test]
fn templates_cannot_be_made_to_grow_without_end() {
    let shelf = Shelf::new(1);
    // Each of them needs two more, for as long as a name may be.
    let breeds = "command: a\ndepends_on: [\"a@0%i\", \"a@1%i\"]\ninstances: [0]\n";
    shelf.fill(0, &[("a@.yml", breeds)]);
    let loaded = shelf.read();
    assert_eq!(loaded.units.len(), 20_000);
    assert!(shown(&loaded.bad[0].diagnostics).contains("too many instances; at most 20000"));
    // Templates that are large, and have many instances.
    let names = (0..2_000).map(|n| format!("{n}, ")).collect::<String>();
    let large = format!("command: b\ninstances: [{names}]\n# {}\n", "x".repeat(200_000));
    shelf.fill(0, &[("a@.yml", "command: a\n"), ("b@.yml", &large)]);
    let loaded = shelf.read();
    assert!(loaded.units.len() < 100, "{}", loaded.units.len());
    // And a parameter that is put in again and again.
    let words = "\"%{x}%{x}%{x}%{x}%{x}%{x}%{x}%{x}\", ".repeat(1_000);
    let swells = format!("command: [c, {words}]\nparameters: {{x: {}}}\n", "y".repeat(1_000));
    shelf.fill(0, &[("b@.yml", "command: b\n"), ("c@.yml", &swells)]);
    let answer = shelf.refusal("c@");
    assert!(answer.contains("at most 262144 bytes are put into a unit"), "{answer}");
    assert_eq!(answer.matches("at most 262144").count(), 1);
}

#[test]
fn a_file_is_tried_out_before_it_is_written() {
    let shelf = Shelf::new(2);
    shelf.fill(0, &[("a.yml", "command: a\n"), ("w@.yml", "command: w\ninstances: [1]\n")]);
    let with = |name: &str, text: &str| {
        shelf.directories().with(shelf.0[1].path(name), text.as_bytes().to_vec())
    };
    let parts = |directories: &Directories, name: &str| match directories.find(name).unwrap() {
        Lookup::Parts(parts) => parts,
        other => panic!("{other:?}"),
    };
    let nice = |directories: &Directories, name: &str| {
        parts(directories, name).unit().unwrap().process.nice
    };
    assert_eq!(nice(&with("a.yml.d/override.yml", "nice: 1\n"), "a"), Some(1));
    assert_eq!(nice(&with("a.yml", "command: b\nnice: 2\n"), "a"), Some(2));
    assert_eq!(nice(&with("w@.yml.d/override.yml", "nice: 3\n"), "w@1"), Some(3));
    shelf.fill(1, &[("a.yml.d/override.yml", "nice: 4\n"), ("a.yml.d/z.yml", "nice: 5\n")]);
    assert_eq!(nice(&with("a.yml.d/override.yml", "nice: 6\n"), "a"), Some(5));
    let wrong = parts(&with("a.yml.d/y.yml", "nise: 6\n"), "a").wrong();
    assert!(shown(&wrong).contains("a.yml.d/y.yml:1:1: nise: unknown key"), "{wrong:?}");
}
