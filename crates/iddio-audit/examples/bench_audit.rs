//! P5 and P6 of the scoreboard: appending and verifying, against the raw disk and openssl.
//!
//! Prints one JSON object a line. Every ratio is a median of interleaved windows; the reference runs
//! before and after ours in each round. Whether the processors are kept awake is the caller's
//! business and changes every ratio: an idle virtual machine makes a sync one tick.

use std::{
    env,
    fs::{self, OpenOptions},
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use iddio_audit::{
    Disk, Fault, Faults, Log, Op,
    checkpoint::Tree,
    query::{Filter, last},
    verify::verify,
};
use iddio_core::{
    audit::{AuditSink, Durability, checkpoint::CheckpointSigner},
    digest::Digest,
};
use rustix::time::{ClockId, clock_gettime};

#[path = "../tests/it/kit.rs"]
#[expect(dead_code, reason = "the tests use all of it")]
#[expect(clippy::unwrap_used, reason = "a helper of tests")]
mod kit;

/// Counts syncs.
#[derive(Default)]
struct Counting(AtomicU64);

impl Faults for Counting {
    fn before(&self, op: Op) -> Fault {
        if op == Op::Sync {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
        Fault::None
    }
}

/// A row of the table.
struct Row {
    id: &'static str,
    what: String,
    ours: String,
    reference: String,
    ratio: String,
    goal: &'static str,
}

/// What a window of appending came to.
#[derive(Clone, Copy, Default)]
struct Window {
    records: u64,
    syncs: u64,
    seconds: f64,
    cpu_seconds: f64,
}

fn main() {
    let args: Vec<String> = env::args().collect();
    if let [_, child, dir, clients, millis] = args.as_slice()
        && child == "--child"
    {
        let number = |text: &String| text.parse().unwrap_or(1);
        let window = clients_window(Path::new(dir), number(clients), number(millis));
        println!("{} {} {}", window.records, window.syncs, window.cpu_seconds);
        return;
    }
    let home = env::temp_dir().join(format!("iddio-bench-{}", std::process::id()));
    if fs::create_dir(&home).is_ok() {
        append_rows(&home);
        verify_rows(&home);
        let _ = fs::remove_dir_all(&home);
    }
}

fn append_rows(home: &Path) {
    let one = (1, "1 client", "≥ 0.95 ×");
    for (clients, what, goal) in [one, (64, "64 clients", "≥ 20 ×"), (512, "512 clients", "≥ 60 ×")]
    {
        let (window, raw) = rounds(home, |dir| clients_window(dir, clients, WINDOW_MILLIS));
        append_row(format!("append and sync, {what}"), window, raw, goal);
        if clients == 64 {
            say(&Row {
                id: "P5",
                what: format!("records per sync, {what}"),
                ours: format!("{:.0}", window.records as f64 / window.syncs.max(1) as f64),
                reference: String::new(),
                ratio: String::new(),
                goal: "≥ 50",
            });
        }
    }
    let (window, raw) = rounds(home, |dir| processes_window(dir, 8, 8));
    append_row("append and sync, 8 processes × 8 clients".to_owned(), window, raw, "≥ 12 ×");
}

fn append_row(what: String, window: Window, raw: f64, goal: &'static str) {
    let rate = window.records as f64 / window.seconds;
    let cpu = window.cpu_seconds * 1e6 / window.records.max(1) as f64;
    say(&Row {
        id: "P5",
        what: what.clone(),
        ours: format!("{rate:.0}/s"),
        reference: format!("{raw:.0}/s raw write and fdatasync"),
        ratio: format!("{:.2}", rate / raw),
        goal,
    });
    say(&Row {
        id: "P5",
        what: format!("{what}: CPU per record"),
        ours: format!("{cpu:.1} µs"),
        reference: String::new(),
        ratio: String::new(),
        goal: "≤ 8 µs from 64 clients on",
    });
}

/// Runs ours between two runs of the raw disk, several times, and returns the medians.
fn rounds(home: &Path, ours: impl Fn(&Path) -> Window) -> (Window, f64) {
    let (mut windows, mut raws) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        let dir = home.join(format!("log-{round}"));
        raws.push(raw_rate(home));
        windows.push(ours(&dir));
        raws.push(raw_rate(home));
        let _ = fs::remove_dir_all(&dir);
    }
    let rate = |window: &Window| window.records as f64 / window.seconds;
    windows.sort_by(|one, other| rate(one).total_cmp(&rate(other)));
    raws.sort_by(f64::total_cmp);
    let middle = windows.get(windows.len() / 2).copied().unwrap_or_default();
    (middle, raws.get(raws.len() / 2).copied().unwrap_or(1.0))
}

/// Appends and syncs a record's worth of bytes, again and again.
fn raw_rate(home: &Path) -> f64 {
    let path = home.join("raw");
    let Ok(mut file) = OpenOptions::new().create(true).append(true).open(&path) else { return 1.0 };
    let line = [b'x'; 700];
    let (mut count, began) = (0_u64, Instant::now());
    while began.elapsed() < Duration::from_millis(WINDOW_MILLIS / 2) {
        if file.write_all(&line).and_then(|()| file.sync_data()).is_err() {
            return 1.0;
        }
        count += 1;
    }
    count as f64 / began.elapsed().as_secs_f64()
}

fn clients_window(dir: &Path, clients: u64, millis: u64) -> Window {
    let counting = Arc::new(Counting::default());
    let Ok(log) = Log::open(dir, unlimited(Disk::with(counting.clone()))) else {
        return Window::default();
    };
    // The first append makes the log; it is not what is measured.
    kit::run(&log, u128::MAX);
    counting.0.store(0, Ordering::Relaxed);
    let records = AtomicU64::new(0);
    let (began, cpu) = (Instant::now(), cpu_seconds());
    let until = began + Duration::from_millis(millis);
    thread::scope(|scope| {
        for client in 0..clients {
            let (log, records) = (&log, &records);
            let work = move || {
                let mut id = u128::from(std::process::id()) << 64 | u128::from(client) << 32;
                let decided = kit::allowed(0);
                let mut own = 0;
                while Instant::now() < until {
                    id += 1;
                    let mut entry = decided.clone();
                    entry.id = iddio_core::operation::OperationId(id);
                    let Ok(receipt) = kit::append(log, &entry) else { break };
                    let closed = kit::closed_as(&decided, id, receipt.seq());
                    let Ok(_) = kit::append(log, &closed) else { break };
                    own += 2;
                }
                records.fetch_add(own, Ordering::Relaxed);
            };
            let _ = thread::Builder::new().stack_size(128 << 10).spawn_scoped(scope, work);
        }
    });
    Window {
        records: records.into_inner(),
        syncs: counting.0.load(Ordering::Relaxed),
        seconds: began.elapsed().as_secs_f64(),
        cpu_seconds: cpu_seconds() - cpu,
    }
}

fn processes_window(dir: &Path, processes: u64, clients: u64) -> Window {
    let Ok(own) = env::current_exe() else { return Window::default() };
    let began = Instant::now();
    let spawn = || {
        let mut command = Command::new(&own);
        command.arg("--child").arg(dir).args([clients, WINDOW_MILLIS].map(|n| n.to_string()));
        command.stdout(Stdio::piped()).spawn().ok()
    };
    let children: Vec<_> = (0..processes).filter_map(|_| spawn()).collect();
    let mut window = Window::default();
    for child in children {
        let Ok(done) = child.wait_with_output() else { continue };
        let said = String::from_utf8_lossy(&done.stdout).into_owned();
        let mut words = said.split_whitespace();
        let mut next = || words.next().and_then(|word| word.parse::<f64>().ok()).unwrap_or(0.0);
        window.records += next() as u64;
        window.syncs += next() as u64;
        window.cpu_seconds += next();
    }
    window.seconds = began.elapsed().as_secs_f64();
    window
}

fn verify_rows(home: &Path) {
    let dir = home.join("large");
    if fill(&dir).is_none() {
        return;
    }
    let files: Vec<PathBuf> = ["0000000001.jsonl", "0000000002.jsonl"].map(|n| dir.join(n)).into();
    let bytes: u64 = files.iter().filter_map(|file| fs::metadata(file).ok()).map(|m| m.len()).sum();
    let (mut one, mut two, mut openssl) = (f64::MAX, f64::MAX, f64::MAX);
    for _ in 0..ROUNDS * 2 {
        openssl = openssl.min(timed(|| {
            let mut command = Command::new("openssl");
            let _ = command.args(["dgst", "-sha256"]).args(&files).stdout(Stdio::null()).status();
        }));
        one = one.min(timed(|| drop(verify(&dir, 1))));
        two = two.min(timed(|| drop(verify(&dir, 2))));
    }
    let rate = |seconds: f64| bytes as f64 / seconds / 1e6;
    for (what, seconds, goal) in
        [("verify, 1 thread", one, "≥ 0.5 ×"), ("verify, 2 threads", two, "≥ 0.9 ×")]
    {
        say(&Row {
            id: "P6",
            what: what.to_owned(),
            ours: format!("{:.0} MB/s", rate(seconds)),
            reference: format!("{:.0} MB/s openssl dgst -sha256", rate(openssl)),
            ratio: format!("{:.2}", openssl / seconds),
            goal,
        });
    }
    proof_row(&dir);
}

/// A signer whose signatures nobody checks.
struct Unsigned;

impl CheckpointSigner for Unsigned {
    fn sign(&self, _: &[u8]) -> [u8; 64] {
        [0; 64]
    }

    fn public(&self) -> [u8; 32] {
        [7; 32]
    }
}

fn proof_row(dir: &Path) {
    let Ok(log) = Log::open(dir, unlimited(Disk::default())) else { return };
    if log.checkpoint(&Unsigned).is_err() {
        return;
    }
    let Ok(mut tree) = Tree::open(dir) else { return };
    let Ok(records) = last(dir, &Filter::default(), 1) else { return };
    let hash = records.first().and_then(|record| Digest::from_hex(record.text("hash")?));
    let Some((hash, seq)) = hash.zip(tree.size().checked_sub(1)) else { return };
    let mut least = f64::MAX;
    for _ in 0..60 {
        least = least.min(timed(|| drop(tree.prove(seq, hash))));
    }
    say(&Row {
        id: "P6",
        what: format!("a proof for one of {} records", tree.size()),
        ours: format!("{:.0} µs", least * 1e6),
        reference: String::new(),
        ratio: String::new(),
        goal: "≤ 1 ms of 10 M",
    });
}

/// Makes a log of two segments.
fn fill(dir: &Path) -> Option<()> {
    let log = Log::open(dir, unlimited(Disk::default())).ok()?;
    thread::scope(|scope| {
        for client in 0..64_u128 {
            let log = &log;
            scope.spawn(move || {
                for id in 0..1_300 {
                    let id = client << 32 | id;
                    let Ok(receipt) = kit::wait(log.append(&kit::allowed(id), Durability::Write))
                    else {
                        return;
                    };
                    let entry = kit::closed(id, receipt.seq());
                    let _ = kit::wait(log.append(&entry, Durability::Write));
                }
            });
        }
    });
    log.finish().ok()
}

fn unlimited(disk: Disk) -> iddio_audit::Options {
    let mut options = kit::options();
    options.budget = None;
    options.disk = disk;
    options
}

fn timed(act: impl FnOnce()) -> f64 {
    let began = Instant::now();
    act();
    began.elapsed().as_secs_f64()
}

fn cpu_seconds() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

fn say(row: &Row) {
    let Row { id, what, ours, reference, ratio, goal } = row;
    println!(
        "{{\"id\":\"{id}\",\"what\":\"{what}\",\"ours\":\"{ours}\",\
         \"reference\":\"{reference}\",\"ratio\":\"{ratio}\",\"goal\":\"{goal}\"}}"
    );
}

const ROUNDS: u32 = 4;
const WINDOW_MILLIS: u64 = 400;
