//! The child of one command: where it lies, what it sees, as whom it runs.
//!
//! INVARIANT: everything that is shown to a child is in its [`Base`], a directory made for this command
//! alone, or is the system's, to read. The base goes with the command.

use std::{
    collections::BTreeSet,
    fs, io,
    os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt},
    path::{Component, Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use iddio_exec::reach::Reach;
use iddio_spawn::{
    Environment, RequestError,
    sandbox::{
        Content, Ids, Network, Place, Resources, SYSTEM_DIRECTORIES, Sandbox, Source, system_places,
    },
};
use rustix::fs::{AtFlags, Gid, Uid, chownat};

use crate::config::{Bounds, Uids};

/// The directory of one command, removed with it.
#[derive(Debug)]
pub(crate) struct Base {
    root: PathBuf,
    /// What the caller calls the top of its tree.
    tree: PathBuf,
    /// Whom the child runs as. Given back after the directory is gone.
    lease: Lease,
}

/// The users that runs are started as.
#[derive(Clone, Debug)]
pub(crate) struct Pool(Option<Arc<Free>>);

#[derive(Debug)]
struct Free {
    uids: Uids,
    taken: Mutex<BTreeSet<u32>>,
}

/// A user that nobody else has for now, or the one of this process.
#[derive(Debug)]
pub(crate) struct Lease {
    of: Option<(Arc<Free>, u32)>,
}

// === impl Pool ===

impl Pool {
    /// Takes the users of a range; without one, children run as the user of this process.
    pub(crate) fn of(uids: Option<Uids>) -> Self {
        let free = |uids| Arc::new(Free { uids, taken: Mutex::default() });
        Self(uids.map(free))
    }

    /// Takes a user.
    pub(crate) fn lease(&self) -> io::Result<Lease> {
        let Some(free) = &self.0 else { return Ok(Lease { of: None }) };
        let mut taken = free.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let Uids { first, count } = free.uids;
        let mut all = first..first.saturating_add(count);
        let uid = all.find(|uid| !taken.contains(uid));
        let uid = uid.ok_or_else(|| io::Error::other("no user is free to run it as"))?;
        taken.insert(uid);
        Ok(Lease { of: Some((free.clone(), uid)) })
    }
}

// === impl Lease ===

impl Lease {
    fn ids(&self) -> Ids {
        match &self.of {
            Some((_, uid)) => Ids::Drop { uid: *uid, gid: *uid },
            None => Ids::Own,
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some((free, uid)) = &self.of {
            free.taken.lock().unwrap_or_else(PoisonError::into_inner).remove(uid);
        }
    }
}

// === impl Base ===

impl Base {
    /// Makes the directory of a command below `runs`.
    pub(crate) fn make(runs: &Path, name: &str, tree: PathBuf, lease: Lease) -> io::Result<Self> {
        let root = runs.join(name);
        fs::DirBuilder::new().mode(0o700).create(&root)?;
        let base = Self { root, tree, lease };
        for name in [WORK, RUNS, HOME] {
            fs::DirBuilder::new().mode(0o700).create(base.root.join(name))?;
        }
        Ok(base)
    }

    /// Where the copy of the caller's tree lies.
    pub(crate) fn work(&self) -> PathBuf {
        self.root.join(WORK)
    }

    /// Where the gateway puts what it makes for this command.
    pub(crate) fn runs(&self) -> PathBuf {
        self.root.join(RUNS)
    }

    /// The home of the child: nothing is in it.
    pub(crate) fn home(&self) -> PathBuf {
        self.root.join(HOME)
    }

    /// Makes a file that has no name, where the runs are.
    pub(crate) fn unnamed_file(&self) -> io::Result<fs::File> {
        use rustix::fs::{Mode, OFlags, open};
        let flags = OFlags::RDWR | OFlags::TMPFILE | OFlags::CLOEXEC;
        let place = self.root.parent().unwrap_or(&self.root);
        match open(place, flags, Mode::RUSR | Mode::WUSR) {
            Ok(file) => Ok(fs::File::from(file)),
            // Not every file system has such files.
            Err(_) => {
                let path = self.root.join(BACK);
                let mut options = fs::File::options();
                let file = options.read(true).write(true).create_new(true).open(&path)?;
                fs::remove_file(path)?;
                Ok(file)
            }
        }
    }

    /// What of the caller's files may be looked at: the copy.
    pub(crate) fn reach(&self) -> Reach {
        Reach::Within {
            roots: vec![self.root.clone()],
            called: self.tree.clone(),
            copy: self.work(),
        }
    }

    /// Makes everything in it the child's.
    pub(crate) fn give(&self) -> io::Result<()> {
        let Some((_, uid)) = &self.lease.of else { return Ok(()) };
        let (user, group) = (Uid::from_raw(*uid), Gid::from_raw(*uid));
        let mut waiting = vec![self.root.clone()];
        while let Some(path) = waiting.pop() {
            let metadata = fs::symlink_metadata(&path)?;
            // A file of another name elsewhere is not ours to give.
            if !metadata.is_dir() && metadata.nlink() != 1 {
                continue;
            }
            chownat(rustix::fs::CWD, &path, Some(user), Some(group), AtFlags::SYMLINK_NOFOLLOW)?;
            if metadata.is_dir() {
                for entry in fs::read_dir(&path)? {
                    waiting.push(entry?.path());
                }
            }
        }
        Ok(())
    }

    /// Returns what confines the child.
    pub(crate) fn sandbox(
        &self,
        visible: &[PathBuf],
        network: Network,
        given: Vec<Place>,
        limits: Bounds,
    ) -> Sandbox {
        let mut places = system_places();
        places.extend(visible.iter().map(Place::read_only));
        // Under its own name, since words may name it, and under the name that the caller knows.
        places.push(Place::writable(&self.root));
        if is_placeable(&self.tree) {
            let work = Content::Writable(Source::demanded(self.work()));
            places.push(Place::new(&self.tree, work));
        }
        places.extend(given);
        let resources = Resources {
            memory_bytes_max: Some(limits.memory_bytes()),
            processes_max: limits.processes,
            file_bytes_max: Some(FILE_BYTES_MAX),
            ..Resources::usual()
        };
        let host_name = "iddio".to_owned();
        Sandbox { ids: self.lease.ids(), places, network, resources, host_name }
    }

    /// Returns where the child starts that the gateway starts in `directory`.
    pub(crate) fn directory(&self, directory: &Path) -> PathBuf {
        match is_placeable(&self.tree) {
            true => self.reach().called(directory),
            false => directory.to_owned(),
        }
    }

    /// Whether the child sees the program at `path` where it lies.
    pub(crate) fn shows(&self, path: &Path, visible: &[PathBuf]) -> Shown {
        let shown = SYSTEM_DIRECTORIES.iter().map(Path::new);
        let mut shown = shown.chain(visible.iter().map(PathBuf::as_path)).chain([&*self.root]);
        match shown.any(|place| path.starts_with(place)) {
            true => Shown::Yes,
            false => Shown::No,
        }
    }
}

impl Drop for Base {
    fn drop(&mut self) {
        remove(&self.root);
    }
}

/// Removes a directory of a run's, which may have closed parts of it. Best effort: what is left is removed
/// when the broker starts.
pub(crate) fn remove(root: &Path) {
    if fs::remove_dir_all(root).is_ok() {
        return;
    }
    let mut waiting = vec![root.to_owned()];
    while let Some(path) = waiting.pop() {
        let is_directory = fs::symlink_metadata(&path).is_ok_and(|found| found.is_dir());
        if !is_directory || fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).is_err() {
            continue;
        }
        let entries = fs::read_dir(&path).into_iter().flatten().flatten();
        waiting.extend(entries.map(|entry| entry.path()));
    }
    let _ = fs::remove_dir_all(root);
}

/// Whether a child sees something.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Shown {
    No,
    Yes,
}

