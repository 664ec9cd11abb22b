//! Everything that is not cargo: test, ci, tidy, bench, torture.

fn main() {}
