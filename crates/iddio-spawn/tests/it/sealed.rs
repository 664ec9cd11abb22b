//! Sealed inputs: nobody changes them, their owner included.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::fd::AsFd;

use iddio_spawn::{SealedInput, SpoolError};
use rustix::fs::{
    FallocateFlags, SealFlags, fallocate, fcntl_add_seals, fcntl_get_seals, ftruncate,
};
use sha2::{Digest, Sha256};

#[test]
fn nothing_changes_a_sealed_input() {
    let input = SealedInput::of(b"approved").unwrap();
    let seals = fcntl_get_seals(&input).unwrap();
    assert!(
        seals.contains(SealFlags::WRITE | SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL)
    );

    File::from(input.as_fd().try_clone_to_owned().unwrap()).write_all(b"x").unwrap_err();
    // Opened for writing it may be, written to it is not.
    if let Ok(mut again) = OpenOptions::new().read(true).write(true).open(input.path()) {
        again.write_all(b"x").unwrap_err();
        ftruncate(&again, 0).unwrap_err();
        ftruncate(&again, 100).unwrap_err();
        fallocate(&again, FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE, 0, 1)
            .unwrap_err();
        fcntl_add_seals(&again, SealFlags::FUTURE_WRITE).unwrap_err();
    }
    OpenOptions::new().write(true).truncate(true).open(input.path()).unwrap_err();
    assert_eq!(std::fs::read(input.path()).unwrap(), b"approved");
}

#[test]
fn every_reader_starts_at_the_first_byte() {
    let input = SealedInput::of(b"approved").unwrap();
    for _ in 0..2 {
        let mut text = String::new();
        File::from(input.reader().unwrap()).read_to_string(&mut text).unwrap();
        assert_eq!(text, "approved");
        assert_eq!(std::fs::read_to_string(input.path()).unwrap(), "approved");
    }
}

#[test]
fn spooling_hashes_what_it_keeps_and_has_a_limit() {
    let content: Vec<u8> = (0..300_000_u32).flat_map(u32::to_le_bytes).collect();
    let length = content.len() as u64;
    for (bytes_max, fits) in [(length, true), (length + 1, true), (length - 1, false), (0, false)] {
        match SealedInput::spool(content.as_slice(), bytes_max) {
            Ok(input) => {
                assert!(fits, "{bytes_max}");
                assert_eq!(
                    (input.bytes(), input.sha256()),
                    (length, Sha256::digest(&content).into())
                );
                assert_eq!(std::fs::read(input.path()).unwrap(), content);
            }
            Err(SpoolError::TooLong { bytes_max: limit }) => {
                assert!(!fits && limit == bytes_max, "{bytes_max}")
            }
            Err(error) => panic!("{error}"),
        }
    }
    assert_eq!(SealedInput::of(b"").unwrap().bytes(), 0);
}
