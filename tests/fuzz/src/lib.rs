//! Every parser as a fuzz target, callable on stable Rust.