/// Returns the environment of a child: what the gateway built, what it may not choose itself, and what it
/// is given for this run.
pub(crate) fn environment(
    built: &Environment,
    home: &Path,
    directory: &Path,
    given: &[(String, String)],
    without: &[&str],
) -> Result<Environment, RequestError> {
    let fixed = FIXED.map(|(name, value)| (name.to_owned(), value.into()));
    let own = [("HOME".to_owned(), home.into()), ("PWD".to_owned(), directory.into())];
    let given = given.iter().map(|(name, value)| (name.clone(), value.into()));
    let set: Vec<(String, std::ffi::OsString)> =
        fixed.into_iter().chain(own).chain(given).collect();
    let mut environment = Environment::empty();
    for (name, value) in built.iter() {
        // A home that the gateway made for this run alone is as good.
        if without.iter().any(|left| name == *left) {
            continue;
        }
        let made = name == "HOME" && Path::new(value) != home && value.len() > 1;
        if made || !set.iter().any(|(other, _)| name == other.as_str()) {
            environment.set(name, value)?;
        }
    }
    for (name, value) in set {
        if environment.value(name.as_ref()).is_none() {
            environment.set(name, value)?;
        }
    }
    Ok(environment)
}

/// Whether a copy can be shown under this name without covering what programs need.
fn is_placeable(tree: &Path) -> bool {
    let plain = tree.components().skip(1).all(|part| matches!(part, Component::Normal(_)));
    let needed = SYSTEM_DIRECTORIES.iter().chain(&["/proc", "/dev", "/sys", "/run", "/tmp"]);
    tree.is_absolute()
        && plain
        && tree.components().count() > 1
        && !needed.into_iter().any(|needed| Path::new(needed).starts_with(tree))
        && !["/proc", "/dev", "/sys"].iter().any(|special| tree.starts_with(special))
}

