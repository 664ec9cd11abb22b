//! P9 where a host has the exec broker: what `iddio exec` takes when a service runs its command.
//!
//! The host is the mount namespace of the measurement with a further `/etc` laid over it, in which
//! root's file names the broker. The caller works in an empty directory, since what a tree costs to
//! send is the tree's. It cannot be interleaved with the starters that need a host without a broker,
//! so its least is compared with theirs over as many rounds.

use std::{
    fs,
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};

use super::startup::{POLICY, ROUNDS, timed};
use crate::process;

/// The service, which ends with the measurement.
struct Broker(Child);

/// Starts a broker and returns the least time of a command through it.
pub(super) fn least(iddio: &str, program: &str, world: &Path) -> Result<Duration> {
    let work = world.join("work");
    fs::create_dir_all(&work)?;
    lay_over(world)?;
    let _broker = Broker::begin(iddio, world)?;
    let run = || {
        let mut command = Command::new(iddio);
        command.args(["exec", "-q", "--", program]).current_dir(&work);
        timed(&mut command)
    };
    until_it_runs(run)?;
    let mut least = Duration::MAX;
    for _ in 0..ROUNDS {
        least = run()?.min(least);
    }
    Ok(least)
}

/// Lays an `/etc` over the system's in which there is a broker.
fn lay_over(world: &Path) -> Result<()> {
    let (upper, own) = (world.join("etc"), world.join("etc-work"));
    fs::create_dir_all(upper.join("iddio"))?;
    fs::create_dir_all(&own)?;
    fs::copy(world.join("passwd"), upper.join("passwd"))?;
    let [socket, home, runs] = ["exec.sock", "broker", "runs"].map(|name| world.join(name));
    let told = format!("user = \"root\"\nsocket = {socket:?}\nhome = {home:?}\nruns = {runs:?}\n");
    fs::write(upper.join("iddio/exec.toml"), told)?;
    let layers = format!("lowerdir=/etc,upperdir={},workdir={}", upper.display(), own.display());
    process::output(
        Command::new("mount").args(["-t", "overlay", "overlay", "-o", &layers, "/etc"]),
    )?;
    Ok(())
}

/// Tries until the broker has started, has its policy, and knows the program.
fn until_it_runs(run: impl Fn() -> Result<Duration>) -> Result<()> {
    let until = Instant::now() + PATIENCE;
    loop {
        match run() {
            Ok(_) => return Ok(()),
            Err(error) if until <= Instant::now() => return Err(error),
            Err(_) => std::thread::yield_now(),
        }
    }
}

// === impl Broker ===

impl Broker {
    fn begin(iddio: &str, world: &Path) -> Result<Self> {
        let program = Path::new(iddio).with_file_name("iddio-execd");
        let mut command = Command::new(program);
        command.arg("--socket").arg(world.join("exec.sock"));
        let errors = fs::File::create(world.join("broker-errors"))?;
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(errors);
        let broker = Self(command.spawn().context("cannot start iddio-execd")?);
        let home = world.join("broker");
        let until = Instant::now() + PATIENCE;
        while !home.join("policy.yaml").exists() {
            if until <= Instant::now() {
                bail!("{}", fs::read_to_string(world.join("broker-errors"))?);
            }
            std::thread::yield_now();
        }
        // Whole or not at all, as for every reader of it.
        fs::write(home.join("policy.new"), POLICY)?;
        fs::rename(home.join("policy.new"), home.join("policy.yaml"))?;
        Ok(broker)
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        // One that is gone already is what we want.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// How long a service may take to start on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);
