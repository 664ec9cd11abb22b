//! The Merkle tree over the records (RFC 6962, section 2), and what its proofs prove.
//!
//! The data of leaf `n` are the 32 bytes of the `hash` of record `n`. That hash covers all of the
//! record, so a leaf stands for its whole line, and a tree is as cheap as one block of SHA-256 more
//! for each record.

use sha2::{Digest as _, Sha256};

use crate::digest::Digest;

/// Complete subtrees of a tree, by height and place.
pub trait Subtrees {
    /// Why a subtree could not be had.
    type Error;

    /// Returns the root of the `place`-th complete subtree of `1 << height` leaves.
    fn subtree(&mut self, height: u32, place: u64) -> Result<Digest, Self::Error>;
}

/// The root of a growing tree, in memory that grows with the logarithm of its size.
#[derive(Clone, Debug, Default)]
pub struct Frontier {
    size: u64,
    /// The roots of the complete subtrees that the size is made of, the largest first.
    peaks: Vec<Digest>,
}

/// Returns the hash of a leaf.
pub fn leaf(record_hash: &Digest) -> Digest {
    let mut hasher = Sha256::new();
    hasher.update([0]);
    hasher.update(record_hash.as_bytes());
    Digest::from_bytes(hasher.finalize().into())
}

/// Returns the hash of a node over two others.
pub fn node(left: &Digest, right: &Digest) -> Digest {
    let mut hasher = Sha256::new();
    hasher.update([1]);
    hasher.update(left.as_bytes());
    hasher.update(right.as_bytes());
    Digest::from_bytes(hasher.finalize().into())
}

/// Returns the root of the empty tree.
pub fn empty_root() -> Digest {
    Digest::of_bytes(b"")
}

// === impl Frontier ===

impl Frontier {
    /// Adds the next leaf.
    pub fn push(&mut self, leaf: Digest) {
        let mut grown = leaf;
        // As many subtrees become complete as the size has low bits set.
        for _ in 0..self.size.trailing_ones() {
            if let Some(left) = self.peaks.pop() {
                grown = node(&left, &grown);
            }
        }
        self.peaks.push(grown);
        self.size += 1;
    }

    /// How many leaves there are.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The root.
    pub fn root(&self) -> Digest {
        let mut peaks = self.peaks.iter().rev();
        let Some(last) = peaks.next() else { return empty_root() };
        peaks.fold(*last, |right, left| node(left, &right))
    }
}

/// Returns the root over the first `size` leaves.
///
/// # Errors
///
/// When a subtree cannot be had.
pub fn root<S: Subtrees>(trees: &mut S, size: u64) -> Result<Digest, S::Error> {
    match size {
        0 => Ok(empty_root()),
        _ => range(trees, 0, size),
    }
}

/// Returns the proof that leaf `place` is among the first `size` leaves: the siblings on the way to
/// the root, the nearest first.
///
/// # Errors
///
/// When a subtree cannot be had.
pub fn inclusion<S: Subtrees>(
    trees: &mut S,
    place: u64,
    size: u64,
) -> Result<Vec<Digest>, S::Error> {
    let (mut low, mut high) = (0, size);
    let mut path = Vec::new();
    while 1 < high - low {
        let middle = low + split(high - low);
        if place < middle {
            path.push(range(trees, middle, high)?);
            high = middle;
        } else {
            path.push(range(trees, low, middle)?);
            low = middle;
        }
    }
    path.reverse();
    Ok(path)
}

/// Returns the proof that the tree of `old` leaves is the beginning of that of `new` leaves.
///
/// # Errors
///
/// When a subtree cannot be had.
pub fn consistency<S: Subtrees>(
    trees: &mut S,
    old: u64,
    new: u64,
) -> Result<Vec<Digest>, S::Error> {
    let (mut low, mut high) = (0, new);
    let mut path = Vec::new();
    if old == 0 || new <= old {
        return Ok(path);
    }
    while old != high {
        let middle = low + split(high - low);
        if old <= middle {
            path.push(range(trees, middle, high)?);
            high = middle;
        } else {
            path.push(range(trees, low, middle)?);
            low = middle;
        }
    }
    // The verifier knows the old root itself, unless the old tree is only a part of what is left.
    if low != 0 {
        path.push(range(trees, low, high)?);
    }
    path.reverse();
    Ok(path)
}

/// Whether `path` proves that `leaf` is the leaf `place` of the tree of `size` leaves with `root`
/// (RFC 9162, section 2.1.3.2).
pub fn includes(leaf: Digest, place: u64, size: u64, path: &[Digest], root: &Digest) -> Proof {
    if size <= place {
        return Proof::Fails;
    }
    let (mut at, mut last, mut hash) = (place, size - 1, leaf);
    for sibling in path {
        if last == 0 {
            return Proof::Fails;
        }
        if at & 1 == 1 || at == last {
            hash = node(sibling, &hash);
            while at & 1 == 0 && at != 0 {
                (at, last) = (at >> 1, last >> 1);
            }
        } else {
            hash = node(&hash, sibling);
        }
        (at, last) = (at >> 1, last >> 1);
    }
    Proof::of(last == 0 && hash == *root)
}

