//! P9: what `iddio exec` adds to starting a program, beside what others add.
//!
//! Iddio finds its home through the user database, so the measurement runs in a mount namespace
//! whose user database says where a home of its own is. There every starter runs the same program
//! in turn, and the minimum of each over many rounds is kept. The syncs that the records cost are
//! counted and timed apart: they belong to the disk. What copying output costs is a count: the bytes
//! that pass through iddio while its child writes many.

use std::{
    fs,
    fs::File,
    io::Write,
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};

use super::{broker, report::Row};
use crate::process::{self, Workspace};

/// Measures inside a world made for it.
pub(super) fn rows(workspace: &Workspace) -> Result<Vec<Row>> {
    let iddio = workspace.target().join("release/iddio");
    let world = workspace.target().join("bench-world");
    if world.exists() {
        fs::remove_dir_all(&world)?;
    }
    let user = world.join("user");
    fs::create_dir_all(&user)?;
    let passwd = world.join("passwd");
    let entry = format!("root:x:0:0:root:{}:/bin/sh\n", user.display());
    fs::write(&passwd, entry)?;
    let mut unshare = workspace.command("unshare");
    unshare.args(["--mount", "sh", "-c", ENTER]).arg(&passwd);
    unshare.arg(std::env::current_exe()?).arg("bench-inside").arg(&iddio).arg(&world);
    let own = workspace.path("xtask");
    let told = process::output(unshare.env("HOME", &user).env("CARGO_MANIFEST_DIR", own))?;
    told.lines().filter(|line| line.starts_with('{')).map(Row::read).collect()
}

/// Measures, being inside the world already, and prints the rows.
pub(crate) fn inside(iddio: &str, world: &str) -> Result<()> {
    let world = Path::new(world);
    let exec = prepare(iddio, world)?;
    let starters: Vec<(&str, Vec<&str>)> = vec![
        ("bare", vec![TRUE]),
        ("env", vec!["env", TRUE]),
        ("sudo", vec!["sudo", "-n", TRUE]),
        ("iddio", vec![iddio, "exec", "-q", "--", TRUE]),
    ];
    let mut least = vec![Duration::MAX; starters.len()];
    let mut sync = Duration::MAX;
    for round in 0..ROUNDS {
        // There and back again, so that no starter always follows the same one.
        let order: Vec<usize> = match round % 2 {
            0 => (0..starters.len()).collect(),
            _ => (0..starters.len()).rev().collect(),
        };
        for place in order {
            let (Some((name, words)), Some(least)) = (starters.get(place), least.get_mut(place))
            else {
                continue;
            };
            *least = once(words).with_context(|| (*name).to_owned())?.min(*least);
        }
        sync = one_sync(&world.join("sync"))?.min(sync);
    }
    let syncs = count_syncs(&exec)?;
    let [bare, env, sudo, ours] = least.as_slice() else { bail!("a starter is missing") };
    let over = |time: &Duration| time.saturating_sub(*bare).as_secs_f64() * 1_000.0;
    let disk = sync.as_secs_f64() * 1_000.0 * f64::from(syncs);
    let own = (over(ours) - disk).max(0.0);
    print_row(
        "minimum over bare `true`",
        own,
        over(sudo),
        &Says {
            ours: format!("{own:.2} ms, and {syncs} syncs of {disk:.2} ms together"),
            reference: format!("sudo {:.2} ms", over(sudo)),
            goal: "≤ 0.30 × sudo, plus the syncs",
        },
    );
    print_row(
        "minimum over bare `true`, syncs included",
        over(ours),
        over(env),
        &Says {
            ours: format!("{:.2} ms", over(ours)),
            reference: format!(
                "`env` {:.2} ms; bare {:.2} ms",
                over(env),
                bare.as_secs_f64() * 1_000.0
            ),
            goal: "information",
        },
    );
    print_copying(iddio, world)?;
    let brokered = over(&broker::least(iddio, TRUE, world)?);
    print_row(
        "through the exec broker, minimum over bare `true`, syncs included",
        brokered,
        over(ours),
        &Says {
            ours: format!("{brokered:.2} ms"),
            reference: format!("in the caller's process {:.2} ms", over(ours)),
            goal: "information",
        },
    );
    Ok(())
}

/// Tells how much of what a child writes passes through iddio: descriptors are inherited, so that
/// what it reads and writes are its own files alone.
fn print_copying(iddio: &str, world: &Path) -> Result<()> {
    let large = world.join("large");
    File::create(&large)?.set_len(OUTPUT_BYTES)?;
    let large = large.to_str().context("a path that is text")?;
    let words = [iddio, "exec", "-q", "--", CAT, large];
    // The first run pins the program.
    once(&words)?;
    let bytes = count_bytes(&words)?;
    print_row(
        "output copying",
        bytes as f64,
        OUTPUT_BYTES as f64,
        &Says {
            ours: format!("{bytes} bytes read and written by iddio itself"),
            reference: format!("{OUTPUT_BYTES} bytes written by its child"),
            goal: "≤ 0.03",
        },
    );
    Ok(())
}

