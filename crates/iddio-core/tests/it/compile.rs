//! What must not compile, with the words the compiler says it in.
//!
//! The messages are those of the toolchain the workspace names. After an upgrade they are written
//! anew with `TRYBUILD=overwrite` and read before they are committed.

#[test]
fn what_must_not_compile_does_not() {
    trybuild::TestCases::new().compile_fail("tests/compile_fail/*.rs");
}
