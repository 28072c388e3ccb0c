use super::super::testing::{TestTree, eventually, in_own_process};
use super::*;

fn mount(point: &str, cgroup: &str) -> Mount {
    Mount { point: point.into(), cgroup: cgroup.into() }
}

#[test]
fn the_root_is_found_on_plain_hybrid_and_delegated_systems() {
    let plain = [mount("/sys/fs/cgroup", "/")];
    let hybrid = [mount("/tmp/cg", "/"), mount("/sys/fs/cgroup/unified", "/")];
    let never = |_: &Path| false;
    let found = |mounts: &[Mount], own| root_for(mounts, own, never);
    assert_eq!(found(&plain, "/"), Some("/sys/fs/cgroup/treeward".into()));
    assert_eq!(found(&hybrid, "/"), Some("/sys/fs/cgroup/unified/treeward".into()));
    assert_eq!(found(&hybrid[..1], "/"), Some("/tmp/cg/treeward".into()));
    assert_eq!(found(&plain, "/user/me"), Some("/sys/fs/cgroup/user/me".into()));
    assert_eq!(found(&[mount("/sys/fs/cgroup", "/pod")], "/x"), None);
    assert_eq!(found(&[], "/"), None);
}

#[test]
fn a_supervisor_that_starts_again_in_its_room_finds_the_same_root() {
    let mounts = [mount("/sys/fs/cgroup", "/")];
    let is_tree = |path: &Path| path == Path::new("/sys/fs/cgroup/treeward");
    let found = |own| root_for(&mounts, own, is_tree).unwrap();
    assert_eq!(found("/treeward/supervisor"), Path::new("/sys/fs/cgroup/treeward"));
    assert_eq!(found("/other/supervisor"), Path::new("/sys/fs/cgroup/other/supervisor"));
    assert_eq!(found("/treeward/xsupervisor"), Path::new("/sys/fs/cgroup/treeward/xsupervisor"));
}

#[test]
fn a_cgroup_that_systemd_gave_away_is_known_by_its_mark() {
    let test = TestTree::new("delegated");
    let root = test.tree.root();
    assert!(!is_delegated(root));
    let path = CString::new(root.as_os_str().as_bytes()).unwrap();
    sys::set_xattr(&path, c"user.delegate", b"1").unwrap();
    assert!(is_delegated(root));
}

#[test]
fn a_directory_elsewhere_is_refused_and_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("tree");
    assert_eq!(Tree::open(&root).unwrap_err().errno(), Errno::ENODEV);
    assert!(!root.exists());
    assert_eq!(Tree::open(&root.join("deeper")).unwrap_err().errno(), Errno::ENOENT);
}

#[test]
fn a_tree_opens_again_and_again_and_lists_its_leaves_in_order() {
    let test = TestTree::new("leaves");
    let tree = Tree::open(test.tree.root()).unwrap();
    assert!(tree.leaves(&tree.groups().unwrap()).is_empty());
    for (group, number) in [("b", 10), ("b", 9), ("a@x", 1)] {
        let leaf = tree.make_leaf(group, number).unwrap();
        assert_eq!(leaf, tree.leaf(group, number));
        assert!(leaf.path().is_dir());
    }
    assert_eq!(tree.make_leaf("b", 9).unwrap_err().errno(), Errno::EEXIST);
    fs::create_dir(tree.group_path("b").join("not-a-number")).unwrap();
    let expected = [("a@x".to_owned(), 1), ("b".to_owned(), 9), ("b".to_owned(), 10)];
    assert_eq!(tree.leaves(&tree.groups().unwrap()), expected);
    assert_eq!(tree.remove_group("a@x").unwrap_err().errno(), Errno::EBUSY);
    tree.leaf("a@x", 1).remove().unwrap();
    tree.remove_group("a@x").unwrap();
    tree.remove_group("a@x").unwrap();
    assert!(!tree.group_path("a@x").exists());
}

#[test]
fn a_process_is_located_by_its_cgroup() {
    let test = TestTree::new("locate");
    let at = |below: &str| {
        let cgroup = format!("{}{below}", test.tree.leaf_at_root().cgroup());
        test.tree.locate(&Membership { cgroup, removed: false })
    };
    assert_eq!(at("/services/web/7"), Some(("web".into(), 7)));
    assert_eq!(at("/services/web/7/deeper/8"), Some(("web".into(), 7)));
    assert_eq!(at("/services/web"), None);
    assert_eq!(at("/services"), None);
    assert_eq!(at("/services-too/web/7"), None);
    assert_eq!(at("/supervisor"), None);
    assert_eq!(at("x/services/web/7"), None);
    let elsewhere = Membership { cgroup: "/services/web/7".into(), removed: false };
    assert_eq!(test.tree.locate(&elsewhere), None);
}

#[test]
fn only_a_process_of_the_tree_moves_into_the_supervisors_room() {
    in_own_process(
        module_path!(),
        "only_a_process_of_the_tree_moves_into_the_supervisors_room",
        || {
            let test = TestTree::new("enter");
            let tree = &test.tree;
            assert!(!tree.enter_supervisor().unwrap());
            // In the root it is in the way of controllers only.
            write(&tree.root().join("cgroup.procs"), "0").unwrap();
            assert_eq!(find_root().unwrap(), tree.root());
            let has_controllers = !tree.available_controllers().is_empty();
            assert_eq!(tree.enter_supervisor().unwrap(), has_controllers);
            // In a service's leaf it is never left.
            let leaf = tree.make_leaf("service", 1).unwrap();
            write(&leaf.path().join("cgroup.procs"), "0").unwrap();
            assert!(tree.enter_supervisor().unwrap());
            let room = format!("{}/supervisor", tree.leaf_at_root().cgroup());
            assert_eq!(own_cgroup().unwrap(), room);
            assert!(!tree.enter_supervisor().unwrap());
            assert_eq!(find_root().unwrap(), tree.root());
        },
    );
}

#[test]
fn the_controllers_that_are_given_are_those_that_are_on() {
    let test = TestTree::new("controllers");
    let on = test.tree.enable_controllers();
    let services = test.tree.root().join("services");
    let available = fs::read_to_string(services.join("cgroup.controllers")).unwrap();
    for controller in &on {
        assert!(available.split_whitespace().any(|name| name == controller), "{available}");
    }
    let leaf = test.tree.make_leaf("limited", 1).unwrap();
    let group = test.tree.group_path("limited");
    let set = super::super::accounting::set_limit(&group, "pids.max", "100");
    assert_eq!(set.is_ok(), on.contains(&"pids".to_owned()), "{set:?} with {on:?}");
    // Every cgroup counts CPU time, whatever controllers there are.
    assert!(super::super::accounting::cpu_usec(&group).is_some());
    eventually("removal", || leaf.remove().ok());
}
