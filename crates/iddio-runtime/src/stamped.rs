//! What a small file says, kept in memory for as long as the file is the same one.
//!
//! INVARIANT: what is returned is what the file said when it was asked for, or later. One `stat` tells
//! whether the file changed; a stamp so young that another change could bear the same one is not
//! believed, and the file is read again. No look waits for another: there is no lock.

use std::{
    fs::{self, Metadata},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

use arc_swap::ArcSwapOption;

/// A file and what was read of it last.
pub(crate) struct Stamped<T> {
    path: PathBuf,
    read: fn(&Path) -> T,
    seen: ArcSwapOption<Seen<T>>,
}

/// What `stat` says; two equal stamps that are settled are one unchanged file.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Stamp {
    file: (u64, u64, u64),
    changed: (i64, i64),
    modified: (i64, i64),
}

struct Seen<T> {
    stamp: Stamp,
    value: Arc<T>,
}

// === impl Stamped ===

impl<T> Stamped<T> {
    /// Takes the file at `path`, which `read` reads. Nothing is read yet.
    pub(crate) fn new(path: PathBuf, read: fn(&Path) -> T) -> Self {
        Self { path, read, seen: ArcSwapOption::empty() }
    }

    /// Returns what the file says now.
    pub(crate) fn now(&self) -> Arc<T> {
        let stamp = Stamp::of(&self.path);
        if let Some(seen) = &*self.seen.load()
            && stamp == Some(seen.stamp)
        {
            return seen.value.clone();
        }
        let value = Arc::new((self.read)(&self.path));
        let settled = stamp.filter(|stamp| stamp.is_settled(SystemTime::now()));
        let seen = settled.map(|stamp| Arc::new(Seen { stamp, value: value.clone() }));
        self.seen.store(seen);
        value
    }
}

impl<T> std::fmt::Debug for Stamped<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stamped").field("path", &self.path).finish_non_exhaustive()
    }
}

// === impl Stamp ===

impl Stamp {
    /// Looks at the file at `path`; `None` if it cannot be looked at.
    pub(crate) fn of(path: &Path) -> Option<Self> {
        fs::metadata(path).ok().map(|metadata| Self::from(&metadata))
    }

    /// Whether a change from `now` on would show: clocks of files tick up to a hundred times a second.
    pub(crate) fn is_settled(&self, now: SystemTime) -> bool {
        let (seconds, nanos) = self.changed.max(self.modified);
        let since = Duration::from_secs(u64::try_from(seconds).unwrap_or_default());
        let nanos = Duration::from_nanos(u64::try_from(nanos).unwrap_or_default());
        let age = since
            .checked_add(nanos)
            .and_then(|since| now.duration_since(SystemTime::UNIX_EPOCH).ok()?.checked_sub(since));
        age.is_some_and(|age| SETTLED_AFTER < age)
    }
}

impl From<&Metadata> for Stamp {
    fn from(metadata: &Metadata) -> Self {
        Self {
            file: (metadata.dev(), metadata.ino(), metadata.size()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
        }
    }
}

/// When a stamp is believed: two ticks of the slowest clock that kernels stamp files by.
const SETTLED_AFTER: Duration = Duration::from_millis(20);

#[cfg(test)]
mod tests {
    use super::*;

    fn read(path: &Path) -> String {
        fs::read_to_string(path).unwrap_or_default()
    }

    #[test]
    fn whatever_was_written_last_is_what_is_returned() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        let file = Stamped::new(path.clone(), read);
        assert_eq!(*file.now(), "");
        // Of one length, and faster than clocks tick: by stamps alone they look the same.
        for number in 100..999 {
            fs::write(&path, number.to_string()).unwrap();
            assert_eq!(*file.now(), number.to_string());
        }
        fs::remove_file(&path).unwrap();
        assert_eq!(*file.now(), "");
    }

    #[test]
    fn a_settled_file_is_read_once_and_a_young_one_each_time() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        fs::write(&path, "x").unwrap();
        let stamp = Stamp::of(&path).unwrap();
        let at = fs::metadata(&path).unwrap().modified().unwrap();
        assert!(!stamp.is_settled(at) && !stamp.is_settled(at + Duration::from_millis(10)));
        assert!(stamp.is_settled(at + Duration::from_secs(1)));
        assert!(!stamp.is_settled(at - Duration::from_secs(1)), "a clock that went back");
        let past = fs::File::options().write(true).open(&path).unwrap();
        past.set_modified(SystemTime::UNIX_EPOCH).unwrap();
        assert!(!Stamp::of(&path).unwrap().is_settled(at), "its stamp changed all the same");
    }
}
