//! The recordings of one home: a directory of files, and who may open one more.
//!
//! INVARIANT: the directory is the user's own, and neither it nor a file in it is open to anybody else.
//! A recording is opened only while there is room for it: on the disk, with a reserve that is left to
//! the log, and in the quota of all recordings. Nothing is deleted to make room, or else whoever fills
//! the disk would choose what is forgotten.

use std::{
    collections::HashMap,
    fs::{self, File},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError, atomic::Ordering},
    thread::JoinHandle,
    time::{Duration, Instant, SystemTime},
};

use iddio_core::{
    audit::DecisionRecord,
    json::{INT_MAX, Value},
    operation::OperationId,
    policy::Recorded,
    principal::PrincipalId,
    recording::{MetadataOnly, Recorder, Recording},
    redact,
    text::RawText,
    time::{Clock, Timestamp},
};
use rustix::fs::{Mode, OFlags};

use crate::{
    format::MAGIC,
    redact::{body::Exchange, masked},
    track::{Scrub, Track},
    writer::{Handle, STALL_MAX, Shared, Target},
};

/// The recordings of a home, open for more.
pub struct Store {
    dir: PathBuf,
    limits: Limits,
    clock: Arc<dyn Clock>,
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
    /// How many bytes there were when it was opened.
    before: u64,
    /// The file that each principal's exchanges go to now.
    exchanges: Mutex<HashMap<PrincipalId, Shelf>>,
}

/// How much may be recorded.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Limits {
    /// Bytes of one operation, as stored.
    pub recording_bytes: u64,
    /// Bytes of all recordings.
    pub all_bytes: u64,
    /// Bytes that are left free on the disk.
    pub reserve_bytes: u64,
}

/// Records sessions, whatever policy says: one file each.
#[derive(Clone)]
pub struct Sessions(Arc<Store>);

/// Records exchanges where policy wants it: one file for each principal, until it was idle for [`IDLE_MAX`].
#[derive(Clone)]
pub struct Exchanges(Arc<Store>);

/// Where the exchanges of a principal go.
struct Shelf {
    target: Arc<Target>,
    used: Instant,
    open: Arc<()>,
}

/// An exchange that is recorded, which keeps its file in use.
struct Exchanging {
    handle: Box<Handle>,
    _open: Arc<()>,
}

// === impl Limits ===

impl Limits {
    /// The limits of a gateway.
    pub const GATEWAY: Self = Self {
        recording_bytes: RECORDING_BYTES_MAX,
        all_bytes: ALL_BYTES_MAX,
        reserve_bytes: RESERVE_BYTES,
    };
}

// === impl Store ===

