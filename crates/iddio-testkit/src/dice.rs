//! Numbers that look drawn and follow from a seed.

use std::cell::Cell;

/// A generator (xorshift64*). A seed is a test.
#[derive(Debug)]
pub struct Dice(Cell<u64>);

// === impl Dice ===

impl Dice {
    /// Begins at `seed`.
    pub fn new(seed: u64) -> Self {
        let mixed = seed.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        Self(Cell::new(mixed | 1))
    }

    /// Returns the next number.
    pub fn next(&self) -> u64 {
        let mut x = self.0.get();
        x ^= x >> 12;
        x ^= x << 25;
        x ^= x >> 27;
        self.0.set(x);
        x.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    /// Returns a number below `n`, or 0 for 0.
    pub fn below(&self, n: u64) -> u64 {
        (self.next() >> 11).checked_rem(n).unwrap_or(0)
    }

    /// Returns an index into something of `len` items.
    pub fn index(&self, len: usize) -> usize {
        usize::try_from(self.below(len as u64)).unwrap_or(0)
    }

    /// Whether one throw in `n` comes up.
    pub fn one_in(&self, n: u64) -> bool {
        self.below(n) == 0
    }

    /// Returns one of `items`, which must not be empty.
    pub fn pick<'a, T>(&self, items: &'a [T]) -> &'a T {
        items.get(self.index(items.len())).expect("something to pick from")
    }

    /// Returns `len` bytes.
    pub fn bytes(&self, len: usize) -> Vec<u8> {
        std::iter::repeat_with(|| self.next().to_le_bytes()).flatten().take(len).collect()
    }
}
