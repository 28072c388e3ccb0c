//! What of several directories counts: files, masks and drop-ins; and a file that is not written yet.

use std::fs;

use treeward::unit_file::{Directories, Lookup};

use super::shelf::{Shelf, pairs};
use super::shown;

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
