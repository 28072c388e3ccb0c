use super::*;

fn prepare(change: impl FnOnce(&mut Program)) -> Result<Prepared, PrepareError> {
    let mut program = Program { argv: vec!["true".into()], ..Program::default() };
    change(&mut program);
    Prepared::new(&program)
}

#[test]
fn an_unknown_user_or_group_is_an_error_and_never_root() {
    let no_user = prepare(|it| it.user = Some("no-such-user".into())).unwrap_err();
    assert_eq!(no_user.to_string(), "there is no user \"no-such-user\"");
    let no_group = prepare(|it| it.group = Some("no-such-group".into())).unwrap_err();
    assert_eq!(no_group, PrepareError::NoGroup("no-such-group".into()));
    for minus_one in ["4294967295", "4294967296", "99999999999999999999"] {
        let refused = prepare(|it| it.user = Some(minus_one.into())).unwrap_err();
        assert_eq!(refused, PrepareError::BadId(minus_one.into()));
        let refused = prepare(|it| it.group = Some(minus_one.into())).unwrap_err();
        assert_eq!(refused, PrepareError::BadId(minus_one.into()));
    }
    for odd in ["", "-1", "+0", " 0", "0x0"] {
        let refused = prepare(|it| it.user = Some(odd.into())).unwrap_err();
        assert_eq!(refused, PrepareError::NoUser(odd.into()));
    }
    let alone = prepare(|it| it.user = Some("54321".into())).unwrap_err();
    assert_eq!(alone, PrepareError::GroupNeeded(54_321));
}

#[test]
fn ids_are_those_of_the_database_or_the_numbers_given() {
    assert_eq!(prepare(|_| ()).unwrap().ids, None);
    let root = lookup_user("root").unwrap();
    assert_eq!((root.uid, root.gid, lookup_user("0").unwrap()), (0, Some(0), root.clone()));
    let nobody = lookup_user("nobody").unwrap();
    let ids = prepare(|it| it.user = Some("nobody".into())).unwrap().ids.unwrap();
    assert_eq!((ids.uid, Some(ids.gid)), (Some(nobody.uid), nobody.gid));
    assert!(ids.groups.contains(&ids.gid) && !ids.groups.contains(&0));
    let numbers = |it: &mut Program| {
        it.user = Some("54321".into());
        it.group = Some("54322".into());
    };
    let expected = Ids { uid: Some(54_321), gid: 54_322, groups: vec![54_322] };
    assert_eq!(prepare(numbers).unwrap().ids, Some(expected));
    let only_group = prepare(|it| it.group = Some("54322".into())).unwrap().ids;
    assert_eq!(only_group, Some(Ids { uid: None, gid: 54_322, groups: vec![54_322] }));
}

#[test]
fn an_empty_command_and_a_nul_are_refused_with_their_place() {
    assert_eq!(prepare(|it| it.argv.clear()).unwrap_err(), PrepareError::NoCommand);
    let empty = prepare(|it| it.argv = vec![String::new()]).unwrap_err();
    assert_eq!(empty, PrepareError::NoCommand);
    let in_command = prepare(|it| it.argv.push("a\0b".into())).unwrap_err();
    assert_eq!(in_command.to_string(), "the command must not contain a NUL character");
    let pair = ("A".to_owned(), "\0".to_owned());
    let in_environment = prepare(|it| it.environment.push(pair)).unwrap_err();
    assert_eq!(in_environment, PrepareError::Nul("the environment"));
    let in_dir = prepare(|it| it.working_dir = "/\0".into()).unwrap_err();
    assert_eq!(in_dir, PrepareError::Nul("the working directory"));
    let in_tty = prepare(|it| it.tty = Some("/\0".into())).unwrap_err();
    assert_eq!(in_tty, PrepareError::Nul("the terminal"));
}

#[test]
fn a_name_is_searched_in_path_and_a_path_is_not() {
    assert_eq!(candidates("true", "/bin::/usr/bin/:x"), ["/bin/true", "/usr/bin/true", "x/true"]);
    assert_eq!(candidates("true", "/"), ["/true"]);
    assert_eq!(candidates("./true", "/bin"), ["./true"]);
    assert_eq!(candidates("true", ""), [""; 0]);
}
