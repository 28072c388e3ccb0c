//! What a child does from its birth until it executes its program.
//!
//! It shares nothing with its parent but copies, and other threads of the parent may have held any
//! lock at the moment of the clone. So it makes system calls and nothing else: no allocation, no
//! lock, no panic. It does not even have the heap, or its parent's stack: all it reads is the plan,
//! in `child_memory`.

use std::os::fd::RawFd;
use std::sync::atomic::Ordering;

use nix::errno::Errno;

use super::super::child_sockets::Sockets;
use super::super::report::{READY, Stage, failure};
use super::dispositions::reset_signals;
use super::{Plan, gate};

/// The child's whole life: to the program, or to exit status 127 with a report.
///
/// # Safety
/// The plan is one, in memory that this process has.
pub(super) unsafe extern "C" fn run_child(plan: *const Plan) -> ! {
    // SAFETY: the caller's promise.
    let plan = unsafe { &*plan };
    let (stage, errno) = match set_up(plan) {
        Err(failure) => failure,
        Ok(()) => {
            say(plan, READY);
            (Stage::Executing, execute(plan))
        }
    };
    say(plan, failure(stage, errno));
    // SAFETY: exit_group(2) takes an integer and does not return.
    unsafe { libc::_exit(127) }
}

fn say(plan: &Plan, word: u64) {
    // SAFETY: the plan's memory lives until this process executes a program, and both sides change
    // and read the word as an atomic number.
    unsafe { &*plan.word }.store(word, Ordering::Release);
}

/// The order matters: what needs privilege comes before the change of user; limits come after
/// everything that opens a file, for with a low RLIMIT_NOFILE nothing can be opened while this
/// copy of the parent's table is full; and the working directory comes after the change of user,
/// so that the user's permissions count (root may be shut out of a home directory on NFS, and a
/// service must not be put where its user cannot go).
fn set_up(plan: &Plan) -> Result<(), (Stage, Errno)> {
    if let Some(procs) = plan.procs {
        write_all(procs, b"0".as_ptr(), 1).map_err(|errno| (Stage::EnteringLeaf, errno))?;
    }
    if let Some(gate) = plan.gate {
        gate::wait_before(gate, plan.leaf).map_err(|errno| (Stage::Executing, errno))?;
    }
    if plan.is_marked {
        gate::leave_mark(plan.leaf);
    }
    reset_signals(plan.ignored);
    // SAFETY: no arguments. It cannot fail: a newborn leads no process group.
    let _ = unsafe { libc::setsid() };
    connect(plan)?;
    let pass_later = hold_for_later(plan)?;
    if let Some(sockets) = &plan.sockets {
        sockets.pass().map_err(|errno| (Stage::PassingSockets, errno))?;
    }
    if let Some((from, to)) = pass_later {
        pass(from, to).map_err(|errno| (Stage::PassingDescriptor, errno))?;
    }
    if let Some(nice) = plan.nice {
        // SAFETY: integers only.
        let set = unsafe { libc::syscall(libc::SYS_setpriority, libc::PRIO_PROCESS, 0, nice) };
        check(set, Stage::SettingNice)?;
    }
    if let Some((text, length)) = plan.oom_score_adj {
        set_oom_score(text, length).map_err(|errno| (Stage::SettingOomScore, errno))?;
    }
    for at in 0..plan.ulimits.1 {
        // SAFETY: an element of the array that the plan holds.
        let (resource, limit) = unsafe { *plan.ulimits.0.add(at) };
        let old = std::ptr::null_mut::<u64>();
        // SAFETY: the kernel's rlimit64 is two 64-bit numbers, soft and hard; old may be null.
        let set = unsafe { libc::syscall(libc::SYS_prlimit64, 0, resource, limit.as_ptr(), old) };
        check(set, Stage::SettingLimits)?;
    }
    // SAFETY: an integer; it cannot fail.
    unsafe { libc::umask(plan.umask as libc::mode_t) };
    set_ids(plan)?;
    // SAFETY: a C string.
    let changed = unsafe { libc::chdir(plan.working_dir) };
    check(changed.into(), Stage::ChangingDirectory)?;
    // Everything of ours is close-on-exec; this is for what our own parent left open. Before
    // Linux 5.11 it is refused, and what was left open to us is left open to the service.
    let first = plan.sockets.as_ref().map_or(3, Sockets::end);
    // SAFETY: integers only.
    let _ =
        unsafe { libc::syscall(libc::SYS_close_range, first, u32::MAX, libc::CLOSE_RANGE_CLOEXEC) };
    if let Some((_, to)) = plan.pass {
        // SAFETY: integers only.
        let kept = unsafe { libc::fcntl(to, libc::F_SETFD, 0) };
        check(kept.into(), Stage::PassingDescriptor)?;
    }
    Ok(())
}

