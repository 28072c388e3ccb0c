//! The bounded store of lines that cannot be written to their files yet.

use std::collections::VecDeque;
use std::rc::Rc;

/// Bytes that all services together may hold in memory while their files cannot be written.
pub(super) const RING_BYTES: usize = 1024 * 1024;
/// Blocks are stored in pieces of about this size, so that room is made in small steps.
const BLOCK_BYTES: usize = 16 * 1024;
/// What a block costs besides its bytes, so that many short lines are bounded as well.
const BLOCK_COST: usize = 64;

/// Some whole lines of one unit.
pub(super) struct Block {
    pub(super) unit: Rc<str>,
    pub(super) bytes: Box<[u8]>,
}

impl Block {
    fn cost(&self) -> usize {
        self.bytes.len() + BLOCK_COST
    }

    /// How many lines it holds.
    pub(super) fn lines(&self) -> u64 {
        memchr::memchr_iter(b'\n', &self.bytes).count() as u64
    }
}

/// Keeps the newest lines of all units together.
#[derive(Default)]
pub(super) struct Ring {
    blocks: VecDeque<Block>,
    cost: usize,
}

impl Ring {
    /// Stores whole lines; gives every block that had to make room, oldest first.
    pub(super) fn push(&mut self, unit: &Rc<str>, mut bytes: &[u8]) -> Vec<Block> {
        let mut lost = Vec::new();
        while !bytes.is_empty() {
            let (piece, rest) = bytes.split_at(end_of_lines(bytes));
            bytes = rest;
            let block = Block { unit: Rc::clone(unit), bytes: piece.into() };
            self.cost += block.cost();
            self.blocks.push_back(block);
            while self.cost > RING_BYTES {
                let Some(oldest) = self.blocks.pop_front() else {
                    break;
                };
                self.cost -= oldest.cost();
                lost.push(oldest);
            }
        }
        lost
    }

    /// Takes everything out, oldest first.
    pub(super) fn take(&mut self) -> VecDeque<Block> {
        self.cost = 0;
        std::mem::take(&mut self.blocks)
    }
}

/// Where about [`BLOCK_BYTES`] of whole lines end: after the last newline within, else the first.
fn end_of_lines(bytes: &[u8]) -> usize {
    if bytes.len() <= BLOCK_BYTES {
        return bytes.len();
    }
    memchr::memrchr(b'\n', &bytes[..BLOCK_BYTES])
        .or_else(|| memchr::memchr(b'\n', bytes))
        .map_or(bytes.len(), |newline| newline + 1)
}

#[cfg(test)]
mod tests {
    use super::{RING_BYTES, Ring};

    #[test]
    fn the_newest_lines_stay_and_the_lost_ones_are_counted() {
        let mut ring = Ring::default();
        let mut lost = 0;
        for n in 0..40_000 {
            let line = format!("{n:0>99}\n");
            lost += ring.push(&"a".into(), line.as_bytes()).iter().map(|b| b.lines()).sum::<u64>();
        }
        let kept = ring.take();
        assert_eq!(lost + kept.len() as u64, 40_000);
        assert!(kept.back().unwrap().bytes.ends_with(b"39999\n"));
        assert!(kept.iter().map(|b| b.bytes.len()).sum::<usize>() > RING_BYTES / 2);
    }

    #[test]
    fn a_large_block_is_split_between_lines_and_a_huge_line_stays_whole() {
        let mut ring = Ring::default();
        let mut bytes = vec![b'x'; 20_000];
        bytes.push(b'\n');
        bytes.extend(b"short\n".repeat(5_000));
        assert!(ring.push(&"a".into(), &bytes).is_empty());
        let blocks = ring.take();
        assert!(blocks.len() > 2);
        assert!(blocks.iter().all(|block| block.bytes.ends_with(b"\n")));
        assert_eq!(blocks.iter().flat_map(|b| b.bytes.to_vec()).collect::<Vec<_>>(), bytes);
    }
}
