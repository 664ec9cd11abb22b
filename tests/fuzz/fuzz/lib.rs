//! Finds the target that a wrapper names.

/// Runs the target called `name`.
pub fn run(name: &str, data: &[u8]) {
    let target = iddio_fuzz::targets().iter().find(|(known, _)| *known == name);
    let (_, target) = target.expect("a target of iddio-fuzz");
    target(data);
}
