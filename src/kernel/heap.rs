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
//!
//! It is also kept small. Small pieces come from one range of addresses that grows upwards, so that
//! what was used for a moment is at its end and goes back to the kernel; left to itself the kernel
//! places each new piece below the one before, and nothing but the first could ever shrink. A
//! large piece is a mapping of its own: a table that was outgrown leaves no hole behind, and pages
//! of a buffer that nobody writes to cost nothing.
#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout};
use std::cell::Cell;
use std::ptr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use dlmalloc::{Allocator, Dlmalloc};

use super::spawn;

/// From so many bytes on a piece is a mapping of its own.
const LARGE: usize = 16 * 1024;
/// Addresses that the small pieces have for themselves. Only what is used of them costs memory;
/// beyond them there is the kernel's choice.
const RANGE: usize = 1024 * 1024 * 1024;
/// After so many freed bytes the end of the range is looked at.
const TRIM_AFTER: usize = 512 * 1024;
/// What is kept at the end of the range for the next pieces.
const KEPT: usize = 64 * 1024;
/// The strictest alignment that every mapping has, whatever the kernel's pages are.
const PAGE: usize = 4096;

static SMALL: Mutex<Small> = Mutex::new(Small {
    heap: Dlmalloc::new_with_allocator(NotForked { start: Cell::new(0), used: Cell::new(0) }),
    freed: 0,
});

/// The allocator, for `#[global_allocator]`.
pub struct Heap;

/// The pieces that share pages. Its own page is not one that a clone copies: each start writes here.
#[repr(align(4096))]
struct Small {
    heap: Dlmalloc<NotForked>,
    /// Bytes since the last trim.
    freed: usize,
}

fn small() -> MutexGuard<'static, Small> {
    SMALL.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Gives the kernel back what the heap does not use at its end. For after a great deal was freed:
/// by itself the heap looks now and then, and keeps a little.
pub fn trim() {
    // SAFETY: any heap may be trimmed at any time.
    let _ = unsafe { small().heap.trim(0) };
}

