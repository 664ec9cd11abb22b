//! The head of the chain: where the next record goes, and what it follows.

use crate::{digest::Digest, json};

/// The place of the next record.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Head {
    seq: u64,
    prev: Option<Digest>,
}

impl Head {
    /// The place of the first record, which follows nothing.
    pub const GENESIS: Self = Self { seq: 0, prev: None };

    /// Returns the place after the record `seq` with `hash`.
    pub fn after(seq: u64, hash: Digest) -> Self {
        Self { seq: seq.saturating_add(1), prev: Some(hash) }
    }

    /// The `seq` the next record takes; also, how many records there are.
    pub fn seq(&self) -> u64 {
        self.seq
    }

    /// The hash of the last record, if there is one.
    pub fn prev(&self) -> Option<Digest> {
        self.prev
    }

    /// Appends what the next record's `prev_hash` says.
    pub fn write_prev(&self, out: &mut Vec<u8>) {
        match &self.prev {
            Some(hash) => json::write_hex(out, hash.as_bytes()),
            None => out.extend_from_slice(GENESIS_WORD),
        }
    }
}

/// The `prev_hash` of the first record.
pub const GENESIS_WORD: &[u8] = b"genesis";
