//! What was signed for: one line for each record, written and synced before the signature leaves.
//!
//! INVARIANT: a record that was spent is spent for good. Whatever the ledger cannot tell counts as
//! spent: a number at or below the floor, a half line, a disk that failed once.
//!
//! It does not grow for ever: records of more than five minutes are refused anyway, so a long ledger
//! is set aside, and its highest number is the floor of the next.

use std::{
    collections::HashSet,
    fs::{self, File},
    io::{Read, Seek, SeekFrom, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use rustix::fs::OFlags;

/// What was signed for.
#[derive(Debug)]
pub struct Ledger {
    dir: PathBuf,
    file: File,
    bytes: u64,
    spent: HashSet<u64>,
    floor: Option<u64>,
    enrolled: Enrolled,
    health: Health,
}

/// Whether an approver's entry was ever signed on this host.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Enrolled {
    /// Never.
    Nobody,
    /// One was.
    Somebody,
}

/// What a record was spent on.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Spending {
    /// A registry entry.
    Registry,
    /// An SSH certificate.
    Ssh,
    /// A client certificate.
    X509,
}

/// Nothing may be signed for a record.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SpendError {
    /// Something was already, or nobody can tell.
    #[error("something was signed for this record already")]
    Spent,
    /// It could not be written down.
    #[error("it cannot be written down: {0}")]
    Io(#[from] std::io::Error),
    /// An earlier write failed, so nothing is written any more.
    #[error("an earlier write failed; nothing is signed until the signer is started anew")]
    Failed,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Health {
    Failed,
    Sound,
}

// === impl Ledger ===

impl Ledger {
    /// Opens the ledger in `dir`, or begins it.
    ///
    /// # Errors
    ///
    /// When it cannot be read, or holds something else.
    pub fn open(dir: &Path) -> std::io::Result<Self> {
        let path = dir.join(NAME);
        let mut options = File::options();
        options.read(true).append(true).create(true).mode(0o600);
        let mut file = options.custom_flags(OFlags::NOFOLLOW.bits().cast_signed()).open(&path)?;
        let mut text = String::new();
        file.read_to_string(&mut text)?;
        // What follows the last newline was never synced, so nothing was signed for it.
        let whole = text.rfind('\n').map_or(0, |end| end + 1);
        file.set_len(whole as u64)?;
        file.sync_all()?;
        sync_directory(dir)?;
        let mut own = Self {
            dir: dir.to_owned(),
            file,
            bytes: whole as u64,
            spent: HashSet::new(),
            floor: None,
            enrolled: Enrolled::Nobody,
            health: Health::Sound,
        };
        for line in text.get(..whole).unwrap_or_default().lines() {
            let read = own.take_down(line);
            read.ok_or_else(|| std::io::Error::other(format!("`{line}` is no line of a ledger")))?;
        }
        Ok(own)
    }

    /// Whether an entry of an approver was ever signed here.
    pub fn enrolled(&self) -> Enrolled {
        self.enrolled
    }

    /// Spends record `seq`: it is written down and synced when this returns.
    ///
    /// # Errors
    ///
    /// When it was spent before, or cannot be written down.
    pub fn spend(&mut self, seq: u64, on: Spending) -> Result<(), SpendError> {
        if self.health == Health::Failed {
            return Err(SpendError::Failed);
        }
        if self.floor.is_some_and(|floor| seq <= floor) || self.spent.contains(&seq) {
            return Err(SpendError::Spent);
        }
        let line = format!("{} {seq}\n", on.name());
        // From here on only a sync that succeeds makes it sound again: what a failed one lost stays
        // lost, whatever a later one says.
        self.health = Health::Failed;
        self.file.write_all(line.as_bytes())?;
        self.file.sync_data()?;
        self.health = Health::Sound;
        self.bytes += line.len() as u64;
        let _known = self.take_down(line.trim_end());
        if BYTES_MAX <= self.bytes {
            self.health = Health::Failed;
            self.begin_anew()?;
            self.health = Health::Sound;
        }
        Ok(())
    }

    fn take_down(&mut self, line: &str) -> Option<()> {
        let (word, number) = line.split_once(' ')?;
        let number = number.parse().ok().filter(|n: &u64| n.to_string() == number)?;
        match word {
            "floor" => self.floor = self.floor.max(Some(number)),
            "enrolled" => self.enrolled = Enrolled::Somebody,
            "registry" => {
                self.enrolled = Enrolled::Somebody;
                self.spent.insert(number);
            }
            "ssh" | "x509" => {
                self.spent.insert(number);
            }
            _ => return None,
        }
        Some(())
    }

    /// Replaces a long ledger by one that says no more than its floor.
    fn begin_anew(&mut self) -> std::io::Result<()> {
        let floor = self.spent.iter().copied().max().max(self.floor).unwrap_or_default();
        let mut text = format!("floor {floor}\n");
        if self.enrolled == Enrolled::Somebody {
            text.push_str("enrolled 0\n");
        }
        let mut file = replace(&self.dir, NAME, text.as_bytes())?;
        file.seek(SeekFrom::End(0))?;
        self.spent.clear();
        (self.file, self.bytes, self.floor) = (file, text.len() as u64, Some(floor));
        Ok(())
    }
}

// === impl Spending ===

impl Spending {
    const fn name(self) -> &'static str {
        match self {
            Self::Registry => "registry",
            Self::Ssh => "ssh",
            Self::X509 => "x509",
        }
    }
}

