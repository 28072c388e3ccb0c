//! `slc cat`, `edit`, `enable`, `disable` and `list --templates` on directories, without a
//! supervisor.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// Two directories of units, and slc on them. Both are gone in the end.
struct Desk(tempfile::TempDir);

struct Answer {
    code: i32,
    out: String,
    err: String,
}

impl Desk {
    fn new(files: &[(&str, &str)]) -> Self {
        let desk = Self(tempfile::tempdir().unwrap());
        for dir in ["vendor", "own"] {
            fs::create_dir(desk.path(dir)).unwrap();
        }
        // The operator's is the first that may be written; root may write everywhere.
        for (name, text) in files {
            desk.write(name, text);
        }
        desk
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::create_dir_all(self.path(name).parent().unwrap()).unwrap();
        fs::write(self.path(name), text).unwrap();
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    /// All files, links and directories, sorted.
    fn tree(&self) -> Vec<String> {
        let mut found = Vec::new();
        let mut open = vec![self.0.path().to_owned()];
        while let Some(dir) = open.pop() {
            for entry in fs::read_dir(dir).unwrap() {
                let path = entry.unwrap().path();
                let name = path.strip_prefix(self.0.path()).unwrap().to_str().unwrap().to_owned();
                match fs::read_link(&path) {
                    Ok(target) => found.push(format!("{name} -> {}", target.display())),
                    Err(_) if path.is_dir() => open.push(path),
                    Err(_) => found.push(name),
                }
            }
        }
        found.sort();
        found
    }

    /// slc with these directories: the operator's stands for /etc/yml-services.
    fn command(&self, arguments: &[&str], dirs: &[&str]) -> Command {
        let mut slc = Command::new(env!("CARGO_BIN_EXE_slc"));
        slc.args(["--socket", "/nonexistent/sock", arguments[0]]);
        for dir in dirs {
            slc.arg("--units").arg(self.path(dir));
        }
        slc.args(&arguments[1..]);
        slc.env_remove("VISUAL").env_remove("EDITOR").env_remove("TREEWARD_SOCKET");
        slc
    }

    fn run(&self, arguments: &[&str]) -> Answer {
        self.answer(self.command(arguments, &["vendor", "own"]), "")
    }

    /// The same, where only the operator's directory can be meant.
    fn run_own(&self, arguments: &[&str]) -> Answer {
        self.answer(self.command(arguments, &["own"]), "")
    }

    fn answer(&self, mut slc: Command, input: &str) -> Answer {
        let pipes = slc.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = pipes.spawn().unwrap();
        // One that asks nothing may have ended already.
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        let output = child.wait_with_output().unwrap();
        let text = |bytes: Vec<u8>| {
            String::from_utf8(bytes).unwrap().replace(&format!("{}/", self.0.path().display()), "")
        };
        Answer {
            code: output.status.code().unwrap(),
            out: text(output.stdout),
            err: text(output.stderr),
        }
    }

    /// Edits with a script as the editor, whose `$1` is the file, and `input` as what is answered.
    fn edit(&self, arguments: &[&str], script: &str, input: &str) -> Answer {
        self.write("editor", &format!("#!/bin/sh\n{script}\n"));
        let executable = fs::Permissions::from_mode(0o755);
        fs::set_permissions(self.path("editor"), executable).unwrap();
        let mut slc = self.command(arguments, &["own"]);
        // An argument of the editor's own comes first.
        slc.env("EDITOR", format!("{} --wait", self.path("editor").display()));
        let answer = self.answer(slc, input);
        fs::remove_file(self.path("editor")).unwrap();
        answer
    }
}

const AGETTY: &str = "description: Login on %I\ncommand: agetty %{baud} '%i'\n\
                      parameters: {baud: 115200}\ninstances: [tty1]\n";

#[test]
fn cat_shows_where_each_key_came_from() {
    let desk = Desk::new(&[
        ("vendor/app.yml", "command: /usr/bin/app\nnice: 1\n"),
        ("own/app.yml.d/override.yml", "nice: 2\n"),
        ("vendor/agetty@.yml", AGETTY),
        ("own/agetty@tty2.yml.d/baud.yml", "parameters: {baud: 9600}\n"),
        ("own/bad.yml", "comand: a\nnice: 1\n"),
    ]);
    let answer = desk.run(&["cat", "app"]);
    assert_eq!((answer.code, answer.err.as_str()), (0, ""));
    assert_eq!(
        answer.out,
        "# app\n# vendor/app.yml\n# own/app.yml.d/override.yml\n\
         command: /usr/bin/app  # vendor/app.yml:1\nnice: 2  # own/app.yml.d/override.yml:1\n"
    );
    let answer = desk.run(&["cat", "agetty@tty2"]);
    assert_eq!((answer.code, answer.err.as_str()), (0, ""));
    assert_eq!(
        answer.out,
        "# agetty@tty2, an instance of a template\n# vendor/agetty@.yml\n\
         # own/agetty@tty2.yml.d/baud.yml\n\
         description: Login on tty2  # vendor/agetty@.yml:1\n\
         command:  # vendor/agetty@.yml:2\n  - agetty\n  - 9600\n  - tty2\n"
    );
    let answer = desk.run(&["cat", "agetty@", "--json"]);
    let json: serde_json::Value = serde_json::from_str(&answer.out).unwrap();
    assert_eq!((&json["unit"], &json["keys"]["instances"][0]), (&"agetty@".into(), &"tty1".into()));
    assert!(json["from"]["parameters.baud"].as_str().unwrap().ends_with("agetty@.yml:3"));
    let answer = desk.run(&["cat", "bad"]);
    assert_eq!(answer.code, 1);
    assert!(answer.out.ends_with("nice: 1  # own/bad.yml:2\n"), "{}", answer.out);
    assert!(answer.err.starts_with("slc: own/bad.yml:1:1: comand: unknown key"), "{}", answer.err);
    let answer = desk.run(&["cat", "ap"]);
    assert_eq!(
        (answer.code, answer.err.as_str()),
        (4, "slc: no such unit: ap; did you mean app?\n")
    );
    for name in ["../own/app", "", "a/b", "agetty@a/b"] {
        let answer = desk.run(&["cat", "--", name]);
        assert!([1, 4].contains(&answer.code) && answer.out.len() < 200, "{name}: {}", answer.out);
    }
}

#[test]
fn templates_are_listed_with_parameters_and_instances() {
    let desk = Desk::new(&[("vendor/agetty@.yml", AGETTY), ("own/app.yml", "command: app\n")]);
    symlink("agetty@.yml", desk.path("own/agetty@tty3.yml")).unwrap();
    let answer = desk.run(&["list", "--templates"]);
    assert_eq!(
        (answer.code, answer.out.as_str()),
        (
            0,
            "TEMPLATE  PARAMETERS   INSTANCES  DESCRIPTION\n\
             agetty@   baud=115200  tty1 tty3  Login on %I\n"
        )
    );
    let answer = desk.run(&["list", "--templates", "--json"]);
    let json: serde_json::Value = serde_json::from_str(&answer.out).unwrap();
    assert_eq!(
        json["templates"][0]["instances"],
        serde_json::json!(["agetty@tty1", "agetty@tty3"])
    );
    assert_eq!(json["templates"][0]["parameters"]["baud"], "115200");
}

#[test]
fn disable_renames_and_enable_renames_back_as_often_as_one_likes() {
    let desk = Desk::new(&[("own/a.yml", "command: a\n"), ("own/b.yaml", "command: b\n")]);
    let before = desk.tree();
    for (word, after) in [
        ("own/a.yml is a.yml.disabled now", ["own/a.yml.disabled", "own/b.yaml.disabled"]),
        ("is disabled already", ["own/a.yml.disabled", "own/b.yaml.disabled"]),
    ] {
        let answer = desk.run_own(&["disable", "a", "b"]);
        assert_eq!((answer.code, answer.err.as_str()), (0, ""));
        assert!(answer.out.contains(word), "{}", answer.out);
        assert!(answer.out.ends_with("no supervisor runs; the next one takes it in\n"));
        assert_eq!(desk.tree(), after);
    }
    for word in ["own/a.yml.disabled is a.yml now", "is enabled already"] {
        let answer = desk.run_own(&["enable", "a", "b"]);
        assert_eq!((answer.code, answer.err.as_str()), (0, ""));
        assert!(answer.out.contains(word), "{}", answer.out);
        assert_eq!(desk.tree(), before);
    }
    // Nothing is overwritten.
    desk.write("own/a.yml.disabled", "command: older\n");
    let answer = desk.run_own(&["disable", "a"]);
    assert_eq!(answer.code, 1);
    assert!(answer.err.contains("a.yml.disabled is there already; keep one of them"));
    assert_eq!(desk.read("own/a.yml"), "command: a\n");
    for name in ["nowhere", "../own/a", "a/b", "a.yml", "", "-x", "a\n"] {
        for verb in ["enable", "disable"] {
            assert_eq!(desk.run_own(&[verb, "--", name]).code, 4, "{verb} {name:?}");
        }
    }
}

#[test]
fn what_others_say_is_masked_and_instances_are_linked() {
    let desk = Desk::new(&[
        ("own/agetty@.yml", AGETTY),
        ("own/odd@.yml", "command: odd %i\n"),
        ("own/hand.yml", "command: a\nenabled: false\n"),
        ("own/need@.yml", "command: a %{what}\nparameters: {what: ~}\n"),
    ]);
    let before = desk.tree();
    // An instance that the template names has no file to rename.
    for _ in 0..2 {
        assert_eq!(desk.run_own(&["disable", "agetty@tty1"]).code, 0);
        assert!(desk.tree().contains(&"own/agetty@tty1.yml -> /dev/null".to_owned()));
    }
    let answer = desk.run_own(&["cat", "agetty@tty1"]);
    assert_eq!(answer.code, 1);
    assert!(answer.err.contains("masked by own/agetty@tty1.yml"), "{}", answer.err);
    for _ in 0..2 {
        assert_eq!(desk.run_own(&["enable", "agetty@tty1"]).code, 0);
        assert_eq!(desk.tree(), before);
    }
    // One that nobody names is named by a link, and the link is renamed like a file.
    for name in ["odd@x", "odd@a-b\\x20c", "odd@-rf"] {
        for _ in 0..2 {
            let answer = desk.run_own(&["enable", "--", name]);
            assert_eq!((answer.code, answer.err.as_str()), (0, ""), "{name}");
        }
        assert_eq!(desk.run_own(&["cat", "--", name]).code, 0, "{name}");
        assert!(desk.path(&format!("own/{name}.yml")).is_symlink());
        for _ in 0..2 {
            assert_eq!(desk.run_own(&["disable", "--", name]).code, 0, "{name}");
        }
        assert!(!desk.path(&format!("own/{name}.yml")).is_symlink());
        assert!(desk.path(&format!("own/{name}.yml.disabled")).is_symlink());
        fs::remove_file(desk.path(&format!("own/{name}.yml.disabled"))).unwrap();
    }
    let answer = desk.run_own(&["enable", "hand"]);
    assert_eq!(answer.code, 1);
    assert!(answer.err.contains("\"enabled: false\" stands in its files"), "{}", answer.err);
    // No link is made that no unit comes of: it would be in the way of every later reload.
    let answer = desk.run_own(&["enable", "need@x"]);
    assert_eq!(answer.code, 1);
    assert!(answer.err.contains("the parameter what has no default"), "{}", answer.err);
    assert!(answer.err.contains("need@x: not enabled, since it cannot be used"), "{}", answer.err);
    // What is wrong otherwise is told, and is no success.
    desk.write("own/hand.yml.disabled", "comand: a\n");
    fs::remove_file(desk.path("own/hand.yml")).unwrap();
    let answer = desk.run_own(&["enable", "hand"]);
    assert_eq!(answer.code, 1);
    assert!(answer.err.contains("comand: unknown key"), "{}", answer.err);
    desk.write("own/hand.yml", "command: a\nenabled: false\n");
    // A template takes its instances with it.
    assert_eq!(desk.run_own(&["disable", "odd@"]).code, 0);
    assert_eq!(desk.run_own(&["cat", "odd@x"]).code, 4);
    assert_eq!(desk.run_own(&["enable", "odd@"]).code, 0);
    assert_eq!(desk.tree(), before);
}

#[test]
fn an_edited_drop_in_is_written_as_a_whole_and_without_the_copy() {
    let desk = Desk::new(&[("own/app.yml", "command: /usr/bin/app\n")]);
    let look = "cp \"$2\" \"$(dirname \"$0\")/seen\"; printf 'nice: 5\\n\\n' | cat - \"$2\" > \"$2.new\"; \
                mv \"$2.new\" \"$2\"";
    let answer = desk.edit(&["edit", "app"], look, "");
    assert_eq!((answer.code, answer.err.as_str()), (0, ""), "{}", answer.out);
    let seen = desk.read("seen");
    assert!(seen.contains("\n# command: /usr/bin/app  # "), "{seen}");
    let written = desk.read("own/app.yml.d/override.yml");
    assert!(written.starts_with("nice: 5\n\n# What is written here"), "{written}");
    assert!(!written.contains("command:"), "{written}");
    let mode = |name: &str| fs::metadata(desk.path(name)).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode("own/app.yml.d/override.yml"), 0o644);
    assert_eq!(mode("own/app.yml.d"), 0o755);
    assert_eq!(desk.tree(), ["own/app.yml", "own/app.yml.d/override.yml", "seen"]);
    // Who leaves it as it is changes nothing; who empties it removes it.
    let answer = desk.edit(&["edit", "app"], "true", "");
    assert_eq!(
        (answer.code, answer.out.as_str()),
        (0, "own/app.yml.d/override.yml: nothing was changed\n")
    );
    let answer = desk.edit(&["edit", "app"], "echo '# none' > \"$2\"", "");
    assert_eq!(answer.code, 0, "{}", answer.err);
    assert_eq!(desk.tree(), ["own/app.yml", "seen"]);
    assert_eq!(desk.edit(&["edit", "app"], "true", "").code, 0);
    assert_eq!(desk.tree(), ["own/app.yml", "seen"]);
    // A unit that is not for all to read is in no drop-in for all to read.
    let closed = fs::Permissions::from_mode(0o600);
    fs::set_permissions(desk.path("own/app.yml"), closed).unwrap();
    assert_eq!(desk.edit(&["edit", "app"], "echo 'nice: 1' > \"$2\"", "").code, 0);
    assert_eq!(mode("own/app.yml.d/override.yml"), 0o600);
}

