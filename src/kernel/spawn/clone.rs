//! clone3(2) of a child that shares nothing with its parent, and the stack that it has.
//!
//! After a clone without shared memory the first write to each page that both have is a copy, and
//! the parent goes on writing to its stack at once: with three pages of it that is a tenth of what
//! a start costs the supervisor. So a child has a stack of its own, which the parent never touches,
//! and the parent's can be left out of the copy (see [`super::super::heap::leave_the_rest`]).

use std::os::fd::{AsRawFd, BorrowedFd};
use std::sync::OnceLock;

use nix::errno::Errno;

// libc's own constants are i32 and come out as 0 (rust-lang/libc 3584, 3955).
const CLONE_CLEAR_SIGHAND: u64 = 0x1_0000_0000;
const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

/// Bytes of a child's stack. Only what it uses is ever in memory, and only in the child.
const STACK: usize = 64 * 1024;

/// What a child does with what it was made for.
pub(super) type Life<T> = unsafe extern "C" fn(*const T) -> !;

/// Makes a child, which leads this life, and gives its process id. It has no signal handlers, and
/// no memory but what is mapped as shared, what the program was loaded with, and a stack.
///
/// # Errors
/// When there is no child.
///
/// # Safety
/// The life may only do what is allowed after fork(2) in a program with threads, and what it reads
/// must be memory that a child has.
pub(super) unsafe fn clone3<T>(
    into: Option<BorrowedFd>,
    life: Life<T>,
    with: *const T,
) -> Result<u32, Errno> {
    // SAFETY: integers only, for which all zeros is a value and means "not used".
    let mut args: libc::clone_args = unsafe { std::mem::zeroed() };
    args.flags = CLONE_CLEAR_SIGHAND;
    args.exit_signal = libc::SIGCHLD as u64;
    if let Some(leaf) = into {
        args.flags |= CLONE_INTO_CGROUP;
        args.cgroup = leaf.as_raw_fd() as u64;
    }
    let pid = match own_stack() {
        Some(stack) => {
            args.stack = stack as u64;
            args.stack_size = STACK as u64;
            // SAFETY: the stack is one; the rest is the caller's promise.
            unsafe { onto_stack(&mut args, life, with) }
        }
        None => {
            // SAFETY: the structure lives over the call, and its size goes with it. Without CLONE_VM
            // the child has a copy of this stack, as after fork(2), and does not leave this function.
            match unsafe { libc::syscall(libc::SYS_clone3, &raw mut args, size_of_val(&args)) } {
                0 => unsafe { life(with) },
                -1 => -(Errno::last_raw() as libc::c_long),
                pid => pid,
            }
        }
    };
    match pid {
        // Process ids fit, and so do the kernel's error numbers.
        1.. => Ok(pid as u32),
        _ => Err(Errno::from_raw(-pid as i32)),
    }
}

/// The call as the kernel has it: nothing of this function is left to the child, which begins at
/// the top of an empty stack.
#[cfg(target_arch = "x86_64")]
unsafe fn onto_stack<T>(
    args: &mut libc::clone_args,
    life: Life<T>,
    with: *const T,
) -> libc::c_long {
    let result;
    // SAFETY: the kernel keeps all registers but rax, rcx and r11 (syscall(2)), in the child too,
    // which goes to its life and does not come back. The stack's top is a multiple of 16, as the
    // calling convention has it before a call.
    unsafe {
        std::arch::asm!(
            "syscall",
            "test rax, rax",
            "jnz 2f",
            "xor ebp, ebp",
            "mov rdi, rdx",
            "call r8",
            "ud2",
            "2:",
            inlateout("rax") libc::SYS_clone3 => result,
            in("rdi") std::ptr::from_mut(args),
            in("rsi") size_of::<libc::clone_args>(),
            in("rdx") with,
            in("r8") life,
            lateout("rcx") _,
            lateout("r11") _,
        );
    }
    result
}

/// Nobody has tried it there, so no stack is made either.
#[cfg(not(target_arch = "x86_64"))]
unsafe fn onto_stack<T>(_: &mut libc::clone_args, _: Life<T>, _: *const T) -> libc::c_long {
    -libc::c_long::from(libc::ENOSYS)
}

/// Where the children's stack begins, in memory that the parent never touches, so that each child
/// has pages of its own. Without one they need a copy of their parent's.
pub(in super::super) fn own_stack() -> Option<usize> {
    static STACK_AT: OnceLock<Option<usize>> = OnceLock::new();
    *STACK_AT.get_or_init(|| {
        if cfg!(not(target_arch = "x86_64")) {
            return None;
        }
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
        // SAFETY: a new mapping at an address of the kernel's choice, kept for good.
        let at = unsafe { libc::mmap(std::ptr::null_mut(), STACK, protection, flags, -1, 0) };
        (at != libc::MAP_FAILED).then(|| at.expose_provenance())
    })
}
