//! Runs the target `exec_ignore` under libFuzzer.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| iddio_fuzz_wrappers::run("exec_ignore", data));
