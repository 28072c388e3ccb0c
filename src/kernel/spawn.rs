//! The start: one clone3(2) into a leaf, of a child for which everything is ready made (`child`).
#![allow(unsafe_code)]

mod child;
mod clone;
mod dispositions;
mod gate;
mod how;

use std::ffi::c_char;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::sync::atomic::AtomicU64;

use nix::fcntl::{OFlag, openat};
use nix::sys::stat::Mode;

pub(super) use dispositions::reset_signals;
pub use gate::{Gate, Given};
pub use how::How;

pub use super::program::{PrepareError, Prepared, Program, User, lookup_user};
pub use super::report::{Batch, Line, Report, Stage};

use super::Error;
use super::cgroup::Tree;
use super::child_memory::{ChildMemory, size_of_texts};
use super::child_sockets::Sockets;
use super::files;
use super::leaf::Leaf;
use super::reap::{ExitStatus, bury_when_dead};
use child::run_child;
use clone::clone3;
pub(super) use clone::own_stack;
use dispositions::ignored_signals;

#[cfg(not(target_pointer_width = "64"))]
compile_error!("on 32-bit machines setresuid and its kin take 16 bits and have other numbers");

/// A child that is on its way to its program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Child {
    /// Its process id, which is its own until it is buried.
    pub pid: u32,
    /// Where it tells in its batch what became of the start.
    pub line: Line,
}

/// Starts the program in the leaf, whose directory is open as `leaf`. Output and error output go
/// to `output`, to the terminal when the program has one, otherwise to `/dev/null`. The batch must
/// have room for [`bytes_for`] the program.
///
/// # Errors
/// When there is no child. What fails in the child comes by [`Batch::report`].
pub fn spawn(
    batch: &mut Batch,
    prepared: &Prepared,
    leaf: BorrowedFd,
    output: Option<BorrowedFd>,
    how: How,
) -> Result<Child, Error> {
    spawn_with(batch, prepared, leaf, output, Given::default(), how)
}

/// The same, with more that the child is given; of the sockets as many as the program has names for.
///
/// # Errors
/// As [`spawn`].
pub fn spawn_with(
    batch: &mut Batch,
    prepared: &Prepared,
    leaf: BorrowedFd,
    output: Option<BorrowedFd>,
    given: Given,
    how: How,
) -> Result<Child, Error> {
    let null = files::dev_null()?;
    let program = || prepared.argv.first().map_or_else(String::new, |c| format!("for {c:?}"));
    let procs = match how {
        How::IntoCgroup => None,
        How::WriteProcs => Some(open_procs(leaf)?),
    };
    let (cell, word) = batch.memory.put_cell()?;
    let kept = batch.told_by().map(|fd| fd.as_raw_fd());
    let mut plan = Plan {
        null: null.as_raw_fd(),
        output: output.unwrap_or(null).as_raw_fd(),
        procs: procs.as_ref().map(AsRawFd::as_raw_fd),
        pass: prepared.pass.as_ref().map(|(fd, number)| (fd.as_raw_fd(), *number)),
        gate: given.gate.map(Gate::ends),
        leaf: leaf.as_raw_fd(),
        is_marked: given.is_marked,
        ..Plan::new(prepared, word, &mut batch.memory)?
    };
    if let (Some(kept), 1..) = (kept, prepared.sockets.min(given.sockets.len())) {
        plan.sockets = Some(plan.sockets(prepared, given.sockets, kept, &mut batch.memory)?);
    }
    let into = (how == How::IntoCgroup).then_some(leaf);
    let plan = batch.memory.put(&[plan])?;
    // SAFETY: the child makes system calls only, and all that it reads was put into its memory.
    match unsafe { clone3(into, run_child, plan) } {
        Ok(pid) => {
            // Whoever waits behind a gate may be named on its leaf before it has moved there, and
            // would be looked for in vain. Where this fails the child still moves itself.
            if let (Some(procs), Some(_)) = (&procs, given.gate) {
                let _ = nix::unistd::write(procs, pid.to_string().as_bytes());
            }
            Ok(Child { pid, line: Line(cell) })
        }
        Err(errno) => Err(Error::new("clone a process", program(), errno)),
    }
}

/// Whether a child can be born in a leaf of this tree; otherwise it must move there itself. Ask
/// once, after [`Tree::enter_supervisor`]. It cannot before Linux 5.7, and since 6.14 not when the
/// caller's own cgroup was ever killed by `cgroup.kill`: the kernel compares how often the
/// parent's cgroup was killed with the child's, and kills the newborn where they differ.
#[must_use]
pub fn probe(tree: &Tree) -> How {
    let number = u64::from(std::process::id());
    match tree.make_probe(number).and_then(|leaf| born_alive(&leaf)) {
        Ok(true) => How::IntoCgroup,
        _ => How::WriteProcs,
    }
}

