//! Runs the target `sql` under libFuzzer.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| iddio_fuzz_wrappers::run("sql", data));
