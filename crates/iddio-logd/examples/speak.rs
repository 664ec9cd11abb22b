//! A client of the log service, to be run as any user, and to be killed. For tests only.
//!
//! `speak SOCKET KEEPER MODE FIRST COUNT THREADS`: `gateway` states operations of an agent and tells
//! each acknowledgement as a line: seq, id, hash; `own` does so as the user it is, named by
//! `IDDIO_TEST_USER`; `refused` states refusals of that user; `hold` leaves its operations open and waits to be killed; `read` prints what it
//! may read; `squat` listens at SOCKET itself. With `IDDIO_TEST_PATIENT` set, it waits for a service that
//! is away.

use std::{
    env,
    io::{Read, Write},
    os::unix::net::UnixListener,
    path::PathBuf,
    process::ExitCode,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use iddio_audit::remote::Remote;
use iddio_core::{
    audit::{AuditSink, Body, DecisionRecord, Durability, Entry},
    principal::{Principal, PrincipalId, PrincipalKind, Proof},
};

#[path = "../../iddio-audit/tests/it/kit.rs"]
#[expect(dead_code, reason = "the tests use all of it")]
#[expect(clippy::unwrap_used, reason = "a helper of tests")]
mod kit;

fn main() -> ExitCode {
    let words: Vec<String> = env::args().skip(1).collect();
    let [socket, keeper, mode, first, count, threads] = words.as_slice() else {
        return ExitCode::from(64);
    };
    let number = |word: &String| word.parse::<u64>().unwrap_or_default();
    let socket = PathBuf::from(socket);
    let sink = Remote::at(&socket, u32::try_from(number(keeper)).unwrap_or_default());
    let (first, count, threads) = (number(first), number(count), number(threads));
    let done = match mode.as_str() {
        "hold" => hold(&sink, first, count),
        "read" => match sink.read(0) {
            Ok((lines, _)) => std::io::stdout().write_all(&lines).map_err(|e| e.to_string()),
            Err(error) => Err(error.to_string()),
        },
        "squat" => squat(&socket),
        mode => {
            let own = match mode {
                "own" => Some(kit::allowed as fn(u128) -> Entry),
                "refused" => Some(denied as fn(u128) -> Entry),
                _ => None,
            };
            let sink = &sink;
            thread::scope(|scope| {
                let work = |thread| {
                    scope.spawn(move || {
                        operate(sink, u128::from(first + thread * count), count, own)
                    })
                };
                let workers: Vec<_> = (0..threads).map(work).collect();
                let results: Vec<_> =
                    workers.into_iter().map(thread::ScopedJoinHandle::join).collect();
                results
                    .into_iter()
                    .try_for_each(|done| done.unwrap_or_else(|_| Err("panic".into())))
            })
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// Makes an entry that becomes the user's own.
type Own = fn(u128) -> Entry;

fn denied(id: u128) -> Entry {
    kit::denied(id, "nobody-yet")
}

/// Asks, decides and closes, `count` times.
fn operate(sink: &Remote, first: u128, count: u64, own: Option<Own>) -> Result<(), String> {
    for id in (first..).take(usize::try_from(count).unwrap_or_default()) {
        let decided = own.map_or_else(|| kit::allowed(id), |entry| own_entry(entry(id)));
        if own.is_none() && id % 2 == 0 {
            let _ = tell(sink, &kit::asked(id))?;
        }
        let seq = tell(sink, &decided)?;
        if matches!(&decided.body, Body::Decided(record) if record.refusal.is_some()) {
            continue;
        }
        let _ = tell(sink, &kit::closed_as(&decided, id, seq))?;
    }
    Ok(())
}

fn hold(sink: &Remote, first: u64, count: u64) -> Result<(), String> {
    for id in first..first + count {
        let _ = tell(sink, &kit::allowed(u128::from(id)))?;
    }
    loop {
        thread::park();
    }
}

/// States an entry. A patient client states it again where the answer was definite: nothing is stored,
/// since nobody was there to be asked.
fn tell(sink: &Remote, entry: &Entry) -> Result<u64, String> {
    let until =
        Instant::now() + env::var_os("IDDIO_TEST_PATIENT").map_or(Duration::ZERO, |_| PATIENCE);
    let receipt = loop {
        match kit::wait(sink.append(entry, Durability::Sync)) {
            Ok(receipt) => break receipt,
            Err(error) => {
                let error = error.to_string();
                if !error.contains(" is away (") || until <= Instant::now() {
                    return Err(error);
                }
                thread::yield_now();
            }
        }
    };
    let line = format!("{} {} {}\n", receipt.seq(), receipt.id(), receipt.hash());
    std::io::stdout().write_all(line.as_bytes()).map_err(|error| error.to_string())?;
    Ok(receipt.seq())
}

/// Makes an entry one of the user this runs as.
fn own_entry(mut entry: Entry) -> Entry {
    let name = env::var("IDDIO_TEST_USER").unwrap_or_default();
    if let (Body::Decided(record), Some(name)) =
        (&entry.body, PrincipalId::new(&format!("local:{name}")))
    {
        let mut record = DecisionRecord::clone(record);
        record.subject.principal = Principal {
            id: name,
            kind: PrincipalKind::Human,
            delegation: Vec::new(),
            proof: Proof::UnixUser,
            groups: Vec::new(),
            tenant: None,
            task: None,
        };
        entry.body = Body::Decided(Arc::new(record));
    }
    entry
}

fn squat(socket: &PathBuf) -> Result<(), String> {
    let listener = UnixListener::bind(socket).map_err(|error| error.to_string())?;
    println!("listening");
    for stream in listener.incoming() {
        let mut heard = Vec::new();
        let _ = stream.map(|mut stream| stream.read_to_end(&mut heard));
        println!("{}", heard.len());
    }
    Ok(())
}

/// How long a patient client waits for a service that is being started again.
const PATIENCE: Duration = Duration::from_secs(60);