const WORK: &str = "work";
const RUNS: &str = "runs";
const HOME: &str = "home";
const BACK: &str = "back";

/// Nothing waits for keys that nobody sees, and nothing opens a shell from a pager or an editor (E10).
const FIXED: [(&str, &str); 10] = [
    ("AWS_PAGER", ""),
    ("EDITOR", "false"),
    ("GIT_EDITOR", "false"),
    ("GIT_PAGER", "cat"),
    ("KUBE_EDITOR", "false"),
    ("LESSSECURE", "1"),
    ("MANPAGER", "cat"),
    ("PAGER", "cat"),
    ("TMPDIR", "/tmp"),
    ("VISUAL", "false"),
];

/// The most that one file of a run may hold.
const FILE_BYTES_MAX: u64 = 4 << 30;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_run_closed_is_removed_all_the_same_and_nothing_behind_its_links() {
        let place = tempfile::tempdir().unwrap();
        let (root, outside) = (place.path().join("root"), place.path().join("outside"));
        fs::create_dir_all(root.join("a/b")).unwrap();
        fs::create_dir(&outside).unwrap();
        fs::write(outside.join("kept"), "kept").unwrap();
        fs::write(root.join("a/b/file"), "x").unwrap();
        std::os::unix::fs::symlink(&outside, root.join("a/link")).unwrap();
        for path in ["a/b", "a"] {
            fs::set_permissions(root.join(path), fs::Permissions::from_mode(0o000)).unwrap();
        }
        remove(&root);
        assert!(!root.exists() && outside.join("kept").exists());
    }

    #[test]
    fn no_two_runs_are_one_user_and_there_are_no_more_than_there_are() {
        let pool = Pool::of(Some(Uids { first: 70_000, count: 2 }));
        let (one, two) = (pool.lease().unwrap(), pool.lease().unwrap());
        assert_ne!(one.ids(), two.ids());
        assert!(pool.lease().is_err());
        drop(one);
        assert!(pool.lease().is_ok());
    }

    #[test]
    fn a_tree_covers_nothing_that_programs_need() {
        for tree in
            ["/", "/usr", "/etc", "/proc/1", "/dev/shm", "/run", "/tmp", "relative", "/a/../b"]
        {
            assert!(!is_placeable(Path::new(tree)), "{tree}");
        }
        for tree in ["/home/ada/work", "/srv", "/usr/src/x", "/tmp/x", "/var/lib/x"] {
            assert!(is_placeable(Path::new(tree)), "{tree}");
        }
    }
}
