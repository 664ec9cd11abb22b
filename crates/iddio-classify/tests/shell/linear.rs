//! Work grows in line with a text, whatever the text.
//!
//! What is counted is the tree, which takes a step of the reader for every node, and the steps of
//! the walk.

use std::thread;

use iddio_classify::shell::{Cost, cost, read};
use iddio_core::tier::Tier;

use crate::{families::families, visit::visit};

#[test]
fn a_tree_has_no_more_nodes_than_its_text_has_bytes() {
    on_a_big_stack(|| {
        for kib in SIZES {
            for (name, text) in families(kib * 1024) {
                let mut nodes = 0;
                if let Ok(script) = read(&text) {
                    visit(&script, &mut |_| nodes += 1);
                }
                assert!(nodes <= text.len() + 1, "{name}: {nodes} nodes of {} bytes", text.len());
            }
        }
    });
}

#[test]
fn steps_of_the_walk_grow_in_line_with_the_text() {
    on_a_big_stack(|| {
        let mut walked = 0;
        let mut exhausted = 0;
        let costs = |kib: usize| -> Vec<(&'static str, Cost)> {
            families(kib * 1024).into_iter().map(|(name, text)| (name, cost(&text))).collect()
        };
        let mut before = costs(SIZES[0]);
        for kib in &SIZES[1..] {
            let after = costs(*kib);
            for ((name, small), (_, large)) in before.iter().zip(&after) {
                let (Some(few), Some(many)) = (small.steps, large.steps) else {
                    // The steps are what bounds it, and who runs out of them gets nothing.
                    assert_eq!(large.tier, Tier::BreakGlass, "{name} of {kib} KiB");
                    exhausted += 1;
                    continue;
                };
                walked += usize::from(100 < many);
                assert!(many <= few * 5 / 2 + 1_000, "{name} of {kib} KiB: {few} steps, {many}");
            }
            before = after;
        }
        assert!(200 < walked, "only {walked} texts were walked at all");
        assert!(0 < exhausted && exhausted < walked, "{exhausted} of {walked}");
    });
}

fn on_a_big_stack(check: impl FnOnce() + Send + 'static) {
    thread::Builder::new().stack_size(STACK).spawn(check).unwrap().join().unwrap();
}

const SIZES: [usize; 4] = [8, 16, 32, 64];

const STACK: usize = 64 * 1024 * 1024;
