//! The one thread that writes, and what waits for it.
//!
//! Frames are taken into memory and written by a thread of their own, at the latest a second later. What
//! waits is bounded: whoever forwards asks for room and pauses until there is some. A disk that does not
//! take a write, or does not come back from one, fails the recordings it concerns; their next frame says
//! so, and so does whoever waits for room (threat K23, fault F11).
//!
//! INVARIANT: what a seal vouches for was synced before it is returned.

use std::{
    collections::HashMap,
    fs::File,
    io,
    os::unix::fs::FileExt,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, Waker},
    thread,
    time::{Duration, Instant},
};

use iddio_core::{
    json::Value,
    operation::OperationId,
    recording::{Channel, Recording, Sealed},
};

use crate::track::{Raw, Track};

/// What the writer and those who give it work share.
#[derive(Debug)]
pub(crate) struct Shared {
    state: Mutex<State>,
    /// There is work.
    work: Condvar,
    /// Work was done.
    done: Condvar,
    /// The threads are to end.
    stop: Condvar,
    /// How long one recording may be.
    bytes_max: u64,
    /// How long the disk may take.
    stall: Duration,
    /// How many bytes were written by this process.
    pub(crate) written: AtomicU64,
}

/// A file that is written.
#[derive(Debug)]
pub(crate) struct Target {
    /// Which recording it is.
    pub(crate) recording: OperationId,
    file: File,
    end: Mutex<Extent>,
}

/// How far a file goes.
#[derive(Debug)]
struct Extent {
    bytes: u64,
    failed: Option<String>,
    unsynced: Option<Instant>,
}

/// A recording in progress.
#[derive(Debug)]
pub(crate) struct Handle {
    shared: Arc<Shared>,
    key: u64,
    began: Instant,
}

#[derive(Debug, Default)]
struct State {
    slots: HashMap<u64, Slot>,
    next: u64,
    /// What waits or is being written.
    bytes: usize,
    wakers: Vec<Waker>,
    /// Since when the writer waits for the disk.
    writing: Option<Instant>,
    stopped: Stopped,
}

#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
enum Stopped {
    #[default]
    No,
    Yes,
}

/// A recording, as far as the writer has not come to it.
#[derive(Debug)]
struct Slot {
    raw: Raw,
    since: Option<Instant>,
    wanted: Wanted,
    begun: Option<Box<(Track, Value, Arc<Target>)>>,
    /// What became of what was wanted last.
    result: Option<Result<Sealed, String>>,
    failed: Option<String>,
    length: Length,
}

/// Whether a recording may grow.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Length {
    Fits,
    Full,
}

/// What the owner of a recording waits for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Wanted {
    /// Its title is to be written.
    Begin,
    /// It was dropped.
    Drop,
    /// Nothing in particular.
    Frames,
    /// It is to be sealed.
    Seal,
}

/// What the writer does next for one recording.
struct Job {
    key: u64,
    raw: Raw,
    wanted: Wanted,
    begun: Option<Box<(Track, Value, Arc<Target>)>>,
}

/// What the writer says of a job.
struct Outcome {
    key: u64,
    size: usize,
    wanted: Wanted,
    result: Result<Sealed, String>,
    length: Length,
}

// === impl Target ===

impl Target {
    /// Takes over a file that is empty but for its first `bytes`.
    pub(crate) fn new(recording: OperationId, file: File, bytes: u64) -> Self {
        let end = Mutex::new(Extent { bytes, failed: None, unsynced: None });
        Self { recording, file, end }
    }

    /// How long it is, unless writing it has failed.
    pub(crate) fn length(&self) -> Option<u64> {
        let end = lock(&self.end);
        end.failed.is_none().then_some(end.bytes)
    }

    /// Adds bytes, and returns where they begin.
    fn append(&self, bytes: &[u8]) -> Result<u64, String> {
        let mut end = lock(&self.end);
        if let Some(failed) = &end.failed {
            return Err(failed.clone());
        }
        let offset = end.bytes;
        if let Err(error) = self.file.write_all_at(bytes, offset) {
            // What is half there is no block. If cutting it off fails too, a reader finds it torn.
            let _ = self.file.set_len(offset);
            end.failed = Some(error.to_string());
            return Err(error.to_string());
        }
        end.bytes += bytes.len() as u64;
        end.unsynced.get_or_insert_with(Instant::now);
        Ok(offset)
    }

