//! Runs the target `exec_say` under libFuzzer.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| iddio_fuzz_wrappers::run("exec_say", data));
