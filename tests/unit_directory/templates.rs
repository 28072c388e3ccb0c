//! Templates and their instances.

use super::shelf::Shelf;
use super::shown;

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
