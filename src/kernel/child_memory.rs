//! Memory that we share with children after the clone: what they need is put here, because the
//! heap stays behind (see [`super::heap`]), and how far they have come they say here.
#![allow(unsafe_code)]

use std::ffi::{CString, c_char, c_void};
use std::ptr;
use std::sync::atomic::{AtomicU64, Ordering};

use nix::errno::Errno;

use super::Error;

/// A piece of memory that is filled from its start. Everything that was put in stays where it is
/// until the piece is dropped; children keep it until they execute a program.
#[derive(Debug)]
pub(super) struct ChildMemory {
    base: *mut u8,
    size: usize,
    used: usize,
}

/// One number that a child may change and we read. It belongs to the piece that gave it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Cell(usize);

impl ChildMemory {
    /// Takes a piece of `size` bytes from the kernel, which gives pages when they are written to.
    pub(super) fn new(size: usize) -> Result<Self, Error> {
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        let flags = libc::MAP_SHARED | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
        // SAFETY: a new mapping at an address of the kernel's choice.
        let base = unsafe { libc::mmap(ptr::null_mut(), size, protection, flags, -1, 0) };
        if base == libc::MAP_FAILED {
            return Err(Error::new("map", format!("{size} bytes"), Errno::last()));
        }
        Ok(Self { base: base.cast(), size, used: 0 })
    }

    /// How many bytes are free.
    pub(super) const fn room(&self) -> usize {
        self.size - self.used
    }

    /// Puts in a cell that holds 0. Gives it, and where the child finds it.
    ///
    /// # Errors
    /// As [`Self::put`].
    pub(super) fn put_cell(&mut self) -> Result<(Cell, *const AtomicU64), Error> {
        let place = self.put(&[0_u64])?;
        Ok((Cell(place.addr() - self.base.addr()), place.cast()))
    }

    /// What a cell holds now.
    pub(super) fn read(&self, cell: Cell) -> u64 {
        // SAFETY: the cell is at this place inside the mapping, aligned, and only ever changed as
        // an atomic number.
        let cell = unsafe { &*self.base.add(cell.0).cast::<AtomicU64>() };
        cell.load(Ordering::Acquire)
    }

    /// Copies the values in. Gives where they are.
    ///
    /// # Errors
    /// ENOMEM when the piece is full: the caller reckoned its size too small.
    pub(super) fn put<T: Copy>(&mut self, values: &[T]) -> Result<*const T, Error> {
        let start = self.used.next_multiple_of(align_of::<T>());
        let end = start + size_of_val(values);
        if end > self.size {
            return Err(Error::new("fit", "what a child needs", Errno::ENOMEM));
        }
        // SAFETY: from `start` to `end` is inside the mapping, aligned, and was given to nobody.
        let place = unsafe {
            let place = self.base.add(start).cast::<T>();
            ptr::copy_nonoverlapping(values.as_ptr(), place, values.len());
            place
        };
        self.used = end;
        Ok(place)
    }

    /// Copies a text in.
    pub(super) fn put_text(&mut self, text: &CString) -> Result<*const c_char, Error> {
        self.put(text.as_bytes_with_nul()).map(<*const u8>::cast)
    }

    /// Copies texts in, and the null-terminated array of pointers to them that execve(2) wants.
    pub(super) fn put_texts(&mut self, texts: &[CString]) -> Result<*const *const c_char, Error> {
        let mut places = Vec::with_capacity(texts.len() + 1);
        for text in texts {
            places.push(self.put_text(text)?);
        }
        places.push(ptr::null());
        self.put(&places)
    }
}

/// So many bytes these texts take, with their array of pointers.
pub(super) fn size_of_texts(texts: &[CString]) -> usize {
    let pointers = (texts.len() + 1) * size_of::<*const c_char>() + align_of::<*const c_char>();
    pointers + texts.iter().map(|text| text.as_bytes_with_nul().len()).sum::<usize>()
}

impl Drop for ChildMemory {
    fn drop(&mut self) {
        // SAFETY: the mapping of this value, which nobody else has.
        let _ = unsafe { libc::munmap(self.base.cast::<c_void>(), self.size) };
    }
}
