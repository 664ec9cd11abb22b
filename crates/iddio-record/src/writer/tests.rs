//! Disks that are full, slow, or do not answer.

use std::{fs::OpenOptions, path::Path, task::Wake};

use iddio_testkit::poll_once;

use super::*;
use crate::{format::MAGIC, track::Scrub};

const PATIENT: Duration = Duration::from_secs(600);

fn target(path: &Path) -> Arc<Target> {
    let file = OpenOptions::new().create(true).truncate(false).write(true).open(path).unwrap();
    Arc::new(Target::new(OperationId(7), file, MAGIC.len() as u64))
}

fn begin(shared: &Arc<Shared>, id: u128, target: &Arc<Target>) -> io::Result<Handle> {
    let track = Track::new(OperationId(id), Scrub::Session(Box::default()));
    shared.begin(track, Value::Object(Vec::new()), target.clone())
}

/// Wakes the thread that waits.
struct Unpark(thread::Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Waits for a future that another thread makes ready.
fn block_on<T>(future: impl Future<Output = T>) -> T {
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut future = std::pin::pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(ready) => return ready,
            Poll::Pending => thread::park(),
        }
    }
}

async fn room(handle: &mut Handle) -> io::Result<()> {
    std::future::poll_fn(|context| handle.poll_room(context)).await
}

#[test]
fn k23_a_recording_that_cannot_be_begun_is_not_opened() {
    let (shared, _) = Shared::start(1 << 30, PATIENT).unwrap();
    let error = begin(&shared, 1, &target(Path::new("/dev/full"))).unwrap_err();
    assert!(error.to_string().contains("No space left"), "{error}");
    shared.stop();
}

#[test]
fn k23_a_disk_that_fills_up_fails_every_recording_in_its_file() {
    let dir = tempfile::tempdir().unwrap();
    let (shared, _) = Shared::start(1 << 30, PATIENT).unwrap();
    let target = target(&dir.path().join("a"));
    let mut one = begin(&shared, 1, &target).unwrap();
    let other = begin(&shared, 2, &target).unwrap();
    lock(&target.end).failed = Some("No space left on device".to_owned());
    one.frame(Channel::Stdout, &[b'x'; WRITE_BYTES]).unwrap();
    let why = "No space left on device";
    assert_eq!(Box::new(other).seal().unwrap_err().to_string(), why);
    // The writer has come to the first one as well: they were of one batch, or it was before.
    assert_eq!(Box::new(one).seal().unwrap_err().to_string(), why);
    shared.stop();
}

#[test]
fn a_slow_disk_makes_whoever_forwards_wait_and_loses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (shared, _) = Shared::start(1 << 30, PATIENT).unwrap();
    let target = target(&dir.path().join("a"));
    let mut handle = begin(&shared, 1, &target).unwrap();
    let disk = lock(&target.end);
    let mut taken = 0;
    while poll_once(std::pin::pin!(room(&mut handle))).is_ready() {
        handle.frame(Channel::Stdout, &[b'x'; 1 << 16]).unwrap();
        taken += 1;
    }
    assert_eq!(taken, BUFFER_BYTES_MAX >> 16);
    drop(disk);
    block_on(room(&mut handle)).unwrap();
    assert!(
        BUFFER_BYTES_MAX as u64 <= {
            let sealed = Box::new(handle).seal().unwrap().unwrap();
            // It packs well.
            sealed.bytes * 200
        }
    );
    shared.stop();
}

#[test]
fn whoever_never_asks_for_room_is_refused_at_last() {
    let dir = tempfile::tempdir().unwrap();
    let (shared, _) = Shared::start(1 << 30, PATIENT).unwrap();
    let target = target(&dir.path().join("a"));
    let mut handle = begin(&shared, 1, &target).unwrap();
    let disk = lock(&target.end);
    let piece = vec![0; 1 << 20];
    let taken = (0..1000).take_while(|_| handle.frame(Channel::Stdout, &piece).is_ok()).count();
    assert!(taken <= HELD_BYTES_MAX >> 20, "{taken}");
    drop(disk);
    shared.stop();
}

#[test]
fn k23_a_disk_that_does_not_answer_is_told_to_whoever_waits() {
    let dir = tempfile::tempdir().unwrap();
    let (shared, _) = Shared::start(1 << 30, Duration::from_millis(50)).unwrap();
    let target = target(&dir.path().join("a"));
    let mut handle = begin(&shared, 1, &target).unwrap();
    let disk = lock(&target.end);
    while poll_once(std::pin::pin!(room(&mut handle))).is_ready() {
        if handle.frame(Channel::Stdout, &[b'x'; 1 << 16]).is_err() {
            break;
        }
    }
    let error = block_on(room(&mut handle)).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    assert!(handle.frame(Channel::Stdout, b"more").is_err());
    drop(disk);
    shared.stop();
}

#[test]
fn a_recording_that_is_as_long_as_one_may_be_takes_no_more_and_is_sealed() {
    let dir = tempfile::tempdir().unwrap();
    let (shared, _) = Shared::start(64, PATIENT).unwrap();
    let target = target(&dir.path().join("a"));
    let mut handle = begin(&shared, 1, &target).unwrap();
    let error = handle.frame(Channel::Stdout, b"x").unwrap_err();
    assert_eq!(error.to_string(), LONG);
    assert!(Box::new(handle).seal().unwrap().is_some());
    shared.stop();
}
