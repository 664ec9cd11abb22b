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

use std::process::ExitCode;

use anyhow::{Result, bail};
use iddio_service::words::{self, Words};

#[derive(Debug, Eq, PartialEq)]
enum Verb {
    Forget(String),
    Repair,
    Serve,
}

fn main() -> ExitCode {
    words::ended("iddio-logd", run())
}

fn run() -> Result<()> {
    let words = Words::read(std::env::args_os().skip(1), config::PATH, USAGE)?;
    let verb = match *words.rest() {
        [] => Verb::Serve,
        ["forget", day] => Verb::Forget(day.to_owned()),
        ["repair"] => Verb::Repair,
        _ => bail!(USAGE),
    };
    let Words { config, socket, .. } = words;
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

const USAGE: &str = "usage: iddio-logd [forget DAY|repair] [--config FILE] [--socket PATH]";