/// What a row says in words.
struct Says {
    ours: String,
    reference: String,
    goal: &'static str,
}

fn print_row(what: &str, ours: f64, reference: f64, says: &Says) {
    let ratio = if 0.0 < reference { ours / reference } else { f64::INFINITY };
    let row = serde_json::json!({
        "id": "P9",
        "what": format!("`iddio exec -- true`, {what}"),
        "ours": says.ours,
        "reference": says.reference,
        "ratio": format!("{ratio:.2}"),
        "goal": says.goal,
    });
    println!("{row}");
}

/// Makes the home, lets policy allow the program, and returns the command to measure.
fn prepare(iddio: &str, world: &Path) -> Result<Vec<String>> {
    process::output(Command::new(iddio).arg("init"))?;
    fs::write(world.join("user/.iddio/policy.yaml"), POLICY)?;
    let words = [iddio, "exec", "-q", "--", TRUE];
    // The first run pins the program; what is measured is every run after it.
    once(&words)?;
    Ok(words.map(str::to_owned).to_vec())
}

/// Runs the words once and returns how long that took.
fn once(words: &[&str]) -> Result<Duration> {
    let [program, arguments @ ..] = words else { bail!("nothing to run") };
    let mut command = Command::new(program);
    timed(command.args(arguments))
}

/// Runs the command once and returns how long that took.
pub(super) fn timed(command: &mut Command) -> Result<Duration> {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let started = Instant::now();
    let ended = command.output().with_context(|| format!("cannot run {command:?}"))?;
    let took = started.elapsed();
    match ended.status.success() {
        true => Ok(took),
        false => bail!("{}: {}", ended.status, String::from_utf8_lossy(&ended.stderr).trim()),
    }
}

/// Appends a record's worth of bytes, and returns how long making them durable took.
fn one_sync(path: &Path) -> Result<Duration> {
    let mut file = File::options().create(true).append(true).open(path)?;
    file.write_all(&[b'x'; RECORD_BYTES])?;
    let started = Instant::now();
    file.sync_data()?;
    Ok(started.elapsed())
}

/// Returns how many syncs the command makes, all its processes and threads together.
fn count_syncs(words: &[String]) -> Result<u32> {
    let mut strace = Command::new("strace");
    strace.args(["-f", "-qq", "-e", "trace=fsync,fdatasync", "-e", "signal=none", "--"]);
    let ended = strace.args(words).output().context("cannot run strace")?;
    let calls = String::from_utf8_lossy(&ended.stderr);
    let made = calls.lines().filter(|line| line.contains("sync(") && line.contains("= 0"));
    u32::try_from(made.count()).context("more syncs than can be")
}

/// Returns how many bytes the first process of the command reads and writes.
fn count_bytes(words: &[&str]) -> Result<u64> {
    let mut strace = Command::new("strace");
    strace.args(["-qq", "-e", COPYING, "-e", "signal=none", "--"]).args(words);
    let ended = strace.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let ended = ended.output().context("cannot run strace")?;
    if !ended.status.success() {
        bail!("{}: under strace", ended.status);
    }
    let calls = String::from_utf8_lossy(&ended.stderr);
    let moved =
        calls.lines().filter_map(|line| line.rsplit_once("= ")?.1.trim().parse::<u64>().ok());
    Ok(moved.sum())
}

/// The calls that move bytes.
const COPYING: &str = "trace=read,write,readv,writev,pread64,pwrite64,pwritev,preadv,splice,tee,\
    sendfile,copy_file_range,sendto,recvfrom,sendmsg,recvmsg";

/// A program that writes what a file holds.
const CAT: &str = "/usr/bin/cat";

/// How much it writes.
const OUTPUT_BYTES: u64 = 64 * 1024 * 1024;

/// Puts a user database of our own in place, in this mount namespace only.
const ENTER: &str = "mount --bind \"$0\" /etc/passwd && exec \"$@\"";

/// A program that does nothing, by its full path: that is how unknown programs are run.
const TRUE: &str = "/usr/bin/true";

/// A policy under which the program runs at once, whatever its tier short of T4.
pub(super) const POLICY: &str = "\
default: deny
agents:
  \"local:root\":
    rules:
      - protocol: command
        tiers: {0: allow, 1: allow, 2: allow, 3: allow}
";

/// Interleaved rounds; the rule asks for 60 or more.
pub(super) const ROUNDS: usize = 120;

/// About what one record takes.
const RECORD_BYTES: usize = 700;
