//! `iddio-signer`: the signer as a program.
//!
//! `iddio-signer` serves; `iddio-signer init` makes what it needs and is not there yet; `iddio-signer
//! public` prints the public keys of a running one. It starts no process and opens no network socket,
//! and before it hears anybody it makes sure that it cannot.

use std::{
    fs::{self, DirBuilder},
    os::unix::fs::DirBuilderExt,
    path::Path,
    process::ExitCode,
};

use anyhow::{Context, Result, bail};
use iddio_audit::clock::SystemClock;
use iddio_core::time::Clock;
use iddio_mint::signer::{Signer, wire::Public};
use iddio_service::{
    confine::Confinement,
    listen,
    words::{self, Words},
};
use iddio_signer::{
    config::{self, Config},
    issue,
    keys::{Wrapped, WrappingKey},
    ledger::Ledger,
    service::Service,
    standing::Standing,
};

#[derive(Clone, Copy, Eq, PartialEq)]
enum Verb {
    Init,
    Public,
    Serve,
}

fn main() -> ExitCode {
    words::ended("iddio-signer", run())
}

fn run() -> Result<()> {
    let words = Words::read(std::env::args_os().skip(1), config::PATH, USAGE)?;
    let verb = match *words.rest() {
        [] => Verb::Serve,
        ["init"] => Verb::Init,
        ["public"] => Verb::Public,
        _ => bail!(USAGE),
    };
    let Words { config, socket, .. } = words;
    let config = Config::read(&config)?;
    // What the signer writes is its own alone, whatever the caller's mask was.
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
    match verb {
        Verb::Init => init(&config),
        Verb::Public => public(&config, socket.as_deref()),
        Verb::Serve => serve(&config, socket.as_deref()),
    }
}

/// Makes the keys and the certificate of the CA, where they are not there yet.
fn init(config: &Config) -> Result<()> {
    runs_as(&config.user)?;
    let (keys, state) = (config.keys(), config.state());
    for dir in [&config.directory, &keys, &state] {
        let made = DirBuilder::new().mode(0o700).recursive(true).create(dir);
        made.with_context(|| format!("`{}`", dir.display()))?;
    }
    let (path, kept) = config.wrapping()?;
    let wrapping = match path.exists() || config.wrapping_key.is_none() {
        true => WrappingKey::open(&path, kept)?,
        false => WrappingKey::create(&path)?,
    };
    Wrapped::furnish(&keys, &wrapping)?;
    let authority = keys.join(AUTHORITY);
    if !authority.exists() {
        let store = Wrapped::open(&keys, &wrapping)?;
        let now = SystemClock::new().now().wall;
        let pem = issue::x509_authority(&store, &config.trust_domain, now)?;
        let fresh = keys.join("authority.new");
        fs::write(&fresh, pem).and_then(|()| fs::File::open(&fresh)?.sync_all())?;
        fs::rename(&fresh, &authority).and_then(|()| fs::File::open(&keys)?.sync_all())?;
    }
    Ok(())
}

fn serve(config: &Config, socket: Option<&Path>) -> Result<()> {
    runs_as(&config.user)?;
    let rights = config.rights()?;
    let listener = listen::listener(socket)?;
    let (path, kept) = config.wrapping()?;
    let wrapping = WrappingKey::open(&path, kept)?;
    let (keys, state) = (config.keys(), config.state());
    let store = Wrapped::open(&keys, &wrapping)?;
    drop(wrapping);
    let authority = fs::read_to_string(keys.join(AUTHORITY));
    let authority = authority.context("the certificate of the CA")?;
    // Keys and configuration are in memory: from here on there is nothing to open but the books.
    let confinement = Confinement { writable: vec![state.clone()], readable: Vec::new() };
    let context = || format!("`{}`", state.display());
    let service = {
        let ledger = Ledger::open(&state).with_context(context)?;
        let standing = Standing::open(&state).with_context(context)?;
        Service::new(config, rights, Box::new(store), authority, (ledger, standing))
    };
    confinement.enforce()?;
    Ok(service.serve(&listener)?)
}

fn public(config: &Config, socket: Option<&Path>) -> Result<()> {
    let keeper = config::uid(&config.user)?;
    let mut signer = Signer::connect(socket.unwrap_or(&config.socket), keeper)?;
    let Public { checkpoint, registry, ssh, x509 } = signer.public()?;
    let checkpoint = iddio_core::digest::Digest::from_bytes(checkpoint).to_hex();
    println!("checkpoint {checkpoint}\nregistry {registry}\nssh {ssh}\n{x509}");
    Ok(())
}

/// Whether this process runs as the user that clients expect.
fn runs_as(user: &str) -> Result<()> {
    let (wanted, own) = (config::uid(user)?, rustix::process::geteuid().as_raw());
    if wanted != own {
        bail!("the configuration says `{user}`, and this runs as uid {own}");
    }
    Ok(())
}

const USAGE: &str = "usage: iddio-signer [init|public] [--config FILE] [--socket PATH]";

/// The certificate of the CA, beside the keys.
const AUTHORITY: &str = "authority.pem";