impl Store {
    /// Opens the recordings in `dir`, making the directory on first use.
    ///
    /// # Errors
    ///
    /// When it cannot be made, or is not the user's own and closed to others.
    pub fn open(dir: PathBuf, limits: Limits, clock: Arc<dyn Clock>) -> io::Result<Arc<Self>> {
        match fs::DirBuilder::new().mode(0o700).create(&dir) {
            Ok(()) => sync_directory(dir.parent().unwrap_or(&dir))?,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
        check(&dir)?;
        let before = size_of_all(&dir)?;
        let (shared, threads) = Shared::start(limits.recording_bytes, STALL_MAX)?;
        let exchanges = Mutex::default();
        Ok(Arc::new(Self { dir, limits, clock, shared, threads, before, exchanges }))
    }

    /// The recorder of sessions.
    pub fn sessions(self: &Arc<Self>) -> Sessions {
        Sessions(self.clone())
    }

    /// The recorder of exchanges.
    pub fn exchanges(self: &Arc<Self>) -> Exchanges {
        Exchanges(self.clone())
    }

    /// Whether there is room for one more.
    fn room(&self) -> io::Result<()> {
        let all = self.before + self.shared.written.load(Ordering::Relaxed);
        // Some may have been removed since: they are counted before it is said that there is no room.
        if self.limits.all_bytes <= all && self.limits.all_bytes <= size_of_all(&self.dir)? {
            return Err(full("recordings take as much as they may: iddio sessions prune"));
        }
        let disk = rustix::fs::statvfs(&self.dir)?;
        if disk.f_bavail.saturating_mul(disk.f_frsize) < self.limits.reserve_bytes {
            return Err(full("the disk has no more than its reserve"));
        }
        Ok(())
    }

    /// Makes the file of a recording.
    fn make(&self, recording: OperationId) -> io::Result<Arc<Target>> {
        let path = path(&self.dir, recording);
        let flags =
            OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mut file = File::from(rustix::fs::open(&path, flags, Mode::RUSR | Mode::WUSR)?);
        let begun = file.write_all(MAGIC).and_then(|()| sync_directory(&self.dir));
        if let Err(error) = begun {
            // Best effort: an empty file is no recording of anything.
            let _ = fs::remove_file(&path);
            return Err(error);
        }
        Ok(Arc::new(Target::new(recording, file, MAGIC.len() as u64)))
    }

    /// Returns the file that the next exchange of a principal goes to.
    fn shelf(&self, id: OperationId, principal: &PrincipalId) -> io::Result<Shelf> {
        let mut shelves = self.exchanges.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        shelves.retain(|_, shelf| shelf.in_use(now));
        let fits = |shelf: &&mut Shelf| {
            shelf.target.length().is_some_and(|bytes| bytes < self.limits.recording_bytes)
        };
        if let Some(shelf) = shelves.get_mut(principal).filter(fits) {
            shelf.used = now;
            return Ok(shelf.again());
        }
        let shelf = Shelf { target: self.make(id)?, used: now, open: Arc::new(()) };
        let again = shelf.again();
        shelves.insert(principal.clone(), shelf);
        Ok(again)
    }

    fn begin(
        &self,
        id: OperationId,
        decided: &DecisionRecord,
        form: &'static str,
        scrub: Scrub,
        target: Arc<Target>,
    ) -> io::Result<Handle> {
        let title = title(id, decided, form, self.clock.now().wall);
        self.shared.begin(Track::new(id, scrub), title, target)
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        self.shared.stop();
        for thread in self.threads.drain(..) {
            // A writer that panicked has written what it could.
            let _ = thread.join();
        }
    }
}

// === impl Sessions ===

impl Recorder for Sessions {
    fn open(&self, id: OperationId, decided: &DecisionRecord) -> io::Result<Box<dyn Recording>> {
        let Self(store) = self;
        store.room()?;
        let target = store.make(id)?;
        let scrub = Scrub::Session(Box::default());
        let handle = store.begin(id, decided, SESSION, scrub, target)?;
        Ok(Box::new(handle))
    }
}

// === impl Exchanges ===

impl Recorder for Exchanges {
    fn open(&self, id: OperationId, decided: &DecisionRecord) -> io::Result<Box<dyn Recording>> {
        if decided.decision.obligations.record == Recorded::Metadata {
            return MetadataOnly.open(id, decided);
        }
        let Self(store) = self;
        store.room()?;
        let resources = decided.subject.operations.iter();
        let resource = resources.filter_map(|operation| operation.description.resource.as_deref());
        let resource = resource.collect::<Vec<_>>().join(" ");
        let scrub = Scrub::Exchange(Box::new(Exchange::new(&resource)));
        let shelf = store.shelf(id, &decided.subject.principal.id)?;
        let handle = store.begin(id, decided, EXCHANGE, scrub, shelf.target)?;
        Ok(Box::new(Exchanging { handle: Box::new(handle), _open: shelf.open }))
    }
}

// === impl Shelf ===

impl Shelf {
    fn again(&self) -> Self {
        Self { target: self.target.clone(), used: self.used, open: self.open.clone() }
    }

    /// Whether more goes to it: somebody writes, or did lately.
    fn in_use(&self, now: Instant) -> bool {
        1 < Arc::strong_count(&self.open) || now.duration_since(self.used) < IDLE_MAX
    }
}

// === impl Exchanging ===

impl Recording for Exchanging {
    fn frame(&mut self, channel: iddio_core::recording::Channel, bytes: &[u8]) -> io::Result<()> {
        self.handle.frame(channel, bytes)
    }

