use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::process::{Command, Stdio};

use super::*;

/// A directory that only root can write to, as far as its last component goes.
fn dir() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

fn errno<T: std::fmt::Debug>(result: Result<T, Error>) -> Errno {
    result.unwrap_err().errno()
}

#[test]
fn a_small_file_is_read_if_it_is_regular_and_small_enough() {
    let dir = dir();
    let path = dir.path().join("pid");
    assert_eq!(errno(read_small(&path, 10)), Errno::ENOENT);
    fs::write(&path, "1234567890").unwrap();
    assert_eq!(read_small(&path, 10).unwrap(), b"1234567890");
    assert_eq!(errno(read_small(&path, 9)), Errno::EFBIG);
    let fifo = dir.path().join("fifo");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
    assert_eq!(errno(read_small(&fifo, 10)), Errno::EINVAL);
    assert_eq!(errno(read_small(dir.path(), 10)), Errno::EINVAL);
    assert_eq!(errno(read_small(Path::new("/dev/zero"), 10)), Errno::EINVAL);
    let link = dir.path().join("link");
    symlink(&path, &link).unwrap();
    assert_eq!(errno(read_small(&link, 10)), Errno::ELOOP);
}

#[test]
fn only_links_of_root_and_ourselves_are_followed_on_the_way_to_a_small_file() {
    let dir = dir();
    let real = dir.path().join("run/daemon");
    fs::create_dir_all(&real).unwrap();
    fs::write(real.join("pid"), "7").unwrap();
    let ours = dir.path().join("ours");
    symlink("run/../run", &ours).unwrap();
    let nested = dir.path().join("nested");
    symlink(ours.join("daemon"), &nested).unwrap();
    assert_eq!(read_small(&ours.join("daemon/pid"), 9).unwrap(), b"7");
    assert_eq!(read_small(&nested.join("pid"), 9).unwrap(), b"7");

    std::os::unix::fs::lchown(&ours, Some(54_321), Some(54_321)).unwrap();
    assert_eq!(errno(read_small(&ours.join("daemon/pid"), 9)), Errno::ELOOP);
    // Also behind a link that can be trusted.
    assert_eq!(errno(read_small(&nested.join("pid"), 9)), Errno::ELOOP);
    let round = dir.path().join("round");
    symlink("round", &round).unwrap();
    assert_eq!(errno(read_small(&round.join("pid"), 9)), Errno::ELOOP);
}

#[test]
fn the_lock_names_who_has_it_and_is_free_when_that_process_is_gone() {
    let dir = dir();
    let path = dir.path().join("lock");
    // A lock of a process can only be seen from another one.
    let script = "use Fcntl; open(F, '+>', $ARGV[0]) or die; \
                  my $lock = pack('ssx4qqix4', F_WRLCK, 0, 0, 0, 0); fcntl(F, F_SETLK, $lock) or die; \
                  $| = 1; print 'locked'; <STDIN>";
    let mut holder = Command::new("perl");
    holder.args(["-e", script]).arg(&path).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut holder = holder.spawn().unwrap();
    let mut said = [0; 6];
    holder.stdout.take().unwrap().read_exact(&mut said).unwrap();
    let held = lock(&path).unwrap_err();
    assert_eq!(held, LockError::Held { pid: holder.id() });
    assert_eq!(held.to_string(), format!("already running, pid {}", holder.id()));
    drop(holder.stdin.take());
    assert!(holder.wait().unwrap().success());
    let ours = lock(&path).unwrap();
    assert_eq!(File::from(ours).metadata().unwrap().ino(), fs::metadata(&path).unwrap().ino());
    assert_eq!(fs::read_to_string(&path).unwrap(), format!("{}\n", std::process::id()));
    assert!(matches!(lock(dir.path()), Err(LockError::Failed(_))));
}

#[test]
fn a_directory_that_others_can_write_to_is_not_trusted() {
    let dir = dir();
    let path = dir.path().join("a/b");
    secure_dir(&path).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o755);
    secure_dir(&path).unwrap();
    for mode in [0o775, 0o757, 0o1777] {
        fs::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
        let refused = secure_dir(&path).unwrap_err();
        assert_eq!(refused.errno(), Errno::EPERM);
        assert!(refused.to_string().contains(&format!("mode {mode:04o}")), "{refused}");
    }
    fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
    chown(&path, Some(54_321), None).unwrap();
    assert_eq!(errno(secure_dir(&path)), Errno::EPERM);
    let link = dir.path().join("link");
    symlink(dir.path().join("a"), &link).unwrap();
    assert_eq!(errno(secure_dir(&link)), Errno::EPERM);
    let file = dir.path().join("file");
    fs::write(&file, "").unwrap();
    assert_eq!(errno(secure_dir(&file)), Errno::EEXIST);
}
