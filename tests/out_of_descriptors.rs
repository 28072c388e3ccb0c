//! Alone in its file, and so in its process, because the limit is one of the whole process.

mod desk;

use std::os::fd::AsFd;

use desk::Desk;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// Scenario P7.
#[test]
fn without_file_descriptors_nobody_is_accepted_and_the_loop_sleeps() {
    let mut desk = Desk::new();
    let _waiting = [desk.connect(), desk.connect()];
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    // Descriptors 0 to 2 are taken, and those that are open stay so.
    setrlimit(Resource::RLIMIT_NOFILE, 3, hard).unwrap();
    assert_eq!(desk.turn(), []);
    assert_eq!(desk.server.connections(), 0);
    assert_eq!(desk.server.deadline(), Some(desk.now + 1_000));
    let mut waits = [PollFd::new(desk.server.as_fd(), PollFlags::POLLIN)];
    assert_eq!(poll(&mut waits, PollTimeout::ZERO).unwrap(), 0, "the loop would spin");
    setrlimit(Resource::RLIMIT_NOFILE, soft, hard).unwrap();
    desk.now += 1_000;
    desk.turn();
    assert_eq!(desk.server.connections(), 2);
    assert_eq!(desk.server.deadline(), None);
}
