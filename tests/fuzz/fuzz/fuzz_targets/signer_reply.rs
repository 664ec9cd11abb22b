//! Runs the target `signer_reply` under libFuzzer.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| iddio_fuzz_wrappers::run("signer_reply", data));
