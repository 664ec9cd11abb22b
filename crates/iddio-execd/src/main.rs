//! `iddio-execd`: the exec broker of a host. `docs/broker.md` says how it is set up.

use std::{process::ExitCode, sync::Arc};

use anyhow::{Context, Result, bail};
use iddio_execd::{
    config::{self, Config},
    server::{Callers, Serving, Terms},
};
use iddio_runtime::{assemble::Runtime, home::Home};
use iddio_service::{
    listen::listener,
    words::{self, Words},
};
use iddio_spawn::{
    ToolPath,
    sandbox::{Stage, make_room, stage},
};

fn main() -> ExitCode {
    // Before all else: a confined child begins as this very program.
    if let Some(code) = stage() {
        return code;
    }
    words::ended("iddio-execd", run())
}

fn run() -> Result<()> {
    let words = Words::read(std::env::args_os().skip(1), config::PATH, USAGE)?;
    if !words.rest.is_empty() {
        bail!(USAGE);
    }
    let Words { config, socket, .. } = words;
    let root = rustix::process::geteuid();
    let config = Config::read(&config, &[0, root.as_raw()])?;
    let config = config.context("there is no configuration")?;
    if nix::unistd::User::from_name(&config.user)?
        .is_none_or(|user| user.uid.as_raw() != root.as_raw())
    {
        bail!("it must run as `{}`", config.user);
    }
    // What it makes is its own alone, whatever the caller's mask was.
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
    unreadable();
    iddio_execd::tree::outlive_file_limits()?;
    let _room = make_room().context("the control group of this service")?;
    let home = Home::service(&config.home)?;
    let tool_path = match config.tool_path.is_empty() {
        true => ToolPath::system(),
        false => ToolPath::new(config.tool_path)?,
    };
    let network = config.network.iter().map(|text| text.parse()).collect::<Result<_, _>>()?;
    let listener = listener(socket.as_deref())?;
    let terms = Terms {
        runtime: Arc::new(Runtime::open(home)?),
        callers: Callers::Host,
        runs: config.runs,
        stage: Stage::current()?,
        tool_path,
        visible: config.visible,
        uids: root.is_root().then_some(config.uids),
        network,
        credentials: config.credentials,
        limits: config.limits,
        within: None,
        task: None,
    };
    let serving = Serving::start(listener, terms)?;
    // Without systemd nobody waits for this.
    let _ = sd_notify::notify(&[sd_notify::NotifyState::Ready]);
    Ok(serving.wait()?)
}

/// Lets nobody of the same user look into this process, and writes no core.
fn unreadable() {
    use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};
    // Each is one more fence; what it guards is guarded by the user as well.
    let _ = set_dumpable_behavior(DumpableBehavior::NotDumpable);
    let _ = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) });
}

const USAGE: &str = "usage: iddio-execd [--config FILE] [--socket PATH]";