/// The errno of the last call when it failed.
fn check(result: libc::c_long, stage: Stage) -> Result<(), (Stage, Errno)> {
    if result == -1 { Err((stage, Errno::last())) } else { Ok(()) }
}

/// Files of the kernel take a value whole or not at all.
fn write_all(fd: RawFd, bytes: *const u8, length: usize) -> Result<(), Errno> {
    // SAFETY: a buffer with its length.
    Errno::result(unsafe { libc::write(fd, bytes.cast(), length) }).map(drop)
}

/// Puts 0, 1 and 2 in place. The sources are above 2: the standard library sees to it that the
/// low three are open before `main`.
fn connect(plan: &Plan) -> Result<(), (Stage, Errno)> {
    let (input, output) = match plan.tty {
        None => (plan.null, plan.output),
        Some(path) => {
            // SAFETY: a C string and flags.
            let tty = unsafe { libc::open(path, libc::O_RDWR | libc::O_NOCTTY) };
            check(tty.into(), Stage::OpeningTerminal)?;
            // 1: take it over from a session that still holds it, where we have the privilege.
            // SAFETY: a descriptor and an integer.
            let taken = unsafe { libc::ioctl(tty, libc::TIOCSCTTY, 1) };
            check(taken.into(), Stage::OpeningTerminal)?;
            (tty, tty)
        }
    };
    for (from, to) in [(input, 0), (output, 1), (output, 2)] {
        // SAFETY: integers only.
        let done = unsafe { libc::dup2(from, to) };
        check(done.into(), Stage::ConnectingOutput)?;
    }
    Ok(())
}

/// The descriptor that is passed beside the sockets, out of the way of theirs. Its number in the
/// program is none of theirs.
fn hold_for_later(plan: &Plan) -> Result<Option<(RawFd, RawFd)>, (Stage, Errno)> {
    let (Some((from, to)), Some(sockets)) = (plan.pass, &plan.sockets) else {
        return Ok(plan.pass);
    };
    // SAFETY: integers only.
    let held = unsafe { libc::fcntl(from, libc::F_DUPFD_CLOEXEC, sockets.end()) };
    check(held.into(), Stage::PassingDescriptor)?;
    Ok(Some((held, to)))
}

/// Puts a descriptor in its place. What stood there may be the pipe that tells when the batch is
/// over, so it is kept elsewhere until the exec.
fn pass(from: RawFd, to: RawFd) -> Result<(), Errno> {
    if from == to {
        return Ok(());
    }
    // SAFETY: integers only.
    let kept = unsafe { libc::fcntl(to, libc::F_DUPFD_CLOEXEC, to + 1) };
    match Errno::result(kept) {
        Ok(_) | Err(Errno::EBADF) => {}
        Err(errno) => return Err(errno),
    }
    // SAFETY: integers only.
    Errno::result(unsafe { libc::dup2(from, to) }).map(drop)
}

fn set_oom_score(text: *const u8, length: usize) -> Result<(), Errno> {
    let path = c"/proc/self/oom_score_adj";
    // SAFETY: a C string and flags.
    let file = unsafe { libc::open(path.as_ptr(), libc::O_WRONLY | libc::O_CLOEXEC) };
    write_all(Errno::result(file)?, text, length)
}

/// The calls are made raw: the C library's own walk over all threads of a process to change
/// them alike, and take locks to do it. The child has one thread.
fn set_ids(plan: &Plan) -> Result<(), (Stage, Errno)> {
    let Some((uid, gid, groups, count)) = plan.ids else { return Ok(()) };
    // SAFETY: an array with its length.
    let set = unsafe { libc::syscall(libc::SYS_setgroups, count, groups) };
    check(set, Stage::SettingUser)?;
    // SAFETY: integers only.
    let set = unsafe { libc::syscall(libc::SYS_setresgid, gid, gid, gid) };
    check(set, Stage::SettingUser)?;
    if let Some(uid) = uid {
        // SAFETY: integers only.
        let set = unsafe { libc::syscall(libc::SYS_setresuid, uid, uid, uid) };
        check(set, Stage::SettingUser)?;
    }
    Ok(())
}

/// Tries every candidate as execvp(3) does: what is missing or not permitted is passed over, and
/// "not permitted" is the answer if anything was. Comes back only on failure.
fn execute(plan: &Plan) -> Errno {
    let mut answer = Errno::ENOENT;
    let mut next = plan.candidates;
    // SAFETY: the array ends with a null pointer, and no element behind it is read.
    while let Some(path) = unsafe { next.read().as_ref() } {
        // SAFETY: a C string and two null-terminated arrays of C strings.
        let _ = unsafe { libc::execve(path, plan.argv, plan.environment) };
        // SAFETY: the null pointer was not reached yet.
        next = unsafe { next.add(1) };
        match Errno::last() {
            Errno::EACCES => answer = Errno::EACCES,
            Errno::ENOENT | Errno::ENOTDIR => {}
            other => return other,
        }
    }
    answer
}
