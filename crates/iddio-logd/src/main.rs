//! `iddio-logd`: the log service, the only opener of a host's log.
//!
//! It appends what others state over a Unix socket, says who they are, and answers when what they said
//! is as durable as they asked. It judges nothing, starts no process and connects to nobody.
//!
//! `docs/log-service.md` says how it is set up and what its clients are promised.

mod checkpoints;
mod client;
mod config;
mod maintain;
mod open;
mod readers;
mod recent;
mod rights;
mod serve;

use std::{path::PathBuf, process::ExitCode};

use anyhow::{Context, Result, bail};

/// What the command line says.
struct Arguments {
    verb: Verb,
    config: PathBuf,
    socket: Option<PathBuf>,
}

#[derive(Debug, Eq, PartialEq)]
enum Verb {
    Forget(String),
    Repair,
    Serve,
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("iddio-logd: {error:#}");
            ExitCode::from(UNAVAILABLE)
        }
    }
}

fn run() -> Result<()> {
    let Arguments { verb, config, socket } = arguments()?;
    let config = config::read(&config)?;
    // Files of the log are its owner's alone, whatever the caller's mask was.
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
    match &verb {
        Verb::Forget(day) => return maintain::forget(&config, day),
        Verb::Repair => return maintain::repair(&config),
        Verb::Serve => {}
    }
    let listener = iddio_service::listen::listener(socket.as_deref())?;
    // The log is nobody's to look into, not even in the memory of who keeps it.
    iddio_service::confine::harden()?;
    serve::Service::open(config)?.serve(&listener)
}

fn arguments() -> Result<Arguments> {
    let config = PathBuf::from(config::PATH);
    let mut found = Arguments { verb: Verb::Serve, config, socket: None };
    let mut words = std::env::args_os().skip(1);
    while let Some(word) = words.next() {
        let mut value = || words.next().map(PathBuf::from).context(USAGE);
        match word.to_str() {
            Some("forget") if found.verb == Verb::Serve => {
                let day = value()?.to_str().context(USAGE)?.to_owned();
                found.verb = Verb::Forget(day);
            }
            Some("repair") if found.verb == Verb::Serve => found.verb = Verb::Repair,
            Some("--config") => found.config = value()?,
            Some("--socket") => found.socket = Some(value()?),
            _ => bail!(USAGE),
        }
    }
    Ok(found)
}

const USAGE: &str = "usage: iddio-logd [forget DAY|repair] [--config FILE] [--socket PATH]";

/// The exit code of a service that cannot serve.
const UNAVAILABLE: u8 = 69;