/// Whether `path` proves that the tree of `old` leaves with `old_root` is the beginning of the tree
/// of `new` leaves with `new_root` (RFC 9162, section 2.1.4.2).
pub fn extends(old: u64, old_root: &Digest, new: u64, new_root: &Digest, path: &[Digest]) -> Proof {
    if old == 0 || new <= old {
        let same = old == 0 || (old == new && old_root == new_root);
        return Proof::of(same && path.is_empty());
    }
    let (mut at, mut last) = (old - 1, new - 1);
    while at & 1 == 1 {
        (at, last) = (at >> 1, last >> 1);
    }
    let mut path = path.iter();
    let first = if old.is_power_of_two() { Some(*old_root) } else { path.next().copied() };
    let Some(first) = first else { return Proof::Fails };
    let (mut before, mut after) = (first, first);
    for sibling in path {
        if last == 0 {
            return Proof::Fails;
        }
        if at & 1 == 1 || at == last {
            before = node(sibling, &before);
            after = node(sibling, &after);
            while at & 1 == 0 && at != 0 {
                (at, last) = (at >> 1, last >> 1);
            }
        } else {
            after = node(&after, sibling);
        }
        (at, last) = (at >> 1, last >> 1);
    }
    Proof::of(last == 0 && before == *old_root && after == *new_root)
}

/// Whether a proof proves.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[must_use]
pub enum Proof {
    /// It does not.
    Fails,
    /// It does.
    Holds,
}

// === impl Proof ===

impl Proof {
    fn of(holds: bool) -> Self {
        if holds { Self::Holds } else { Self::Fails }
    }
}

/// Returns the root over the leaves `[low, high)`, of which there is at least one. `low` is a multiple
/// of the greatest power of two that is at most their number.
fn range<S: Subtrees>(trees: &mut S, low: u64, high: u64) -> Result<Digest, S::Error> {
    let count = high - low;
    if count.is_power_of_two() {
        let height = count.trailing_zeros();
        return trees.subtree(height, low >> height);
    }
    let middle = low + split(count);
    let left = range(trees, low, middle)?;
    let right = range(trees, middle, high)?;
    Ok(node(&left, &right))
}

/// Returns the greatest power of two less than `count`, which is at least two.
fn split(count: u64) -> u64 {
    let below = count.saturating_sub(1);
    1 << (63 - below.max(1).leading_zeros())
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    /// Every leaf in memory.
    struct Leaves(Vec<Digest>);

    impl Subtrees for Leaves {
        type Error = Infallible;

        fn subtree(&mut self, height: u32, place: u64) -> Result<Digest, Infallible> {
            let start = (place << height) as usize;
            let mut frontier = Frontier::default();
            self.0[start..start + (1 << height)].iter().for_each(|leaf| frontier.push(*leaf));
            Ok(frontier.root())
        }
    }

    fn leaves(count: u64) -> Leaves {
        let own = |n: u64| leaf(&Digest::of_bytes(&n.to_le_bytes()));
        Leaves((0..count).map(own).collect())
    }

    fn of(leaves: &mut Leaves, size: u64) -> Digest {
        let Ok(root) = root(leaves, size);
        root
    }

    #[test]
    fn the_roots_are_those_of_rfc_6962() {
        // Leaf data of the reference vectors do not have 32 bytes, so the nodes are checked alone:
        // the empty root, and one tree written out by hand.
        let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(empty_root().to_hex(), empty);
        let mut three = leaves(3);
        let [a, b, c] = [three.0[0], three.0[1], three.0[2]];
        assert_eq!(of(&mut three, 3), node(&node(&a, &b), &c));
    }

    #[test]
    fn every_proof_of_every_small_tree_holds_and_proves_nothing_else() {
        for size in 1..=33 {
            let mut trees = leaves(size);
            let root = of(&mut trees, size);
            for place in 0..size {
                let Ok(path) = inclusion(&mut trees, place, size);
                let own = trees.0[place as usize];
                assert_eq!(includes(own, place, size, &path, &root), Proof::Holds);
                let other = leaf(&Digest::of_bytes(b"other"));
                assert_eq!(includes(other, place, size, &path, &root), Proof::Fails);
                assert_eq!(
                    includes(own, (place + 1) % size, size, &path, &root) == Proof::Holds,
                    size == 1
                );
                assert_eq!(
                    includes(own, place, size, &[&path[..], &[own]].concat(), &root),
                    Proof::Fails
                );
            }
            for old in 1..=size {
                let old_root = of(&mut trees, old);
                let Ok(path) = consistency(&mut trees, old, size);
                assert_eq!(
                    extends(old, &old_root, size, &root, &path),
                    Proof::Holds,
                    "{old} {size}"
                );
                let wrong = node(&old_root, &root);
                assert_eq!(extends(old, &wrong, size, &root, &path), Proof::Fails);
                assert_eq!(extends(old, &old_root, size, &wrong, &path), Proof::Fails);
            }
        }
    }

    #[test]
    fn a_frontier_has_the_root_of_its_tree() {
        let mut trees = leaves(200);
        let mut frontier = Frontier::default();
        for size in 1..=200 {
            frontier.push(trees.0[size as usize - 1]);
            assert_eq!((frontier.size(), frontier.root()), (size, of(&mut trees, size)));
        }
    }
}