fn born_alive(leaf: &Leaf) -> Result<bool, Error> {
    let dir = leaf.open()?;
    // SAFETY: the child makes one system call, which ends it, and reads nothing.
    let born = match unsafe { clone3(Some(dir.as_fd()), end_at_once, std::ptr::null()) } {
        Ok(pid) => bury_when_dead(pid) == Some(ExitStatus::Code(0)),
        Err(_) => false,
    };
    leaf.remove()?;
    Ok(born)
}

fn open_procs(leaf: BorrowedFd) -> Result<OwnedFd, Error> {
    openat(leaf, "cgroup.procs", OFlag::O_WRONLY | OFlag::O_CLOEXEC, Mode::empty())
        .map_err(|errno| Error::new("open", "cgroup.procs of the leaf", errno))
}

/// The life of a child that is only to be born.
unsafe extern "C" fn end_at_once(_: *const ()) -> ! {
    // SAFETY: exit_group(2) takes an integer and does not return.
    unsafe { libc::_exit(0) }
}

/// All that a child needs, ready made. The pointers lead into [`ChildMemory`], which outlives it.
#[derive(Clone, Copy)]
struct Plan {
    argv: *const *const c_char,
    environment: *const *const c_char,
    /// The paths to try, null-terminated.
    candidates: *const *const c_char,
    working_dir: *const c_char,
    tty: Option<*const c_char>,
    oom_score_adj: Option<(*const u8, usize)>,
    ulimits: (*const (u32, [u64; 2]), usize),
    ids: Option<(Option<u32>, u32, *const u32, usize)>,
    umask: u32,
    nice: Option<i32>,
    /// The signals that this process ignores, as a set with bit 0 for signal 1.
    ignored: u64,
    null: RawFd,
    output: RawFd,
    /// A descriptor of ours, and its number in the program.
    pass: Option<(RawFd, RawFd)>,
    procs: Option<RawFd>,
    sockets: Option<Sockets>,
    gate: Option<(RawFd, RawFd)>,
    /// The leaf's directory.
    leaf: RawFd,
    /// Whether the child leaves its mark there.
    is_marked: bool,
    /// Where it says how far it has come.
    word: *const AtomicU64,
}

impl Plan {
    /// Puts everything where the child will have it. The descriptors are the caller's to set.
    fn new(
        prepared: &Prepared,
        word: *const AtomicU64,
        memory: &mut ChildMemory,
    ) -> Result<Self, Error> {
        let score = prepared.oom_score_adj.as_ref().map(|score| score.as_bytes());
        let score = score.map(|score| Ok((memory.put(score)?, score.len()))).transpose()?;
        let tty = prepared.tty.as_ref().map(|tty| memory.put_text(tty)).transpose()?;
        let ids = prepared.ids.as_ref();
        let ids = ids.map(|ids| Ok((ids.uid, ids.gid, memory.put(&ids.groups)?, ids.groups.len())));
        Ok(Self {
            ids: ids.transpose()?,
            argv: memory.put_texts(&prepared.argv)?,
            environment: memory.put_texts(&prepared.environment)?,
            candidates: memory.put_texts(&prepared.candidates)?,
            working_dir: memory.put_text(&prepared.working_dir)?,
            tty,
            oom_score_adj: score,
            ulimits: (memory.put(&prepared.ulimits)?, prepared.ulimits.len()),
            umask: prepared.umask,
            nice: prepared.nice,
            ignored: ignored_signals(),
            null: -1,
            output: -1,
            pass: None,
            procs: None,
            sockets: None,
            gate: None,
            leaf: -1,
            is_marked: false,
            word,
        })
    }

    /// What it needs to pass sockets on. The environment is the child's own: it ends with the
    /// variable that the child fills in.
    fn sockets(
        &self,
        prepared: &Prepared,
        sockets: &[BorrowedFd],
        kept: RawFd,
        memory: &mut ChildMemory,
    ) -> Result<Sockets, Error> {
        let last = prepared.environment.len().saturating_sub(1);
        // SAFETY: an element of the array that was made of this environment, which has a PATH and
        // that variable at least.
        let variable = unsafe { *self.environment.add(last) };
        Sockets::new(sockets, kept, variable.cast(), memory)
    }
}

/// Bytes that a start of this program takes in its batch, at most.
#[must_use]
pub fn bytes_for(prepared: &Prepared) -> usize {
    let texts = [&prepared.argv, &prepared.environment, &prepared.candidates];
    let texts: usize = texts.into_iter().map(|texts| size_of_texts(texts)).sum();
    let single = [Some(&prepared.working_dir), prepared.tty.as_ref()];
    let single: usize = single.into_iter().flatten().map(|text| text.count_bytes() + 1).sum();
    let groups = prepared.ids.as_ref().map_or(0, |ids| size_of_val(ids.groups.as_slice()));
    let sockets = (prepared.sockets + 1) * size_of::<RawFd>();
    let plan = size_of::<Plan>() + size_of_val(prepared.ulimits.as_slice());
    // A few bytes each for alignment, a word, and a score of at most five.
    texts + single + groups + sockets + plan + 80
}

#[cfg(test)]
mod tests;
