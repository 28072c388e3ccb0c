use std::io::{IoSlice, Read};
use std::os::fd::AsRawFd;
use std::process::Command;

use nix::sys::socket::{ControlMessage, sendmsg};

use super::super::spawn::How;
use super::super::testing::{TestTree, eventually, kernel_at_least, program, start};
use super::*;

fn bound() -> (tempfile::TempDir, NotifySocket, UnixDatagram) {
    let dir = tempfile::tempdir().unwrap();
    let socket = NotifySocket::bind(&dir.path().join("notify")).unwrap();
    let sender = UnixDatagram::unbound().unwrap();
    sender.connect(dir.path().join("notify")).unwrap();
    (dir, socket, sender)
}

/// Takes the next message.
fn receive(socket: &NotifySocket) -> Option<Message> {
    let message = socket.peek()?;
    assert_eq!(socket.peek().as_ref(), Some(&message), "it stays until it is passed over");
    socket.pass_over();
    Some(message)
}

#[test]
fn a_message_is_ascribed_to_its_sender_also_when_that_has_exited() {
    let tree = TestTree::new("notify");
    let leaf = tree.leaf();
    let dir = tempfile::tempdir().unwrap();
    fs::set_permissions(dir.path(), PermissionsExt::from_mode(0o755)).unwrap();
    let path = dir.path().join("notify");
    let socket = NotifySocket::bind(&path).unwrap();
    let script = "socket(S, AF_UNIX, SOCK_DGRAM, 0) or die; \
                  send(S, 'READY=1', 0, pack_sockaddr_un($ARGV[0])) or die $!";
    let path = path.to_str().unwrap();
    let mut asked = program(&["perl", "-MSocket", "-e", script, path]);
    asked.user = Some("54321".into());
    asked.group = Some("54321".into());
    let mut sender = start(&leaf, &asked, How::IntoCgroup);
    sender.output_of_success();
    let message = receive(&socket).unwrap();
    assert_eq!(message.text, b"READY=1");
    assert_eq!(message.pid, sender.pid());
    let known = kernel_at_least(6, 15);
    assert_eq!(message.cgroup_id, known.then_some(leaf.inode().unwrap()));
    assert_eq!(receive(&socket), None);
}

#[test]
fn empty_messages_are_passed_over_and_long_ones_cut() {
    let (_dir, socket, sender) = bound();
    assert_eq!(receive(&socket), None);
    sender.send(b"").unwrap();
    sender.send(b"STATUS=x").unwrap();
    assert_eq!(receive(&socket).unwrap().text, b"STATUS=x");
    sender.send(&[b'x'; 10_000]).unwrap();
    let message = receive(&socket).unwrap();
    assert_eq!(message.text, [b'x'; 4096]);
    assert_eq!(message.pid, std::process::id());
    assert_eq!(receive(&socket), None);
}

#[test]
fn attached_descriptors_are_closed_and_cannot_crowd_out_the_sender() {
    let (_dir, socket, sender) = bound();
    let (mut reading, writing) = std::io::pipe().unwrap();
    let attached = [writing.as_raw_fd(); 253];
    let rights = [ControlMessage::ScmRights(&attached)];
    let text = [IoSlice::new(b"FDSTORE=1")];
    sendmsg::<()>(sender.as_raw_fd(), &text, &rights, MsgFlags::empty(), None).unwrap();
    drop(writing);
    let message = receive(&socket).unwrap();
    assert_eq!(message.pid, std::process::id());
    assert_eq!(message.cgroup_id.is_some(), kernel_at_least(6, 13));
    // Only when no copy is left does the pipe end; a child of another test may hold one for
    // a moment.
    let mut nothing = Vec::new();
    reading.read_to_end(&mut nothing).unwrap();
    assert_eq!(nothing, b"");
}

#[test]
fn a_socket_left_behind_is_replaced_and_the_own_one_removed_at_the_end() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("notify");
    drop(UnixDatagram::bind(&path).unwrap());
    assert!(path.exists());
    let socket = NotifySocket::bind(&path).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o666);
    eventually("nothing to read", || receive(&socket).is_none().then_some(()));
    drop(socket);
    assert!(!path.exists());
    let missing = NotifySocket::bind(&dir.path().join("no/such")).unwrap_err();
    assert_eq!(missing.errno(), Errno::ENOENT);
}

#[test]
fn a_socket_that_another_process_keeps_is_taken_over_with_its_messages() {
    let (dir, socket, sender) = bound();
    let path = dir.path().join("notify");
    let kept = socket.duplicate().unwrap();
    let mut keeper = Command::new("sleep").arg("1000").stdin(kept).spawn().unwrap();
    // As a process does that is killed: the path stays.
    let aside = dir.path().join("aside");
    fs::rename(&path, &aside).unwrap();
    drop(socket);
    fs::rename(&aside, &path).unwrap();
    sender.send(b"READY=1").unwrap();
    let next = NotifySocket::open(&path, Some(keeper.id()), 0).unwrap();
    assert_eq!(receive(&next).unwrap().text, b"READY=1");
    // Neither the standard output of the keeper nor a process that is gone is taken for it.
    for (keeper, number) in [(Some(keeper.id()), 1), (Some(u32::MAX), 0), (None, 0)] {
        let fresh = dir.path().join("fresh");
        let socket = NotifySocket::open(&fresh, keeper, number).unwrap();
        assert_eq!(receive(&socket), None);
    }
    keeper.kill().unwrap();
    keeper.wait().unwrap();
}