    fn poll_room(
        &mut self,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<io::Result<()>> {
        self.handle.poll_room(context)
    }

    fn seal(self: Box<Self>) -> io::Result<Option<iddio_core::recording::Sealed>> {
        let Self { handle, _open } = *self;
        handle.seal()
    }
}

/// Returns where a recording is.
pub fn path(dir: &Path, recording: OperationId) -> PathBuf {
    dir.join(format!("{recording}.{EXTENSION}"))
}

/// Returns the recordings in `dir`, with their sizes and when they were last written, oldest first.
///
/// # Errors
///
/// When the directory cannot be read. One that is not there holds none.
pub fn list(dir: &Path) -> io::Result<Vec<(OperationId, u64, SystemTime)>> {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_str().and_then(|name| name.strip_suffix(EXTENSION)?.strip_suffix('.'));
        let Some(recording) = name.and_then(OperationId::from_hex) else { continue };
        match entry.metadata() {
            Ok(metadata) if metadata.is_file() => {
                found.push((recording, metadata.len(), metadata.modified()?));
            }
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    found.sort_by_key(|(recording, _, at)| (*at, recording.0));
    Ok(found)
}

/// Returns the recordings that nobody has written to for longer than `age`.
///
/// # Errors
///
/// When the directory cannot be read.
pub fn old(dir: &Path, age: Duration) -> io::Result<Vec<OperationId>> {
    let old = |at: &SystemTime| at.elapsed().is_ok_and(|since| age < since);
    Ok(list(dir)?.into_iter().filter(|(.., at)| old(at)).map(|(recording, ..)| recording).collect())
}

/// Removes recordings. Whoever does so says so on record first.
///
/// # Errors
///
/// When one cannot be removed.
pub fn remove(dir: &Path, recordings: &[OperationId]) -> io::Result<()> {
    for recording in recordings {
        match fs::remove_file(path(dir, *recording)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
    }
    sync_directory(dir)
}

/// Says what an operation is, without its secrets.
fn title(id: OperationId, decided: &DecisionRecord, form: &str, at: Timestamp) -> Value {
    let subject = &decided.subject;
    let text = |name: &str, text: &str| (name.to_owned(), Value::text(short(text)));
    let mut members = vec![
        text("agent", subject.principal.id.as_str()),
        ("at".to_owned(), Value::Int(at.0.min(INT_MAX))),
        text("began", &at.to_string()),
        text("form", form),
        text("operation", &id.to_string()),
    ];
    if let Some(parent) = subject.parent {
        members.push(text("parent", &parent.to_string()));
    }
    let worst = subject.operations.worst();
    let about = &worst.description;
    let told = [
        ("command", &about.command),
        ("method", &about.method),
        ("namespace", &about.namespace),
        ("path", &about.path),
        ("resource", &about.resource),
    ];
    for (name, told) in told {
        if let Some(told) = told {
            let clean = redact::url(told.as_bytes());
            let clean = masked(&clean).unwrap_or_else(|| told.as_bytes().to_vec());
            members.push(text(name, &String::from_utf8_lossy(&clean)));
        }
    }
    if !about.argv.is_empty() {
        let words = redact::argv(&about.argv);
        let words = words.iter().map(|word| {
            let plain = || word.render(&mut |_, _| String::new());
            let word = masked(word).map_or_else(plain, RawText::new);
            Value::text(short(&String::from_utf8_lossy(word.as_bytes())))
        });
        members.push(("argv".to_owned(), Value::Array(words.take(ARGV_MAX).collect())));
    }
    Value::Object(members)
}

/// The beginning of what the record in the chain has whole.
fn short(text: &str) -> String {
    text.chars().take(TEXT_CHARS_MAX).collect()
}

fn check(dir: &Path) -> io::Result<()> {
    let found = fs::symlink_metadata(dir)?;
    let own = found.uid() == rustix::process::geteuid().as_raw();
    match found.is_dir() && own && found.mode() & 0o077 == 0 {
        true => Ok(()),
        false => Err(io::Error::new(
            io::ErrorKind::PermissionDenied,
            "the directory of recordings is not one that is yours alone",
        )),
    }
}

fn size_of_all(dir: &Path) -> io::Result<u64> {
    Ok(list(dir)?.iter().map(|(_, bytes, _)| bytes).sum())
}

fn sync_directory(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

fn full(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::StorageFull, why)
}

/// How long a principal may be idle before its exchanges begin a new recording.
pub const IDLE_MAX: Duration = Duration::from_secs(5 * 60);

/// The most one recording takes: a day of a busy terminal is a hundredth of it.
pub const RECORDING_BYTES_MAX: u64 = 1 << 30;

/// The most all recordings take, until somebody says which may go.
pub const ALL_BYTES_MAX: u64 = 64 << 30;

/// What recordings leave free on the disk: the log has to be able to say that they stopped.
pub const RESERVE_BYTES: u64 = 256 << 20;

/// The most words of a command that a title repeats; the record in the chain has them all.
const ARGV_MAX: usize = 64;

/// The most characters of each of them. A title stays below what a block may hold.
const TEXT_CHARS_MAX: usize = 512;

/// What a title calls a session.
pub(crate) const SESSION: &str = "session";

/// What a title calls an exchange.
pub(crate) const EXCHANGE: &str = "exchange";

/// How the names of recordings end.
const EXTENSION: &str = "iddiorec";
