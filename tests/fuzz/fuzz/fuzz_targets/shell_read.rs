//! Runs the target `shell_read` under libFuzzer.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| iddio_fuzz_wrappers::run("shell_read", data));
