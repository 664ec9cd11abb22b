//! Runs a program confined, for tests to look at from outside.
//!
//! `confine [--as UID] [--read DIR]… [--write DIR]… [--private DIR]… [--hide PATH]… [--listen PORT]… [--in DIR]
//! [--input TEXT] [--terminal] [--held] [--host-port PORT]… [--memory BYTES] [--processes COUNT] [--env NAME=VALUE]… -- PROGRAM [ARGUMENT…]`

use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use iddio_spawn::sandbox::{
    Content, Ids, Job, Launch, Network, Place, Resources, Sandbox, Stage, Streams, stage,
    system_places,
};
use iddio_spawn::{Arguments, Environment, SealedInput, ToolPath};
use rustix::termios::Winsize;

fn main() -> Result<ExitCode> {
    if let Some(code) = stage() {
        return Ok(code);
    }
    let mut sandbox = Sandbox {
        ids: Ids::Own,
        places: system_places(),
        network: Network::None,
        resources: Resources::usual(),
        host_name: "confined".into(),
    };
    let mut directory = PathBuf::from("/tmp");
    let (mut held, mut terminal) = (false, false);
    let mut environment = Environment::empty();
    environment.set("PATH", "/usr/local/bin:/usr/bin:/bin")?;
    let mut sealed = None;
    let (mut listen, mut connect) = (Vec::new(), Vec::new());
    let mut words = std::env::args_os().skip(1);
    while let Some(word) = words.next() {
        let word = word.to_str().context("options are UTF-8")?;
        match word {
            "--" => break,
            "--held" => held = true,
            "--terminal" => terminal = true,
            _ => {
                let value = words.next().with_context(|| format!("`{word}` needs a value"))?;
                let text = value.to_str().context("values are UTF-8")?;
                match word {
                    "--as" => sandbox.ids = Ids::Drop { uid: text.parse()?, gid: text.parse()? },
                    "--read" => sandbox.places.push(Place::read_only(text)),
                    "--write" => sandbox.places.push(Place::writable(text)),
                    "--private" => sandbox
                        .places
                        .push(Place::new(text, Content::Private { bytes_max: 1 << 20 })),
                    "--hide" => sandbox.places.push(Place::new(text, Content::Hidden)),
                    "--listen" => listen.push(text.parse()?),
                    "--host-port" => connect.push(text.parse()?),
                    "--memory" => sandbox.resources.memory_bytes_max = Some(text.parse()?),
                    "--processes" => sandbox.resources.processes_max = text.parse()?,
                    "--in" => directory = text.into(),
                    "--input" => sealed = Some(SealedInput::of(text.as_bytes())?),
                    "--env" => {
                        let (name, value) = text.split_once('=').context("NAME=VALUE")?;
                        environment.set(name, value)?;
                    }
                    _ => bail!("`{word}` is no option"),
                }
            }
        }
    }
    if !listen.is_empty() {
        sandbox.network = Network::Loopback { listen };
    } else if !connect.is_empty() {
        sandbox.network = Network::DangerousHost { connect };
    }
    if let Some(input) = &sealed {
        environment.set("INPUT", input.path())?;
    }
    let inputs: Vec<_> = sealed.iter().collect();
    let name = words.next().context("no program")?;
    let program = ToolPath::system().find(&name)?;
    let arguments = Arguments::new(name, words)?;
    let streams = match terminal {
        true => Streams::Terminal(Winsize { ws_row: 33, ws_col: 111, ws_xpixel: 0, ws_ypixel: 0 }),
        false => Streams::Given {
            stdin: io::stdin().as_fd().try_clone_to_owned()?,
            stdout: io::stdout().as_fd().try_clone_to_owned()?,
            stderr: io::stderr().as_fd().try_clone_to_owned()?,
        },
    };
    let launch = if held { Launch::Held } else { Launch::At(program.path().to_owned()) };
    let job = Job {
        program: &program,
        launch,
        arguments: &arguments,
        environment: &environment,
        directory: &directory,
        inputs: &inputs,
        streams,
    };
    let mut confined = sandbox.start(&Stage::current()?, job)?;
    eprintln!("applied: {:?}", confined.applied());
    for listener in confined.take_listeners() {
        // Answers whoever comes with one word, from outside.
        std::thread::spawn(move || {
            while let Ok((mut peer, _)) = listener.accept() {
                let _ = peer.write_all(b"outside\n");
            }
        });
    }
    if let Some(end) = confined.take_terminal() {
        let mut end = std::fs::File::from(end);
        let mut shown = [0; 4096];
        while let Ok(count @ 1..) = end.read(&mut shown) {
            io::stdout().write_all(shown.get(..count).unwrap_or_default())?;
        }
    }
    Ok(ExitCode::from(confined.wait()?.exit_code()))
}
