//! The command line.
//!
//! It parses, calls, and words the result; every verb is one file under `commands`.

mod cli;
mod commands;
mod exit;
mod install;
mod output;
mod plain;
mod version;

use std::{ffi::OsString, process::ExitCode};

use clap::Parser;

use crate::{
    cli::Cli,
    exit::{Failure, USAGE},
    output::{Quiet, Voice},
};

fn main() -> ExitCode {
    // The first process of a confined run is this program again, under another name.
    if let Some(code) = iddio_spawn::sandbox::stage() {
        return code;
    }
    let words: Vec<OsString> = std::env::args_os().collect();
    let cli = match plain::exec(&words).map_or_else(|| Cli::try_parse_from(words), Ok) {
        Ok(cli) => cli,
        Err(error) => {
            // A closed stream is no reason to end otherwise.
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { USAGE } else { 0 });
        }
    };
    let quiet = if cli.quiet { Quiet::Yes } else { Quiet::No };
    let voice = Voice::new(quiet, cli.color);
    match commands::run(cli.verb, voice) {
        Ok(code) => ExitCode::from(code),
        Err(failure) => {
            complain(&failure, voice);
            ExitCode::from(failure.code())
        }
    }
}

fn complain(failure: &Failure, voice: Voice) {
    let (what, hint) = match failure {
        Failure::Closed | Failure::No => return,
        Failure::Refused(what, hint)
        | Failure::Unavailable(what, hint)
        | Failure::Usage(what, hint) => (what, hint),
    };
    voice.tell(output::foreign(what));
    if let Some(hint) = hint {
        voice.more(format!("hint:  {}", output::foreign(hint)));
    }
}
