//! Running other programs, and the workspace they run in.

use std::{
    env,
    ffi::OsStr,
    io::{BufRead, BufReader, Read},
    path::{Path, PathBuf},
    process::{Command, ExitStatus, Stdio},
    thread,
};

use anyhow::{Context, Result, bail};

/// The checkout that the commands work on.
pub(crate) struct Workspace {
    root: PathBuf,
}

/// How a program ended and what it said.
pub(crate) struct Told {
    /// How it ended.
    pub(crate) status: ExitStatus,
    /// Its standard output, then its standard error.
    pub(crate) text: String,
}

// === impl Workspace ===

impl Workspace {
    /// Finds the workspace that this program was built from.
    pub(crate) fn find() -> Result<Self> {
        let own = env::var_os("CARGO_MANIFEST_DIR").context("run me through `cargo xtask`")?;
        let root = Path::new(&own).parent().context("the workspace has no root")?;
        Ok(Self { root: root.to_owned() })
    }

    /// Returns the directory of the workspace.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Returns a path inside the workspace.
    pub(crate) fn path(&self, inside: impl AsRef<Path>) -> PathBuf {
        self.root.join(inside)
    }

    /// Returns the directory that cargo builds into.
    pub(crate) fn target(&self) -> PathBuf {
        match env::var_os("CARGO_TARGET_DIR") {
            Some(named) => self.root.join(named),
            None => self.root.join("target"),
        }
    }

    /// Returns `program`, to be run at the root.
    pub(crate) fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        command.current_dir(&self.root);
        // Cargo told us about ourselves; our children are told about themselves.
        for (name, _) in env::vars_os() {
            let ours = name.to_string_lossy().starts_with("CARGO_PKG_");
            if ours || name == "CARGO_MANIFEST_DIR" || name == "CARGO_MANIFEST_PATH" {
                command.env_remove(name);
            }
        }
        command
    }

    /// Returns the cargo that runs us.
    pub(crate) fn cargo(&self) -> Command {
        self.command(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
    }
}

/// Runs `command` with our own output, and fails if it does.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let shown = show(command);
    let status = command.status().with_context(|| format!("cannot run `{shown}`"))?;
    if !status.success() {
        bail!("`{shown}` ended with {status}");
    }
    Ok(())
}

/// Runs `command` in silence and returns its standard output; its words are kept for the error.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let shown = show(command);
    let ended = command.stdin(Stdio::null()).output();
    let ended = ended.with_context(|| format!("cannot run `{shown}`"))?;
    if !ended.status.success() {
        let words = String::from_utf8_lossy(&ended.stderr);
        bail!("`{shown}` ended with {}: {}", ended.status, words.trim());
    }
    Ok(String::from_utf8_lossy(&ended.stdout).into_owned())
}

/// Runs `command`, passing on what it says line by line, and returns it too.
pub(crate) fn tee(command: &mut Command) -> Result<Told> {
    let shown = show(command);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().with_context(|| format!("cannot run `{shown}`"))?;
    let out = child.stdout.take().context("no standard output")?;
    let err = child.stderr.take().context("no standard error")?;
    let (out, err) = thread::scope(|scope| {
        let err = scope.spawn(|| pass_on(err));
        (pass_on(out), err.join().unwrap_or_default())
    });
    let status = child.wait().with_context(|| format!("cannot wait for `{shown}`"))?;
    Ok(Told { status, text: out + &err })
}

/// Returns where `program` is, as the shell would find it.
pub(crate) fn which(program: &str) -> Option<PathBuf> {
    let paths = env::var_os("PATH")?;
    env::split_paths(&paths).map(|dir| dir.join(program)).find(|path| path.is_file())
}

/// Returns the command line, for a person to read.
pub(crate) fn show(command: &Command) -> String {
    let program = Path::new(command.get_program());
    let program = program.file_name().unwrap_or(program.as_os_str());
    let words = std::iter::once(program).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

fn pass_on(stream: impl Read) -> String {
    let mut said = String::new();
    let mut reader = BufReader::new(stream);
    let mut line = Vec::new();
    while reader.read_until(b'\n', &mut line).is_ok_and(|count| 0 < count) {
        let text = String::from_utf8_lossy(&line);
        eprint!("{text}");
        said.push_str(&text);
        line.clear();
    }
    said
}