/// Replaces the file `name` in `dir`, whole or not at all, and returns it open. It is durable when this
/// returns.
pub(crate) fn replace(dir: &Path, name: &str, content: &[u8]) -> std::io::Result<File> {
    let fresh = dir.join(format!("{name}.new"));
    let mut options = File::options();
    options.read(true).write(true).create(true).truncate(true).mode(0o600);
    let mut file = options.custom_flags(OFlags::NOFOLLOW.bits().cast_signed()).open(&fresh)?;
    file.write_all(content)?;
    file.sync_all()?;
    fs::rename(&fresh, dir.join(name))?;
    sync_directory(dir)?;
    Ok(file)
}

/// Makes what was created or renamed in `dir` durable.
fn sync_directory(dir: &Path) -> std::io::Result<()> {
    File::open(dir)?.sync_all()
}

const NAME: &str = "ledger";

/// When a ledger is begun anew: about a million records.
const BYTES_MAX: u64 = 16 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_spent_once_whatever_it_is_spent_on_and_also_by_the_next_signer() {
        let dir = tempfile::tempdir().unwrap();
        let mut ledger = Ledger::open(dir.path()).unwrap();
        ledger.spend(7, Spending::Ssh).unwrap();
        assert!(matches!(ledger.spend(7, Spending::X509), Err(SpendError::Spent)));
        drop(ledger);
        let mut ledger = Ledger::open(dir.path()).unwrap();
        assert!(matches!(ledger.spend(7, Spending::Registry), Err(SpendError::Spent)));
        assert_eq!(ledger.enrolled(), Enrolled::Nobody);
        ledger.spend(8, Spending::Registry).unwrap();
        assert_eq!(Ledger::open(dir.path()).unwrap().enrolled(), Enrolled::Somebody);
    }

    #[test]
    fn a_half_line_was_not_signed_for_and_a_strange_one_stops_everything() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(NAME), "ssh 1\nssh 2").unwrap();
        let mut ledger = Ledger::open(dir.path()).unwrap();
        assert!(matches!(ledger.spend(1, Spending::Ssh), Err(SpendError::Spent)));
        ledger.spend(2, Spending::Ssh).unwrap();
        for strange in ["ssh\n", "ssh 01\n", "sign 1\n", "ssh 1 2\n", "\n"] {
            fs::write(dir.path().join(NAME), strange).unwrap();
            assert!(Ledger::open(dir.path()).is_err(), "{strange:?}");
        }
    }

    #[test]
    fn a_ledger_begun_anew_forgets_nothing_that_could_be_signed_for() {
        let dir = tempfile::tempdir().unwrap();
        let mut ledger = Ledger::open(dir.path()).unwrap();
        ledger.spend(40, Spending::Registry).unwrap();
        ledger.begin_anew().unwrap();
        for mut ledger in [ledger, Ledger::open(dir.path()).unwrap()] {
            assert_eq!(ledger.enrolled(), Enrolled::Somebody);
            for old in [0, 39, 40] {
                assert!(matches!(ledger.spend(old, Spending::Ssh), Err(SpendError::Spent)));
            }
        }
        let mut ledger = Ledger::open(dir.path()).unwrap();
        ledger.spend(41, Spending::Ssh).unwrap();
        let mut ledger = Ledger::open(dir.path()).unwrap();
        assert!(matches!(ledger.spend(41, Spending::Ssh), Err(SpendError::Spent)));
    }

    #[test]
    fn a_write_that_fails_is_the_last() {
        let dir = tempfile::tempdir().unwrap();
        let mut ledger = Ledger::open(dir.path()).unwrap();
        ledger.file = File::open("/dev/null").unwrap();
        assert!(matches!(ledger.spend(1, Spending::Ssh), Err(SpendError::Io(_))));
        ledger.file = File::options().write(true).open("/dev/null").unwrap();
        assert!(matches!(ledger.spend(2, Spending::Ssh), Err(SpendError::Failed)));
    }
}