    /// Makes what was added durable. A sync that failed is never tried again.
    fn sync(&self) -> Result<(), String> {
        let mut end = lock(&self.end);
        if let Some(failed) = &end.failed {
            return Err(failed.clone());
        }
        if end.unsynced.take().is_some()
            && let Err(error) = self.file.sync_data()
        {
            end.failed = Some(error.to_string());
            return Err(error.to_string());
        }
        Ok(())
    }

    fn unsynced(&self) -> Option<Instant> {
        lock(&self.end).unsynced
    }
}

// === impl Shared ===

impl Shared {
    /// Starts the writer.
    pub(crate) fn start(
        bytes_max: u64,
        stall: Duration,
    ) -> io::Result<(Arc<Self>, Vec<thread::JoinHandle<()>>)> {
        let shared = Arc::new(Self {
            state: Mutex::default(),
            work: Condvar::new(),
            done: Condvar::new(),
            stop: Condvar::new(),
            bytes_max,
            stall,
            written: AtomicU64::new(0),
        });
        let (writer, watch) = (shared.clone(), shared.clone());
        let named = |name: &str| thread::Builder::new().name(name.to_owned());
        let writer = named("recordings").spawn(move || writer.write())?;
        let watch = named("recordings-watch").spawn(move || watch.watch())?;
        Ok((shared, vec![writer, watch]))
    }

    /// Lets the threads end once all is written.
    pub(crate) fn stop(&self) {
        lock(&self.state).stopped = Stopped::Yes;
        self.work.notify_all();
        self.stop.notify_all();
    }

    /// Begins a recording, and waits until its title is written.
    pub(crate) fn begin(
        self: &Arc<Self>,
        track: Track,
        title: Value,
        target: Arc<Target>,
    ) -> io::Result<Handle> {
        let key = {
            let mut state = lock(&self.state);
            state.next += 1;
            let key = state.next;
            let slot = Slot {
                raw: Raw::default(),
                since: None,
                wanted: Wanted::Begin,
                begun: Some(Box::new((track, title, target))),
                result: None,
                failed: None,
                length: Length::Fits,
            };
            state.slots.insert(key, slot);
            key
        };
        let handle = Handle { shared: self.clone(), key, began: Instant::now() };
        self.work.notify_all();
        let _title = self.wait(key)?;
        Ok(handle)
    }

