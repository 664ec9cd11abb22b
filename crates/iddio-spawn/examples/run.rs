//! Runs one program the way a gateway would, for tests that need a process of their own.
//!
//! `run [OPTION VALUE]… -- PROGRAM [ARGUMENT]…`; it exits as the program did. `@INPUT` as an argument stands for
//! the path of the last sealed input.

use std::ffi::{OsStr, OsString};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use iddio_spawn::{
    Arguments, Environment, Limits, Output, Program, RunTime, SPOOL_BYTES_MAX, SealedInput, Spawn,
    Stdin, Supervisor, ToolPath, WorkingDirectory,
};

/// What the command line says.
struct Plan {
    directory: PathBuf,
    environment: Environment,
    input: Option<SealedInput>,
    keep: Option<usize>,
    limits: Limits,
    /// Whether it waits for its standard input to end once it supervises nothing any more.
    linger: bool,
    /// Runs between opening the program and starting it.
    meanwhile: Option<OsString>,
    /// What becomes of the run once it has started.
    then: Then,
    /// How often it runs, until one does not exit with zero.
    times: u32,
    pid_file: Option<PathBuf>,
    report: Option<PathBuf>,
    spool: bool,
}

/// What becomes of a run once it has started.
#[derive(Clone, Copy)]
enum Then {
    Cancel,
    Drop,
    Wait,
}

fn main() -> anyhow::Result<ExitCode> {
    let mut arguments = std::env::args_os().skip(1);
    let mut plan = Plan {
        directory: PathBuf::from("."),
        environment: Environment::empty(),
        input: None,
        keep: None,
        // A test that fails leaves nothing behind for long.
        limits: Limits::at_most(Duration::from_secs(120)),
        linger: false,
        meanwhile: None,
        then: Then::Wait,
        times: 1,
        pid_file: None,
        report: None,
        spool: false,
    };
    while let Some(option) = arguments.next().filter(|option| option != "--") {
        let value = arguments.next().ok_or_else(|| anyhow::anyhow!("a value is missing"))?;
        plan.take(&option, value)?;
    }
    let name = arguments.next().ok_or_else(|| anyhow::anyhow!("a program is missing"))?;
    plan.run(&name, arguments.collect())
}

// === impl Plan ===

impl Plan {
    fn take(&mut self, option: &OsStr, value: OsString) -> anyhow::Result<()> {
        let text = value.to_string_lossy().into_owned();
        match option.to_str() {
            Some("--chdir") => self.directory = PathBuf::from(value),
            Some("--env") => {
                let (name, value) =
                    text.split_once('=').ok_or_else(|| anyhow::anyhow!("no value"))?;
                self.environment.set(name, value)?;
            }
            Some("--give") => self.input = Some(SealedInput::of(text.as_bytes())?),
            Some("--grace-ms") => self.limits.term_grace = Duration::from_millis(text.parse()?),
            Some("--then") if text == "cancel" => self.then = Then::Cancel,
            Some("--then") if text == "drop" => self.then = Then::Drop,
            Some("--times") => self.times = text.parse()?,
            Some("--keep") => self.keep = Some(text.parse()?),
            Some("--limit-ms") => {
                self.limits.run_time = RunTime::AtMost(Duration::from_millis(text.parse()?))
            }
            Some("--linger") => self.linger = text == "yes",
            Some("--meanwhile") => self.meanwhile = Some(value),
            Some("--pid-file") => self.pid_file = Some(PathBuf::from(value)),
            Some("--report") => self.report = Some(PathBuf::from(value)),
            Some("--spool") => self.spool = text == "yes",
            Some("--straggler-ms") => {
                self.limits.straggler_grace = Duration::from_millis(text.parse()?)
            }
            _ => anyhow::bail!("unknown option"),
        }
        Ok(())
    }

    fn run(mut self, name: &OsStr, rest: Vec<OsString>) -> anyhow::Result<ExitCode> {
        let mut supervisor = Supervisor::install()?;
        anyhow::ensure!(Supervisor::install().is_err(), "a second supervisor");
        let program = match ToolPath::system().find(name) {
            Ok(program) => program,
            Err(error) => return Ok(refuse(&error, error.exit_code())),
        };
        if let Some(script) = &self.meanwhile {
            anyhow::ensure!(
                std::process::Command::new("/bin/sh").arg("-c").arg(script).status()?.success()
            );
        }
        if self.spool {
            self.input = Some(SealedInput::spool(std::io::stdin().lock(), SPOOL_BYTES_MAX)?);
        }
        let placed = |argument: OsString| match &self.input {
            Some(input) if argument == "@INPUT" => input.path().into_os_string(),
            _ => argument,
        };
        let arguments = Arguments::new(name, rest.into_iter().map(placed))?;
        for _ in 1..self.times {
            let code = self.once(&mut supervisor, &program, &arguments)?;
            if code != 0 {
                return Ok(ExitCode::from(code));
            }
        }
        let code = self.once(&mut supervisor, &program, &arguments)?;
        if self.linger {
            drop(supervisor);
            writeln!(std::io::stdout(), "idle")?;
            std::io::copy(&mut std::io::stdin(), &mut std::io::sink())?;
        }
        Ok(ExitCode::from(code))
    }

    fn once(
        &self,
        supervisor: &mut Supervisor,
        program: &Program,
        arguments: &Arguments,
    ) -> anyhow::Result<u8> {
        let directory = WorkingDirectory::open(&self.directory)?;
        let inputs: Vec<_> = self.input.iter().collect();
        let started = supervisor.start(Spawn {
            program,
            arguments,
            environment: &self.environment,
            directory: &directory,
            inputs: &inputs,
            stdin: Stdin::Inherit,
            stdout: self.keep.map_or(Output::Inherit, |bytes_max| Output::Keep { bytes_max }),
            stderr: Output::Inherit,
            limits: self.limits,
        });
        let mut running = match started {
            Ok(running) => running,
            Err(error) => {
                refuse(&error, 0);
                return Ok(error.exit_code());
            }
        };
        if let Some(path) = &self.pid_file {
            write_whole(path, &running.pid().to_string())?;
        }
        match self.then {
            Then::Cancel => running.canceller()?.cancel()?,
            Then::Drop => return Ok(0),
            Then::Wait => {}
        }
        let ended = running.wait()?;
        if let Some(path) = &self.report {
            let (status, stragglers) = (ended.status, ended.stragglers);
            write_whole(
                path,
                &format!("{status:?} {} {}", stragglers.outlived, stragglers.remaining),
            )?;
        }
        std::io::stdout().write_all(&ended.stdout)?;
        Ok(ended.status.exit_code())
    }
}

fn refuse(error: &dyn std::error::Error, code: u8) -> ExitCode {
    let _ = writeln!(std::io::stderr(), "run: {error}");
    ExitCode::from(code)
}

/// Writes so that a reader who sees the file sees all of it.
fn write_whole(path: &Path, text: &str) -> std::io::Result<()> {
    let draft = path.with_extension("draft");
    std::fs::write(&draft, text)?;
    std::fs::rename(draft, path)
}
