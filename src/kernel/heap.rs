//! The heap that children do not inherit.
//!
//! clone(2) without shared memory copies the page tables of everything that is mapped, and takes
//! the right to write from both sides: with the units of ten thousand services in memory that
//! costs more than the start itself (3.6 ms at 200 MB). A child of ours only makes system calls on
//! values that `child_memory` holds, so the heap is kept out of the copy: madvise(2)
//! `MADV_DONTFORK` on each piece that the allocator takes from the kernel. A start then costs the
//! same whatever the supervisor remembers.
//!
//! A program that forks in another way must not use this heap.
#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout};
use std::ptr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use dlmalloc::{Allocator, Dlmalloc};

static INNER: Mutex<Dlmalloc<NotForked>> = Mutex::new(Dlmalloc::new_with_allocator(NotForked));

/// The allocator, for `#[global_allocator]`.
pub struct Heap;

fn lock() -> MutexGuard<'static, Dlmalloc<NotForked>> {
    INNER.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Gives the kernel back what the heap does not use at its end. For after a great deal was freed:
/// by itself the allocator keeps up to 2 MiB.
pub fn trim() {
    // SAFETY: any heap may be trimmed at any time.
    let _ = unsafe { lock().trim(0) };
}

/// Keeps out of clones what else is mapped and no child needs: the stacks of other threads and of
/// signal handlers, and the C library's own heap. Each piece costs a start about as much as
/// a system call, twice. Call it when all threads are there, from the one that clones; a child has
/// that thread's stack and thread-local storage, the program, and what is mapped later.
pub fn leave_the_rest() {
    let here = 0_u8;
    let needed = [(&raw const here).addr(), errno_address()];
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap_or_default();
    for (start, end) in needless(&maps, &needed) {
        let piece = ptr::with_exposed_provenance_mut(start);
        // SAFETY: a mapping of this process, which stays as it is for this process.
        let _ = unsafe { libc::madvise(piece, end - start, libc::MADV_DONTFORK) };
    }
}

fn errno_address() -> usize {
    // SAFETY: it gives a place in the thread's own storage.
    unsafe { libc::__errno_location() }.addr()
}

/// From the text of /proc/self/maps (proc_pid_maps(5)) the pieces of private memory that belong to
/// no file and hold none of the addresses. What follows a file directly is its zeroed data.
fn needless(maps: &str, needed: &[usize]) -> Vec<(usize, usize)> {
    let mut pieces = Vec::new();
    let mut end_of_file = 0;
    for line in maps.lines() {
        let mut fields = line.split_whitespace();
        let Some((start, end)) = fields.next().and_then(|range| range.split_once('-')) else {
            continue;
        };
        let number = |text| usize::from_str_radix(text, 16).unwrap_or(0);
        let (start, end) = (number(start), number(end));
        let is_private = fields.next().is_some_and(|mode| mode.ends_with('p'));
        let name = fields.nth(3);
        let follows_file = start == end_of_file;
        if follows_file || name.is_some_and(|name| name.starts_with('/')) {
            end_of_file = end;
        }
        let is_ours = matches!(name, None | Some("[heap]")) && is_private && !follows_file;
        if is_ours && !needed.iter().any(|address| (start..end).contains(address)) {
            pieces.push((start, end));
        }
    }
    pieces
}

// SAFETY: every call goes to one dlmalloc under one lock, with the layout that the caller gave.
unsafe impl GlobalAlloc for Heap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise about the layout is passed on.
        unsafe { lock().malloc(layout.size(), layout.align()) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as above.
        unsafe { lock().calloc(layout.size(), layout.align()) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller got the pointer from here with this layout.
        unsafe { lock().free(pointer, layout.size(), layout.align()) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: as above.
        unsafe { lock().realloc(pointer, layout.size(), layout.align(), size) }
    }
}

/// Anonymous memory that clone(2) leaves out.
struct NotForked;

// SAFETY: pieces come from mmap(2) and are given back by munmap(2), whole or from their end.
unsafe impl Allocator for NotForked {
    fn alloc(&self, size: usize) -> (*mut u8, usize, u32) {
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        // SAFETY: a new mapping at an address of the kernel's choice.
        let piece = unsafe { libc::mmap(ptr::null_mut(), size, protection, flags, -1, 0) };
        if piece == libc::MAP_FAILED {
            return (ptr::null_mut(), 0, 0);
        }
        // Refused or not, the memory is good; a clone would only be slower.
        // SAFETY: the mapping that was just made.
        let _ = unsafe { libc::madvise(piece, size, libc::MADV_DONTFORK) };
        (piece.cast(), size, 0)
    }

    fn remap(&self, pointer: *mut u8, old: usize, new: usize, can_move: bool) -> *mut u8 {
        let flags = if can_move { libc::MREMAP_MAYMOVE } else { 0 };
        // SAFETY: a piece of ours; mremap(2) keeps what madvise(2) said of it.
        let piece = unsafe { libc::mremap(pointer.cast(), old, new, flags) };
        if piece == libc::MAP_FAILED { ptr::null_mut() } else { piece.cast() }
    }

    fn free_part(&self, pointer: *mut u8, old: usize, new: usize) -> bool {
        // SAFETY: the end of a piece of ours that the allocator does not use any more.
        unsafe { libc::munmap(pointer.add(new).cast(), old - new) == 0 }
    }

    fn free(&self, pointer: *mut u8, size: usize) -> bool {
        // SAFETY: a whole piece of ours that the allocator does not use any more.
        unsafe { libc::munmap(pointer.cast(), size) == 0 }
    }

    fn can_release_part(&self, _flags: u32) -> bool {
        true
    }

    fn allocates_zeros(&self) -> bool {
        true
    }

    fn page_size(&self) -> usize {
        // A power of two that every Linux page size divides into or is divided by: sizes that the
        // allocator asks for are multiples of it and of 64 KiB.
        4096
    }
}

#[cfg(test)]
mod tests {
    use super::needless;

    #[test]
    fn only_memory_that_belongs_to_no_file_and_is_not_needed_is_left_out() {
        let maps = "1000-2000 ---p 00000000 00:00 0   [heap]\n\
                    5000-6000 r-xp 00000000 fe:00 11  /a program\n\
                    6000-7000 rw-p 00001000 fe:00 11  /a program\n\
                    7000-9000 rw-p 00000000 00:00 0 \n\
                    a000-b000 rw-p 00000000 00:00 0 \n\
                    c000-d000 rw-s 00000000 00:01 9   /dev/zero (deleted)\n\
                    e000-f000 rw-p 00000000 00:00 0 \n\
                    f000-f800 r-xp 00000000 00:00 0   [vdso]\n\
                    ff00-fff0 rw-p 00000000 00:00 0   [stack]\n";
        assert_eq!(needless(maps, &[0xe800]), [(0x1000, 0x2000), (0xa000, 0xb000)]);
    }
}