    /// Waits until what was wanted of a recording is done.
    fn wait(&self, key: u64) -> io::Result<Sealed> {
        let deadline = Instant::now() + ANSWER_MAX;
        let mut state = lock(&self.state);
        loop {
            match state.slots.get_mut(&key).map(|slot| slot.result.take()) {
                None => return Err(gone()),
                Some(Some(result)) => return result.map_err(io::Error::other),
                Some(None) => {}
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() || state.stalled(self.stall) {
                return Err(stalled());
            }
            let waited = self.done.wait_timeout(state, left.min(LOOK_EVERY));
            (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Writes until there is nothing more to come.
    fn write(&self) {
        let mut tracks: HashMap<u64, (Track, Arc<Target>)> = HashMap::new();
        while let Some(jobs) = self.jobs(&mut tracks) {
            let mut outcomes: Vec<_> =
                jobs.into_iter().map(|job| self.work(job, &mut tracks)).collect();
            for outcome in &mut outcomes {
                let sealing = outcome.wanted == Wanted::Seal && outcome.result.is_ok();
                let target = tracks.get(&outcome.key).map(|(_, target)| target);
                if let Some(Err(error)) =
                    target.filter(|_| sealing).map(|target| self.timed(|| target.sync()))
                {
                    outcome.result = Err(error);
                }
            }
            for (_, target) in tracks.values() {
                if target.unsynced().is_some_and(|since| SYNC_EVERY <= since.elapsed()) {
                    // Whoever writes to it next hears of a failure.
                    let _ = self.timed(|| target.sync());
                }
            }
            self.tell(outcomes, &mut tracks);
        }
    }

    /// Waits for work, and takes all there is. `None` once there will be no more.
    fn jobs(&self, tracks: &mut HashMap<u64, (Track, Arc<Target>)>) -> Option<Vec<Job>> {
        let mut state = lock(&self.state);
        loop {
            let now = Instant::now();
            let stopping = state.stopped == Stopped::Yes;
            let mut jobs = Vec::new();
            let mut soonest: Option<Duration> = None;
            for (key, slot) in &mut state.slots {
                let age = slot.since.map(|since| now.saturating_duration_since(since));
                let ready = slot.wanted != Wanted::Frames
                    || WRITE_BYTES <= slot.raw.size()
                    || age.is_some_and(|age| WRITE_EVERY <= age || stopping);
                if ready && slot.result.is_none() {
                    let wanted = std::mem::replace(&mut slot.wanted, Wanted::Frames);
                    let (raw, begun) = (std::mem::take(&mut slot.raw), slot.begun.take());
                    slot.since = None;
                    jobs.push(Job { key: *key, raw, wanted, begun });
                } else if let Some(age) = age {
                    let left = WRITE_EVERY.saturating_sub(age);
                    soonest = Some(soonest.map_or(left, |soonest| soonest.min(left)));
                }
            }
            if !jobs.is_empty() {
                return Some(jobs);
            }
            if stopping {
                return None;
            }
            let unsynced = tracks.values().filter_map(|(_, target)| target.unsynced());
            let sync = unsynced.map(|since| SYNC_EVERY.saturating_sub(since.elapsed())).min();
            if sync.is_some_and(|left| left.is_zero()) {
                return Some(Vec::new());
            }
            let wait = soonest.into_iter().chain(sync).min().unwrap_or(IDLE_MAX);
            let waited = self.work.wait_timeout(state, wait);
            (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Does one job, all but the sync.
    fn work(&self, job: Job, tracks: &mut HashMap<u64, (Track, Arc<Target>)>) -> Outcome {
        let Job { key, raw, wanted, begun } = job;
        let size = raw.size();
        let mut out = Vec::new();
        if let Some(begun) = begun {
            let (mut track, title, target) = *begun;
            track.title(&title, &mut out);
            tracks.insert(key, (track, target));
        }
        let Some((track, target)) = tracks.get_mut(&key) else {
            let (result, length) = (Err(GONE.to_owned()), Length::Fits);
            return Outcome { key, size, wanted, result, length };
        };
        track.take(&raw, &mut out);
        match wanted {
            Wanted::Seal => track.end(&mut out),
            Wanted::Drop => track.rest(&mut out),
            Wanted::Begin | Wanted::Frames => {}
        }
        let result = match out.is_empty() {
            true => Ok(()),
            false => self.timed(|| target.append(&out)).map(|offset| {
                track.placed(offset, out.len());
                self.written.fetch_add(out.len() as u64, Ordering::Relaxed);
            }),
        };
        let result = result.map(|()| track.sealed(target.recording));
        let length = if track.stored() < self.bytes_max { Length::Fits } else { Length::Full };
        Outcome { key, size, wanted, result, length }
    }

    /// Asks the disk for something, which is watched. What takes time without the disk, such as looking
    /// for secrets, is not.
    fn timed<T>(&self, ask: impl FnOnce() -> T) -> T {
        lock(&self.state).writing = Some(Instant::now());
        let answer = ask();
        lock(&self.state).writing = None;
        answer
    }

    /// Says what became of the jobs, and wakes who waits.
    fn tell(&self, outcomes: Vec<Outcome>, tracks: &mut HashMap<u64, (Track, Arc<Target>)>) {
        let mut state = lock(&self.state);
        for Outcome { key, size, wanted, result, length } in outcomes {
            state.bytes = state.bytes.saturating_sub(size);
            let over = matches!(wanted, Wanted::Seal | Wanted::Drop);
            if over || result.is_err() {
                tracks.remove(&key);
            }
            let Some(slot) = state.slots.get_mut(&key) else { continue };
            slot.length = length;
            if let Err(error) = &result {
                slot.failed = Some(error.clone());
            }
            match wanted {
                Wanted::Drop => {
                    let waits = slot.raw.size();
                    state.slots.remove(&key);
                    state.bytes = state.bytes.saturating_sub(waits);
                }
                Wanted::Begin | Wanted::Seal => {
                    slot.result = Some(result);
                }
                Wanted::Frames => {}
            }
        }
        let wakers = std::mem::take(&mut state.wakers);
        drop(state);
        self.done.notify_all();
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Wakes those who wait for room when the disk does not come back.
    fn watch(&self) {
        let mut state = lock(&self.state);
        while state.stopped == Stopped::No {
            if state.stalled(self.stall) {
                let wakers = std::mem::take(&mut state.wakers);
                wakers.into_iter().for_each(Waker::wake);
            }
            let waited = self.stop.wait_timeout(state, LOOK_EVERY.min(self.stall));
            (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        }
    }
}

// === impl State ===

impl State {
    fn stalled(&self, stall: Duration) -> bool {
        self.writing.is_some_and(|since| stall <= since.elapsed())
    }

    /// Why a recording takes no more, if it does not.
    fn refusal(&self, key: u64, stall: Duration) -> Option<io::Error> {
        let Some(slot) = self.slots.get(&key) else { return Some(gone()) };
        if let Some(failed) = &slot.failed {
            return Some(io::Error::other(failed.clone()));
        }
        (self.stopped == Stopped::Yes).then(gone).or_else(|| self.stalled(stall).then(stalled))
    }

    /// Why a recording takes no more frames, if it does not.
    fn full(&self, key: u64, stall: Duration) -> Option<io::Error> {
        let full = || self.slots.get(&key).is_some_and(|slot| slot.length == Length::Full);
        self.refusal(key, stall).or_else(|| full().then(|| io::Error::other(LONG)))
    }
}

// === impl Handle ===

impl Recording for Handle {
    fn frame(&mut self, channel: Channel, bytes: &[u8]) -> io::Result<()> {
        let micros = u64::try_from(self.began.elapsed().as_micros()).unwrap_or(u64::MAX);
        let mut state = lock(&self.shared.state);
        if let Some(error) = state.full(self.key, self.shared.stall) {
            return Err(error);
        }
        if HELD_BYTES_MAX < state.bytes.saturating_add(bytes.len()) {
            return Err(io::Error::other("more waits to be recorded than may"));
        }
        let Some(slot) = state.slots.get_mut(&self.key) else { return Err(gone()) };
        let before = slot.raw.size();
        slot.raw.push(micros, channel, bytes);
        let (after, first) = (slot.raw.size(), slot.since.is_none());
        if first {
            slot.since = Some(Instant::now());
        }
        state.bytes += after - before;
        drop(state);
        if first || (before < WRITE_BYTES && WRITE_BYTES <= after) {
            self.shared.work.notify_all();
        }
        Ok(())
    }

    fn poll_room(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut state = lock(&self.shared.state);
        if let Some(error) = state.full(self.key, self.shared.stall) {
            return Poll::Ready(Err(error));
        }
        if state.bytes < BUFFER_BYTES_MAX {
            return Poll::Ready(Ok(()));
        }
        state.wakers.push(context.waker().clone());
        Poll::Pending
    }

    fn seal(self: Box<Self>) -> io::Result<Option<Sealed>> {
        {
            let mut state = lock(&self.shared.state);
            if let Some(error) = state.refusal(self.key, self.shared.stall) {
                return Err(error);
            }
            let Some(slot) = state.slots.get_mut(&self.key) else { return Err(gone()) };
            slot.wanted = Wanted::Seal;
        }
        self.shared.work.notify_all();
        self.shared.wait(self.key).map(Some)
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        let mut state = lock(&self.shared.state);
        if let Some(slot) = state.slots.get_mut(&self.key) {
            slot.wanted = Wanted::Drop;
            slot.result = None;
        }
        drop(state);
        self.shared.work.notify_all();
    }
}

fn gone() -> io::Error {
    io::Error::other(GONE)
}

fn stalled() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, "the disk of the recordings does not answer")
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

const GONE: &str = "the recording is over";

const LONG: &str = "the recording is as long as one may be";

/// How much may wait for the disk before whoever forwards pauses.
pub const BUFFER_BYTES_MAX: usize = 8 << 20;

/// How much may wait if nobody asks for room: the buffer, and the longest frame of every protocol.
pub const HELD_BYTES_MAX: usize = BUFFER_BYTES_MAX + (32 << 20);

/// How long frames wait in memory: what a killed process loses.
pub const WRITE_EVERY: Duration = Duration::from_secs(1);

/// How long what is written waits for its sync: what a power cut loses of what is not sealed.
pub const SYNC_EVERY: Duration = Duration::from_secs(5);

/// How long the disk may take before recordings on it count as lost.
pub const STALL_MAX: Duration = Duration::from_secs(10);

/// How many waiting bytes of one recording are written at once.
const WRITE_BYTES: usize = 64 << 10;

/// How long the writer sleeps when nothing at all waits: nothing depends on it.
const IDLE_MAX: Duration = Duration::from_secs(3600);

/// How long a recording waits to be begun or sealed behind others, whose bytes are looked at first.
const ANSWER_MAX: Duration = Duration::from_secs(60);

/// How often it is looked whether the disk answers: a stall is told at most this late.
const LOOK_EVERY: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests;