/// Keeps out of clones what else is mapped and no child needs: the stacks, where children have one
/// of their own, the C library's own heap, and the zeroed variables of the program, among them the
/// heap's own. Each piece costs a start about as much as a system call, twice, and each page that
/// this process writes to afterwards a copy. Call it when all threads are there, from the one that
/// clones; a child has that thread's thread-local storage, the program with its constants, its stack,
/// and what is mapped later.
pub fn leave_the_rest() {
    let here = 0_u8;
    let stack = spawn::own_stack().unwrap_or_else(|| (&raw const here).addr());
    let needed = [stack, errno_address()];
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap_or_default();
    let program = std::fs::read_link("/proc/self/exe").unwrap_or_default();
    let program = program.to_string_lossy();
    for (start, end) in needless(&maps, &program, &needed) {
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
/// no file and hold none of the addresses. What follows a file directly is its zeroed data, which
/// a library may look at when it makes a system call; the program's own code in a child does not.
fn needless(maps: &str, program: &str, needed: &[usize]) -> Vec<(usize, usize)> {
    let mut pieces = Vec::new();
    let mut end_of_library = 0;
    for line in maps.lines() {
        // The address, the mode, the offset, the device, the inode and, after blanks, the name.
        let mut fields = line.splitn(6, ' ');
        let Some((start, end)) = fields.next().and_then(|range| range.split_once('-')) else {
            continue;
        };
        let number = |text| usize::from_str_radix(text, 16).unwrap_or(0);
        let (start, end) = (number(start), number(end));
        let is_private = fields.next().is_some_and(|mode| mode.ends_with('p'));
        let name = fields.nth(3).map(str::trim_start).filter(|name| !name.is_empty());
        let follows_library = start == end_of_library;
        let is_library = |name: &str| name.starts_with('/') && name != program;
        if follows_library || name.is_some_and(is_library) {
            end_of_library = end;
        }
        let is_of_no_file = matches!(name, None | Some("[heap]" | "[stack]"));
        let is_ours = is_of_no_file && is_private && !follows_library;
        if is_ours && !needed.iter().any(|address| (start..end).contains(address)) {
            pieces.push((start, end));
        }
    }
    pieces
}

const fn is_large(layout: Layout) -> bool {
    layout.size() >= LARGE && layout.align() <= PAGE
}

// SAFETY: a small piece comes from one dlmalloc under one lock, a large one is a mapping; which of
// them it is follows from the layout, which the caller gives again.
unsafe impl GlobalAlloc for Heap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if is_large(layout) {
            return map(layout.size());
        }
        // SAFETY: the caller's promise about the layout is passed on.
        unsafe { small().heap.malloc(layout.size(), layout.align()) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        if is_large(layout) {
            return map(layout.size());
        }
        // SAFETY: as above.
        unsafe { small().heap.calloc(layout.size(), layout.align()) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        if is_large(layout) {
            // SAFETY: a mapping of this length that the caller does not use any more.
            let _ = unsafe { libc::munmap(pointer.cast(), layout.size()) };
            return;
        }
        let mut small = small();
        // SAFETY: the caller got the pointer from here with this layout.
        unsafe { small.heap.free(pointer, layout.size(), layout.align()) };
        small.freed += layout.size();
        if small.freed >= TRIM_AFTER {
            small.freed = 0;
            // SAFETY: any heap may be trimmed at any time.
            let _ = unsafe { small.heap.trim(KEPT) };
        }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: the caller's promise: `size`, rounded up to the alignment, is no overflow.
        let new = unsafe { Layout::from_size_align_unchecked(size, layout.align()) };
        match (is_large(layout), is_large(new)) {
            // SAFETY: as in `dealloc`.
            (false, false) => unsafe {
                small().heap.realloc(pointer, layout.size(), layout.align(), size)
            },
            // SAFETY: a mapping of ours; mremap(2) keeps what madvise(2) said of it.
            (true, true) => unsafe {
                let flags = libc::MREMAP_MAYMOVE;
                checked(libc::mremap(pointer.cast(), layout.size(), size, flags))
            },
            // SAFETY: both pieces have at least the bytes that are copied, and they are two.
            (false, true) | (true, false) => unsafe {
                let moved = self.alloc(new);
                if !moved.is_null() {
                    ptr::copy_nonoverlapping(pointer, moved, layout.size().min(size));
                    self.dealloc(pointer, layout);
                }
                moved
            },
        }
    }
}

/// Anonymous memory that clone(2) leaves out, all zeros; null when there is none.
fn map(size: usize) -> *mut u8 {
    new_mapping(size, libc::PROT_READ | libc::PROT_WRITE, 0)
}

fn new_mapping(size: usize, protection: i32, flags: i32) -> *mut u8 {
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | flags;
    // SAFETY: a new mapping at an address of the kernel's choice.
    let piece = checked(unsafe { libc::mmap(ptr::null_mut(), size, protection, flags, -1, 0) });
    if !piece.is_null() {
        // Refused or not, the memory is good; a clone would only be slower.
        // SAFETY: the mapping that was just made.
        let _ = unsafe { libc::madvise(piece.cast(), size, libc::MADV_DONTFORK) };
    }
    piece
}

fn checked(mapping: *mut libc::c_void) -> *mut u8 {
    if mapping == libc::MAP_FAILED { ptr::null_mut() } else { mapping.cast() }
}

/// Where the small pieces come from: a range of addresses from its start upwards, and mappings
/// anywhere when it is used up or could not be had (RLIMIT_AS).
struct NotForked {
    /// Where the range starts; 0 before the first use.
    start: Cell<usize>,
    /// How many bytes of the range are in use.
    used: Cell<usize>,
}

impl NotForked {
    fn alloc_from_range(&self, size: usize) -> *mut u8 {
        if self.start.get() == 0 {
            // Without the right to be touched it is not counted as memory by anybody.
            let range = new_mapping(RANGE, libc::PROT_NONE, libc::MAP_NORESERVE);
            if !range.is_null() {
                // A huge page would hold 2 MiB for the little at the end of what is used.
                // SAFETY: the mapping that was just made.
                let _ = unsafe { libc::madvise(range.cast(), RANGE, libc::MADV_NOHUGEPAGE) };
            }
            self.start.set(range as usize);
            self.used.set(if range.is_null() { RANGE } else { 0 });
        }
        if size > RANGE - self.used.get() {
            return ptr::null_mut();
        }
        let piece = ptr::with_exposed_provenance_mut::<u8>(self.start.get() + self.used.get());
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: pages of our range that nobody uses.
        if unsafe { libc::mprotect(piece.cast(), size, protection) } != 0 {
            return ptr::null_mut();
        }
        self.used.set(self.used.get() + size);
        piece
    }

    fn is_in_range(&self, pointer: *mut u8) -> bool {
        let start = self.start.get();
        start != 0 && (pointer as usize).wrapping_sub(start) < RANGE
    }
}

// SAFETY: pieces come from the range or from mmap(2). To the former they are given back from their
// end only, by munmap(2) the others also whole.
unsafe impl Allocator for NotForked {
    fn alloc(&self, size: usize) -> (*mut u8, usize, u32) {
        let mut piece = self.alloc_from_range(size);
        if piece.is_null() {
            piece = map(size);
        }
        (piece, if piece.is_null() { 0 } else { size }, 0)
    }

    fn remap(&self, _pointer: *mut u8, _old: usize, _new: usize, _can_move: bool) -> *mut u8 {
        ptr::null_mut()
    }

    fn free_part(&self, pointer: *mut u8, old: usize, new: usize) -> bool {
        let count = old - new;
        if !self.is_in_range(pointer) {
            // SAFETY: the end of a piece of ours that the allocator does not use any more.
            return unsafe { libc::munmap(pointer.add(new).cast(), count) == 0 };
        }
        if pointer as usize + old != self.start.get() + self.used.get() {
            return false;
        }
        // SAFETY: the end of what is used of our range; its addresses stay ours.
        if unsafe { libc::madvise(pointer.add(new).cast(), count, libc::MADV_DONTNEED) } != 0 {
            return false;
        }
        self.used.set(self.used.get() - count);
        true
    }

    fn free(&self, pointer: *mut u8, size: usize) -> bool {
        // SAFETY: a whole piece of ours that the allocator does not use any more.
        !self.is_in_range(pointer) && unsafe { libc::munmap(pointer.cast(), size) == 0 }
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
        PAGE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What one test frees the other must not use.
    static ALONE: Mutex<()> = Mutex::new(());

    /// How many pages of a piece are in memory (mincore(2)).
    fn resident(pointer: *mut u8, size: usize) -> usize {
        let mut pages = vec![0_u8; size / PAGE];
        // SAFETY: as many bytes as there are pages; an address without a mapping is an error.
        let known = unsafe { libc::mincore(pointer.cast(), size, pages.as_mut_ptr()) } == 0;
        if known { pages.iter().filter(|page| **page & 1 == 1).count() } else { 0 }
    }

    fn layout(size: usize) -> Layout {
        Layout::from_size_align(size, 16).unwrap()
    }

    #[test]
    fn content_survives_every_move_between_small_and_large() {
        let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        let sizes = [1, 100, LARGE - 1, LARGE, 3 * LARGE, 40, LARGE + 1, 2 * LARGE, LARGE, 17];
        let mut size = 8;
        // SAFETY: each layout is the one of the call before; writes stay within it.
        unsafe {
            let mut piece = Heap.alloc(layout(size));
            for (round, &new) in sizes.iter().cycle().take(1_000).enumerate() {
                ptr::write_bytes(piece, round as u8, size);
                piece = Heap.realloc(piece, layout(size), new);
                assert!(!piece.is_null());
                let kept = std::slice::from_raw_parts(piece, size.min(new));
                assert!(kept.iter().all(|byte| *byte == round as u8), "{size} to {new}");
                size = new;
            }
            Heap.dealloc(piece, layout(size));
        }
    }

    #[test]
    fn a_large_buffer_costs_nothing_before_it_is_written_to() {
        let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        let layout = layout(4 * LARGE);
        // SAFETY: the layout of the piece; the write is within it.
        unsafe {
            let piece = Heap.alloc_zeroed(layout);
            assert_eq!(resident(piece, layout.size()), 0);
            piece.add(2 * LARGE).write(1);
            assert_eq!(*piece.add(LARGE), 0);
            assert!(resident(piece, layout.size()) < 4);
            Heap.dealloc(piece, layout);
        }
    }

    #[test]
    fn what_was_used_for_a_moment_goes_back_to_the_kernel() {
        let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        let piece = layout(1_000);
        // More than the heap keeps at its end.
        // SAFETY: every piece is written within its layout and freed once.
        unsafe {
            let pieces: Vec<*mut u8> = (0..10_000).map(|_| Heap.alloc(piece)).collect();
            pieces.iter().for_each(|at| ptr::write_bytes(*at, 1, piece.size()));
            let last = *pieces.iter().max().unwrap();
            let page = last.wrapping_sub(last as usize % PAGE);
            assert_eq!(resident(page, PAGE), 1);
            pieces.iter().for_each(|at| Heap.dealloc(*at, piece));
            trim();
            assert_eq!(resident(page, PAGE), 0);
        }
    }

    #[test]
    fn only_memory_that_belongs_to_no_file_and_is_not_needed_is_left_out() {
        let maps = "1000-2000 ---p 00000000 00:00 0   [heap]\n\
                    5000-6000 r-xp 00000000 fe:00 11  /a program\n\
                    6000-7000 rw-p 00001000 fe:00 11  /a program\n\
                    7000-9000 rw-p 00000000 00:00 0 \n\
                    9200-9400 rw-p 00001000 fe:00 12  /a library\n\
                    9400-9600 rw-p 00000000 00:00 0 \n\
                    a000-b000 rw-p 00000000 00:00 0 \n\
                    c000-d000 rw-s 00000000 00:01 9   /dev/zero (deleted)\n\
                    e000-f000 rw-p 00000000 00:00 0 \n\
                    f000-f800 r-xp 00000000 00:00 0   [vdso]\n\
                    ff00-fff0 rw-p 00000000 00:00 0   [stack]\n";
        let left_out = [(0x1000, 0x2000), (0x7000, 0x9000), (0xa000, 0xb000)];
        assert_eq!(needless(maps, "/a program", &[0xe800, 0xffe0]), left_out);
        let without_stack = [&left_out[..], &[(0xff00, 0xfff0)]].concat();
        assert_eq!(needless(maps, "/a program", &[0xe800]), without_stack);
    }
}
