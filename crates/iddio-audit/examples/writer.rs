//! A writer to be killed: appends operations to a log and tells its parent what was acknowledged.
//!
//! `writer DIR FIRST_ID COUNT THREADS`; for tests only. `IDDIO_TEST_KILL=before:7` (or `after:7`, or
//! `tear:7`) ends it by SIGKILL at the seventh operation on the disk. Every acknowledgement is a
//! line on standard output: seq, id, hash.

use std::{
    env,
    io::Write,
    path::PathBuf,
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
};

use iddio_audit::{Disk, Fault, Faults, Log, Op};
use rustix::process::{Signal, getpid, kill_process};

#[path = "../tests/it/kit.rs"]
#[expect(dead_code, reason = "the tests use all of it")]
#[expect(clippy::unwrap_used, reason = "a helper of tests")]
mod kit;

/// Ends this process at one operation.
struct Kill {
    how: String,
    left: AtomicU64,
}

impl Faults for Kill {
    fn before(&self, op: Op) -> Fault {
        if self.left.fetch_sub(1, Ordering::Relaxed) != 1 {
            return Fault::None;
        }
        match (self.how.as_str(), op) {
            ("tear", Op::Append | Op::Overwrite) => {
                self.left.store(u64::MAX, Ordering::Relaxed);
                Fault::Tear(37)
            }
            ("after", _) => {
                self.left.store(u64::MAX, Ordering::Relaxed);
                Fault::None
            }
            _ => die(),
        }
    }

    fn after(&self, _: Op) {
        if u64::MAX - 64 < self.left.load(Ordering::Relaxed) {
            die();
        }
    }
}

fn die() -> Fault {
    let _ = kill_process(getpid(), Signal::KILL);
    loop {
        thread::park();
    }
}

fn main() -> ExitCode {
    let mut args = env::args_os().skip(1);
    let mut number = || args.next().and_then(|arg| arg.to_str()?.parse::<u64>().ok());
    let dir = env::args_os().nth(1).map(PathBuf::from);
    number();
    let (Some(dir), Some(first), Some(count), Some(threads)) = (dir, number(), number(), number())
    else {
        return ExitCode::from(64);
    };
    let mut options = kit::options();
    options.segment_bytes = 16 << 10;
    if let Ok(kill) = env::var("IDDIO_TEST_KILL")
        && let Some((how, at)) = kill.split_once(':')
    {
        let left = AtomicU64::new(at.parse().unwrap_or(1));
        options.disk = Disk::with(Arc::new(Kill { how: how.to_owned(), left }));
    }
    let log = match Log::open(&dir, options) {
        Ok(log) => log,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::FAILURE;
        }
    };
    let sound = thread::scope(|scope| {
        let work = |thread| {
            let log = &log;
            scope.spawn(move || operate(log, u128::from(first + thread * count), count))
        };
        let workers: Vec<_> = (0..threads).map(work).collect();
        workers.into_iter().all(|worker| worker.join().is_ok_and(|done| done.is_ok()))
    });
    if sound { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Asks, decides and closes, `count` times. Every third ask is left to the next appender.
fn operate(log: &Log, first: u128, count: u64) -> Result<(), ()> {
    let tell = |entry| match kit::append(log, &entry) {
        Ok(receipt) => {
            let line = format!("{} {} {}\n", receipt.seq(), receipt.id(), receipt.hash());
            std::io::stdout().write_all(line.as_bytes()).map(|()| receipt).map_err(|_| ())
        }
        Err(error) => {
            eprintln!("{error}");
            Err(())
        }
    };
    for id in (first..).step_by(1).take(usize::try_from(count).unwrap_or_default()) {
        let _ = tell(kit::asked(id))?;
        if id % 3 == 0 {
            continue;
        }
        let decided = tell(kit::allowed(id))?;
        if id % 3 == 1 {
            let _ = tell(kit::closed(id, decided.seq()))?;
        }
    }
    Ok(())
}