#[test]
fn a_mistake_is_shown_and_edited_again_discarded_or_kept() {
    let desk = Desk::new(&[("own/app.yml", "command: /usr/bin/app\n")]);
    // Wrong at first, then right.
    let twice = "d=$(dirname \"$0\"); if [ -e \"$d/again\" ]; then echo 'nice: 7' > \"$2\"; \
                 else touch \"$d/again\"; echo 'nise: 7' > \"$2\"; fi";
    let answer = desk.edit(&["edit", "app"], twice, "what\ne\n");
    assert_eq!(answer.code, 0, "{}", answer.err);
    assert!(
        answer.err.contains("own/app.yml.d/override.yml:1:1: nise: unknown key"),
        "{}",
        answer.err
    );
    assert_eq!(answer.err.matches("[e]dit again").count(), 2, "{}", answer.err);
    assert_eq!(desk.read("own/app.yml.d/override.yml"), "nice: 7\n");
    fs::remove_file(desk.path("again")).unwrap();
    let before = desk.tree();
    // Discarded: by a word, and by the end of the input.
    for input in ["d\n", ""] {
        let answer = desk.edit(&["edit", "app"], "echo 'nice: x' > \"$2\"", input);
        assert_eq!(answer.code, 1);
        assert!(answer.out.contains("discarded"), "{}", answer.out);
        assert_eq!(desk.read("own/app.yml.d/override.yml"), "nice: 7\n");
        assert_eq!(desk.tree(), before);
    }
    let answer = desk.edit(&["edit", "app"], "echo 'nice: [' > \"$2\"", "k\n");
    assert_eq!(answer.code, 0);
    assert_eq!(desk.read("own/app.yml.d/override.yml"), "nice: [\n");
    // An editor that fails changes nothing, and one that there is not is told.
    let answer = desk.edit(&["edit", "app"], "echo 'nice: 1' > \"$2\"; exit 3", "");
    assert_eq!(answer.code, 1);
    assert!(answer.err.contains("the editor has failed"), "{}", answer.err);
    let mut slc = desk.command(&["edit", "app"], &["own"]);
    slc.env("VISUAL", "/nonexistent/editor");
    assert_eq!(desk.answer(slc, "").code, 1);
    assert_eq!(desk.read("own/app.yml.d/override.yml"), "nice: [\n");
    assert_eq!(desk.tree(), before);
}

