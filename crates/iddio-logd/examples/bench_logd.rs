//! P5 of the scoreboard, for hosts with a log service: appending through it, against the shared chain
//! of a personal home.
//!
//! Prints one JSON object a line. Every ratio is of medians of interleaved windows in one run; both
//! sides are the same processes with the same records, and differ in where these go.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU64, Ordering},
    thread,
    time::{Duration, Instant},
};

use iddio_audit::{Log, remote::Remote};
use iddio_core::{
    audit::{AuditSink, Durability},
    operation::OperationId,
};

#[path = "../../iddio-audit/tests/it/kit.rs"]
#[expect(dead_code, reason = "the tests use all of it")]
#[expect(clippy::unwrap_used, reason = "a helper of tests")]
mod kit;

/// Where records of a window go.
#[derive(Clone, Copy, Eq, PartialEq)]
enum Into {
    Chain,
    Service,
}

fn main() {
    let words: Vec<String> = env::args().skip(1).collect();
    let own = rustix::process::geteuid().as_raw();
    if let [kind, place, clients, millis] = words.as_slice() {
        let number = |text: &String| text.parse().unwrap_or(1);
        let place = Path::new(place);
        let count = match kind.as_str() {
            "chain" => Log::open(place, unlimited())
                .map_or(0, |log| window(&log, number(clients), number(millis))),
            _ => window(&Remote::at(place, own), number(clients), number(millis)),
        };
        println!("{count}");
        return;
    }
    let home = env::temp_dir().join(format!("iddio-bench-logd-{}", std::process::id()));
    if fs::create_dir(&home).is_ok() {
        for (processes, clients) in [(1, 1), (1, 64), (8, 8), (50, 10)] {
            row(&home, processes, clients);
        }
        let _ = fs::remove_dir_all(&home);
    }
}

fn row(home: &Path, processes: u64, clients: u64) {
    let (mut service, mut chain) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        let dir = home.join(format!("{processes}-{clients}-{round}"));
        if fs::create_dir(&dir).is_err() {
            return;
        }
        chain.push(rate(Into::Chain, &dir.join("chain"), processes, clients));
        if let Some((mut keeper, socket)) = start(&dir) {
            service.push(rate(Into::Service, &socket, processes, clients));
            let _ = keeper.kill();
            let _ = keeper.wait();
        }
        chain.push(rate(Into::Chain, &dir.join("chain"), processes, clients));
        let _ = fs::remove_dir_all(&dir);
    }
    let (service, chain) = (median(service), median(chain));
    println!(
        "{{\"id\":\"P5\",\"what\":\"log service over the shared chain, {processes} processes × {clients} clients\",\
         \"ours\":\"{service:.0}/s\",\"reference\":\"{chain:.0}/s shared chain\",\
         \"ratio\":\"{:.2}\",\"goal\":\"≥ 0.5 ×\"}}",
        service / chain.max(1.0)
    );
}

/// Starts a service of our own user, with nothing recorded yet.
fn start(dir: &Path) -> Option<(Child, PathBuf)> {
    let own = nix::unistd::User::from_uid(nix::unistd::Uid::effective()).ok()??.name;
    let (socket, config) = (dir.join("log.sock"), dir.join("log.toml"));
    let text = format!(
        "user = \"{own}\"\ndirectory = {:?}\ncheckpoint_key = {:?}\ngateways = [\"{own}\"]\ncheckpoint_secs = 3600\n",
        dir.join("log"),
        dir.join("key")
    );
    fs::write(&config, text).ok()?;
    let program = env::current_exe().ok()?.parent()?.parent()?.join("iddio-logd");
    let mut command = Command::new(program);
    command.arg("--config").arg(config).arg("--socket").arg(&socket);
    let keeper = command.stdin(Stdio::null()).spawn().ok()?;
    let remote = Remote::at(&socket, rustix::process::geteuid().as_raw());
    let until = Instant::now() + Duration::from_secs(10);
    while remote.head().is_err() && Instant::now() < until {
        thread::yield_now();
    }
    Some((keeper, socket))
}

/// Runs so many processes with so many clients each and returns acknowledged records a second.
fn rate(into: Into, place: &Path, processes: u64, clients: u64) -> f64 {
    let Ok(own) = env::current_exe() else { return 0.0 };
    let kind = if into == Into::Chain { "chain" } else { "service" };
    let spawn = || {
        let mut command = Command::new(&own);
        command.arg(kind).arg(place).args([clients, WINDOW_MILLIS].map(|n| n.to_string()));
        command.stdout(Stdio::piped()).spawn().ok()
    };
    let children: Vec<Child> = (0..processes).filter_map(|_| spawn()).collect();
    let mut records = 0.0;
    for child in children {
        let Ok(done) = child.wait_with_output() else { continue };
        records += String::from_utf8_lossy(&done.stdout).trim().parse().unwrap_or(0.0);
    }
    // Each ran for this long, whenever it began.
    records * 1_000.0 / WINDOW_MILLIS as f64
}

/// Decides and closes from so many threads for so long, and returns how many records were
/// acknowledged.
fn window(sink: &dyn AuditSink, clients: u64, millis: u64) -> u64 {
    let records = AtomicU64::new(0);
    let until = Instant::now() + Duration::from_millis(millis);
    thread::scope(|scope| {
        for client in 0..clients {
            let records = &records;
            let work = move || {
                let mut id = u128::from(std::process::id()) << 64 | u128::from(client) << 32;
                let decided = kit::allowed(0);
                while Instant::now() < until {
                    id += 1;
                    let mut entry = decided.clone();
                    entry.id = OperationId(id);
                    let Ok(receipt) = kit::wait(sink.append(&entry, Durability::Sync)) else {
                        break;
                    };
                    let closed = kit::closed_as(&decided, id, receipt.seq());
                    let Ok(_) = kit::wait(sink.append(&closed, Durability::Sync)) else { break };
                    records.fetch_add(2, Ordering::Relaxed);
                }
            };
            let _ = thread::Builder::new().stack_size(128 << 10).spawn_scoped(scope, work);
        }
    });
    records.into_inner()
}

fn unlimited() -> iddio_audit::Options {
    let mut options = kit::options();
    options.budget = None;
    options
}

fn median(mut rates: Vec<f64>) -> f64 {
    rates.sort_by(f64::total_cmp);
    rates.get(rates.len() / 2).copied().unwrap_or(0.0)
}

const ROUNDS: u32 = 3;
const WINDOW_MILLIS: u64 = 400;
