//! The keys behind commitments: one a day, each in a file of its own.
//!
//! Erasing `commitments/<day>.key` makes every commitment of that day meaningless for good and
//! changes nothing in the log, which still verifies (L06, E28).

use std::{
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use hmac::{Hmac, KeyInit, Mac};
use iddio_core::{
    audit::secret::{Commit, Commitment},
    time::Clock,
};
use rustix::{fs::OFlags, io::Errno};
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::{
    directory::{Directory, FileError, io_error},
    disk::Disk,
    segment,
};

/// Commits under the key of the day.
pub(crate) struct Commitments {
    dir: Directory,
    clock: Arc<dyn Clock>,
    key: Mutex<Option<Key>>,
}

struct Key {
    day: String,
    name: String,
    bytes: Zeroizing<[u8; KEY_BYTES]>,
}

impl Commitments {
    pub(crate) fn new(dir: Directory, clock: Arc<dyn Clock>) -> Self {
        Self { dir, clock, key: Mutex::new(None) }
    }
}

impl Commit for Commitments {
    fn commit(&self, field: &str, bytes: &[u8]) -> Commitment {
        let mut day = self.clock.now().wall.to_string();
        day.truncate(DAY_CHARS);
        // A poisoned key is only a copy of a file: reading it again mends it.
        let mut key = self.key.lock().unwrap_or_else(PoisonError::into_inner);
        let current = key.take().filter(|key| key.day == day);
        let key = key.insert(current.unwrap_or_else(|| key_of(&self.dir, day)));
        Commitment { key: key.name.clone(), mac: mac(&key.bytes, field, bytes) }
    }
}

/// Returns the commitment to `bytes` as `field` under `key`.
fn mac(key: &[u8; KEY_BYTES], field: &str, bytes: &[u8]) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new(key.into());
    mac.update(field.as_bytes());
    mac.update(&[0]);
    mac.update(bytes);
    mac.finalize().into_bytes().into()
}

/// Whether `commitment`, read from a record of the log in `dir`, is to `bytes` as `field`; `None` if its
/// key was erased.
///
/// # Errors
///
/// When the key is there and cannot be read.
pub fn matches(
    dir: &Path,
    commitment: &Commitment,
    field: &str,
    bytes: &[u8],
) -> Result<Option<Matches>, FileError> {
    let keys = Directory::open_to_read(&dir.join(COMMITMENTS))?;
    let key = match read_key(&keys, &commitment.key) {
        Ok(key) => key,
        Err(FileError::Io { errno: Errno::NOENT, .. }) => return Ok(None),
        Err(error) => return Err(error),
    };
    let same = mac(&key, field, bytes) == commitment.mac;
    Ok(Some(if same { Matches::Yes } else { Matches::No }))
}

/// Erases the key of `day`: nobody can check that day's commitments from then on, and nobody can
/// guess what they were to. Returns whether there was one.
///
/// # Errors
///
/// When it cannot be erased.
pub fn erase(dir: &Path, day: &str) -> Result<Erased, FileError> {
    let disk = Disk::default();
    let keys = Directory::open_existing(&dir.join(COMMITMENTS), &disk)?;
    let name = format!("{day}.key");
    let fail = |errno| io_error(&name, errno);
    let file = match keys.file(&name, OFlags::RDWR) {
        Ok(file) => file,
        Err(FileError::Io { errno: Errno::NOENT, .. }) => return Ok(Erased::Absent),
        Err(error) => return Err(error),
    };
    disk.overwrite(&file, &[0; KEY_BYTES], 0).map_err(fail)?;
    disk.sync(&file).map_err(fail)?;
    keys.unlink(&name)?;
    keys.sync()?;
    Ok(Erased::Now)
}

/// Whether a commitment is to a value.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Matches {
    /// It is to another.
    No,
    /// It is.
    Yes,
}

/// Whether a key was erased.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Erased {
    /// There was none.
    Absent,
    /// It was there, and is no longer.
    Now,
}

/// Returns the key of `day`, and makes it if it is not there. If it cannot be stored, a key that
/// nobody keeps: the commitment then hides the value and can never be checked, which is the safe
/// side of the two.
fn key_of(dir: &Directory, day: String) -> Key {
    let stored = read_key(dir, &day).or_else(|error| match error {
        FileError::Io { errno: Errno::NOENT, .. } => make_key(dir, &day),
        other => Err(other),
    });
    match stored {
        Ok(bytes) => Key { name: day.clone(), day, bytes },
        Err(_) => Key { day, name: KEY_LOST.to_owned(), bytes: random_key() },
    }
}

fn read_key(dir: &Directory, day: &str) -> Result<Zeroizing<[u8; KEY_BYTES]>, FileError> {
    let name = format!("{day}.key");
    let fail = |errno| io_error(&name, errno);
    let file = dir.file(&name, OFlags::RDONLY)?;
    let bytes = Zeroizing::new(segment::read(&file, 0, KEY_BYTES as u64).map_err(fail)?);
    match bytes.as_slice().try_into() {
        Ok(key) => Ok(Zeroizing::new(key)),
        Err(_) => Err(fail(Errno::IO)),
    }
}

/// Makes the key of `day` under a name of its own and then gives it the day's: whoever comes second
/// uses the first one's.
fn make_key(dir: &Directory, day: &str) -> Result<Zeroizing<[u8; KEY_BYTES]>, FileError> {
    let key = random_key();
    let suffix = u64::from_le_bytes(random());
    let fresh = format!("{day}.{suffix:016x}.new");
    let file = dir.new_file(&fresh, OFlags::RDWR)?;
    let fail = |errno| io_error(&fresh, errno);
    dir.disk().append(&file, key.as_slice()).map_err(fail)?;
    dir.disk().sync(&file).map_err(fail)?;
    let named = dir.rename_to_new(&fresh, &format!("{day}.key"));
    if named.is_err() {
        dir.unlink(&fresh)?;
    }
    dir.sync()?;
    read_key(dir, day)
}

fn random_key() -> Zeroizing<[u8; KEY_BYTES]> {
    Zeroizing::new(random())
}

/// Draws random bytes. Where the system gives none, nothing here can be kept secret, and the bytes
/// are those of a hasher's random state, which the system seeded when it still could.
pub(crate) fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    if getrandom::fill(&mut bytes).is_err() {
        use std::hash::{BuildHasher, Hasher};
        for byte in &mut bytes {
            *byte = std::hash::RandomState::new().build_hasher().finish() as u8;
        }
    }
    bytes
}

/// One block of SHA-256: the longest key that HMAC uses as it is.
const KEY_BYTES: usize = 64;

/// Where the keys lie, beside the segments.
pub(crate) const COMMITMENTS: &str = "commitments";

/// The characters of a date: `2026-11-20`.
const DAY_CHARS: usize = 10;

/// The name of a key that was never stored.
const KEY_LOST: &str = "lost";