#[test]
fn whole_units_templates_and_instances_are_edited_too() {
    let desk = Desk::new(&[("own/app.yml", "# Mine.\ncommand: a\n"), ("own/agetty@.yml", AGETTY)]);
    let more = "echo 'nice: 1' >> \"$2\"";
    assert_eq!(desk.edit(&["edit", "--full", "app"], more, "").code, 0);
    assert_eq!(desk.read("own/app.yml"), "# Mine.\ncommand: a\nnice: 1\n");
    // A template is checked with its instances.
    let answer = desk.edit(&["edit", "agetty@"], "echo 'nice: \"%i\"' > \"$2\"", "d\n");
    assert_eq!(answer.code, 1);
    assert!(answer.err.contains("nice: \"tty1\" is no whole number"), "{}", answer.err);
    let set = "echo 'parameters: {baud: 9600}' > \"$2\"";
    assert_eq!(desk.edit(&["edit", "agetty@tty1"], set, "").code, 0);
    assert!(desk.run_own(&["cat", "agetty@tty1"]).out.contains("  - 9600\n"));
    // A file of its own is what the template makes of it.
    fs::remove_dir_all(desk.path("own/agetty@tty1.yml.d")).unwrap();
    assert_eq!(desk.edit(&["edit", "--full", "agetty@tty1"], more, "").code, 0);
    let own = desk.read("own/agetty@tty1.yml");
    assert!(own.contains("  - 115200\n  - tty1\nnice: 1\n"), "{own}");
    for name in ["nowhere", "../own/app", "a b"] {
        assert_eq!(desk.edit(&["edit", name], "true", "").code, 4, "{name}");
    }
    assert!(desk.tree().iter().all(|file| !file.contains("/.")), "{:?}", desk.tree());
}
