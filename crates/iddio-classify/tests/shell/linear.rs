//! Work grows in line with a text, whatever the text.
//!
//! What is counted is the tree, which takes a step of the reader for every node, and the steps of
//! the walk.

use std::thread;

use iddio_classify::shell::{cost, read};

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
        let mut before = families(SIZES[0] * 1024);
        // Without optimisation, the longest take minutes.
        for kib in &SIZES[1..2] {
            let texts = families(kib * 1024);
            for ((name, small), (_, large)) in before.iter().zip(&texts) {
                let ((few, _), (many, _)) = (cost(small), cost(large));
                walked += usize::from(100 < many);
                assert!(many <= few * 5 / 2 + 1_000, "{name} of {kib} KiB: {few} steps, {many}");
            }
            before = texts;
        }
        assert!(50 < walked, "only {walked} texts were walked at all");
    });
}

fn on_a_big_stack(check: impl FnOnce() + Send + 'static) {
    thread::Builder::new().stack_size(STACK).spawn(check).unwrap().join().unwrap();
}

const SIZES: [usize; 4] = [8, 16, 32, 64];

const STACK: usize = 64 * 1024 * 1024;
