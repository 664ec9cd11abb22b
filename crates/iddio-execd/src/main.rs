//! `iddio-execd`: the exec broker of a host. `docs/broker.md` says how it is set up.

use std::process::ExitCode;

fn main() -> ExitCode {
    eprintln!("iddio-execd: {} says nothing yet", iddio_execd::config::PATH);
    ExitCode::from(UNAVAILABLE)
}

/// The exit code of a service that cannot serve.
const UNAVAILABLE: u8 = 69;
