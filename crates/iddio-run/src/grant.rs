//! What one agent gets: its files, its network, its tools, its variables, its terminal; worked out before anything
//! is decided, so that what is shown, hashed, recorded and applied is one value.
//!
//! INVARIANT: what holds credentials or speaks for the caller is never shown, whoever asks for it: neither by its
//! name, nor by one above it, nor through a symbolic link that an agent could have left.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use iddio_net::Destination;
use iddio_runtime::mode::Mode;
use iddio_spawn::sandbox::{
    Content, Ids, Network, Place, Resources, SYSTEM_DIRECTORIES, Sandbox, Source, system_places,
};
use iddio_spawn::{Arguments, Environment, OpenError, Program, RequestError};
use serde_json::{Value, json};

use crate::profile::Profile;

/// What somebody asks for.
#[derive(Clone, Debug)]
pub struct Wish {
    /// The agent and its arguments.
    pub command: Vec<OsString>,
    /// What it needs, by kind.
    pub profile: Profile,
    /// What it may connect to besides.
    pub network: Vec<Destination>,
    /// What it may read besides.
    pub read: Vec<PathBuf>,
    /// What it may write besides.
    pub write: Vec<PathBuf>,
    /// How decisions on what it does are taken.
    pub mode: Mode,
}

/// What it is asked in.
#[derive(Clone, Debug)]
pub struct Surroundings {
    /// The caller's home.
    pub home: PathBuf,
    /// The caller's name.
    pub user: String,
    /// iddio's home.
    pub iddio_home: PathBuf,
    /// The working directory.
    pub directory: PathBuf,
    /// The caller's environment.
    pub environment: BTreeMap<OsString, OsString>,
    /// The program that the tools lead to: this one.
    pub iddio: PathBuf,
    /// Whom the agent runs as.
    pub ids: Ids,
}

/// What an agent gets.
#[derive(Debug)]
pub struct Grant {
    /// The agent's program, held open.
    pub program: Program,
    /// Its arguments.
    pub arguments: Arguments,
    /// Its whole environment.
    pub environment: Environment,
    /// Where it starts, and may write.
    pub workspace: PathBuf,
    /// The name of its profile.
    pub profile: String,
    /// What it may connect to.
    pub network: Vec<Destination>,
    /// The programs that lead through iddio.
    pub tools: Vec<String>,
    /// How decisions on what it does are taken.
    pub mode: Mode,
    /// What it sees of the caller's files, besides programs, libraries and settings of the system.
    pub seen: Seen,
    /// What was asked for beyond the profile.
    pub beyond: Vec<String>,
    /// What the caller should know.
    pub remarks: Vec<String>,
    /// What would be protected if it were there: made by the agent, it may run elsewhere later.
    pub absent: Vec<PathBuf>,
    ids: Ids,
    places: Vec<Place>,
}

/// What an agent sees of the caller's files.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// To be read.
    pub read: Vec<PathBuf>,
    /// To be read and written, the workspace first.
    pub write: Vec<PathBuf>,
    /// To be read only, within what may be written.
    pub protected: Vec<PathBuf>,
    /// What there is and is not shown.
    pub hidden: Vec<PathBuf>,
}

/// Why an agent gets nothing.
#[derive(Debug, thiserror::Error)]
pub enum GrantError {
    /// There is nothing to run.
    #[error("there is no command")]
    Empty,
    /// The program is not there.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// An argument cannot be written down.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// Something that holds what must not be shown was named.
    #[error("`{}` cannot be shown to an agent: {why}", path.display())]
    Unshowable {
        /// What was named.
        path: PathBuf,
        /// Why not.
        why: &'static str,
    },
    /// The program lies where the agent sees nothing.
    #[error("`{}` lies where the agent would not see it", .0.display())]
    Unseen(PathBuf),
    /// The system failed.
    #[error("`{}`: {source}", path.display())]
    System {
        /// At what.
        path: PathBuf,
        /// What it said.
        source: io::Error,
    },
}

/// Places on their way.
struct Plot<'a> {
    around: &'a Surroundings,
    home: PathBuf,
    secrets: Vec<PathBuf>,
    places: Vec<Place>,
    seen: Seen,
    remarks: Vec<String>,
    absent: Vec<PathBuf>,
}

/// What may be done with something that is shown.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Access {
    Read,
    Write,
}

// === impl Grant ===

impl Grant {
    /// Works out what an agent gets.
    ///
    /// # Errors
    ///
    /// When the program is not there or not to be seen, or something was named that is not shown to agents.
    pub fn of(wish: Wish, around: &Surroundings) -> Result<Self, GrantError> {
        let Wish { command, profile, network, read, write, mode } = wish;
        let mut words = command.into_iter();
        let name = words.next().ok_or(GrantError::Empty)?;
        let mut plot = Plot::new(around, &profile)?;
        let workspace = around.directory.clone();
        plot.home_places(&profile);
        for path in &read {
            plot.named(path, Access::Read)?;
        }
        plot.named(&workspace, Access::Write)?;
        for path in &write {
            plot.named(path, Access::Write)?;
        }
        plot.protect(&workspace, &profile.protect_workspace);
        plot.cover();
        let beyond = beyond(&network, &plot.seen, &read, &write);
        let network: Vec<_> = profile.network.iter().cloned().chain(network).collect();
        let environment = plot.environment(&profile, &network)?;
        let program = find(&name, around)?;
        if !plot.shows(program.path()) {
            return Err(GrantError::Unseen(program.path().to_owned()));
        }
        plot.tools(&profile.tools);
        let Plot { places, seen, remarks, absent, .. } = plot;
        Ok(Self {
            program,
            arguments: Arguments::new(name, words)?,
            environment,
            workspace,
            profile: profile.name,
            network,
            tools: profile.tools,
            mode,
            seen,
            beyond,
            remarks,
            absent,
            ids: around.ids,
            places,
        })
    }

    /// Returns the box, with the socket of the tools at its place.
    pub fn sandbox(&self, socket: &Path) -> Sandbox {
        let mut places = self.places.clone();
        places.push(Place::new(SOCKET, Content::ReadOnly(Source::demanded(socket))));
        let network = match self.network.is_empty() {
            true => Network::Loopback { listen: Vec::new() },
            false => Network::Loopback { listen: vec![PROXY_PORT] },
        };
        let resources = Resources::usual();
        Sandbox { ids: self.ids, places, network, resources, host_name: HOST_NAME.to_owned() }
    }

    /// Returns what the agent made that may run elsewhere later. To be asked once it has ended.
    pub fn made(&self) -> Vec<&Path> {
        let there = |path: &&Path| fs::symlink_metadata(path).is_ok();
        self.absent.iter().map(PathBuf::as_path).filter(there).collect()
    }

    /// Returns what the agent gets in one line, for the record.
    pub fn summary(&self) -> String {
        let paths = |paths: &[PathBuf]| {
            paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(" ")
        };
        let network: Vec<_> = self.network.iter().map(ToString::to_string).collect();
        let network = if network.is_empty() { "none".to_owned() } else { network.join(" ") };
        format!(
            "program {}; mode {}; writes {}; reads {}; network {network}; tools {}",
            self.program.path().display(),
            self.mode.name(),
            paths(&self.seen.write),
            paths(&self.seen.read),
            self.tools.join(" "),
        )
    }

    /// Returns what the agent gets, for programs.
    pub fn facts(&self) -> Value {
        let paths = |paths: &[PathBuf]| -> Vec<String> {
            paths.iter().map(|path| path.display().to_string()).collect()
        };
        let names: Vec<_> =
            self.environment.iter().map(|(name, _)| name.to_string_lossy().into_owned()).collect();
        let network: Vec<_> = self.network.iter().map(ToString::to_string).collect();
        let arguments: Vec<_> =
            self.arguments.iter().map(|word| word.to_string_lossy().into_owned()).collect();
        json!({
            "arguments": arguments,
            "beyond_profile": self.beyond,
            "environment": names,
            "hidden": paths(&self.seen.hidden),
            "mode": self.mode.name(),
            "network": network,
            "profile": self.profile,
            "program": self.program.path().display().to_string(),
            "protected": paths(&self.seen.protected),
            "read": paths(&self.seen.read),
            "system": SYSTEM_DIRECTORIES,
            "tools": self.tools,
            "workspace": self.workspace.display().to_string(),
            "write": paths(&self.seen.write),
        })
    }
}

// === impl Plot ===

impl<'a> Plot<'a> {
    fn new(around: &'a Surroundings, profile: &Profile) -> Result<Self, GrantError> {
        let home = fs::canonicalize(&around.home).unwrap_or_else(|_| around.home.clone());
        let system = SYSTEM_DIRECTORIES.iter().any(|directory| home.starts_with(directory));
        if home.parent().is_none() || system || !home.is_absolute() {
            let why = "it is the home of the caller and part of the system";
            return Err(GrantError::Unshowable { path: home, why });
        }
        let named = profile.hidden.iter().map(|path| home.join(path));
        let own = std::iter::once(around.iddio_home.clone());
        let system = profile.hidden_system.iter().cloned();
        let secrets = named.chain(own).chain(system).flat_map(|path| {
            // What it leads to is as secret as the link.
            let real = fs::canonicalize(&path).ok().filter(|real| *real != path);
            std::iter::once(path).chain(real)
        });
        let secrets = secrets.collect();
        let mut places = system_places();
        places.push(Place::new("/var/tmp", Content::Link { target: "/tmp".into() }));
        places.push(Place::new(&home, Content::Private { bytes_max: HOME_BYTES_MAX }));
        let seen = Seen::default();
        Ok(Self { around, home, secrets, places, seen, remarks: Vec::new(), absent: Vec::new() })
    }

    /// Shows what the profile names below the home. What is not there, or leads elsewhere, is left out.
    fn home_places(&mut self, profile: &Profile) {
        for (names, access) in [(&profile.read, Access::Read), (&profile.write, Access::Write)] {
            for name in names {
                let path = self.home.join(name);
                let Ok(real) = fs::canonicalize(&path) else { continue };
                if self.objection(&real, access).is_some() {
                    self.remarks
                        .push(format!("`{}` leads elsewhere and is left out", path.display()));
                    continue;
                }
                // Shown under the name it has for programs.
                self.show(&path, &real, access);
            }
        }
        let home = self.home.clone();
        self.protect(&home, &profile.protect_home);
        if let Some(text) = git_identity(&home) {
            let at = home.join(".gitconfig");
            self.places.push(Place::new(at, Content::File { bytes: text, mode: 0o444 }));
        }
    }

    /// Shows what the caller named.
    fn named(&mut self, path: &Path, access: Access) -> Result<(), GrantError> {
        let path = self.around.directory.join(path);
        let system = |source| GrantError::System { path: path.clone(), source };
        let real = fs::canonicalize(&path).map_err(system)?;
        match self.objection(&real, access) {
            Some(why) => Err(GrantError::Unshowable { path: real, why }),
            None => {
                self.show(&real, &real, access);
                Ok(())
            }
        }
    }

    /// Says why something is not shown.
    fn objection(&self, real: &Path, access: Access) -> Option<&'static str> {
        let above = |inner: &Path| inner.starts_with(real);
        let below = |outer: &Path| real.starts_with(outer);
        if above(&self.home) {
            return Some("it holds the home of the caller; start in a project's own directory");
        }
        if self.secrets.iter().any(|secret| below(secret)) || above(&self.around.iddio_home) {
            return Some("it holds credentials, or iddio's own state");
        }
        if CLOSED.iter().any(|closed| below(Path::new(closed))) {
            return Some("it belongs to the host");
        }
        let system =
            SYSTEM_DIRECTORIES.iter().chain(&SYSTEM_STATE).any(|path| below(Path::new(path)));
        if access == Access::Write && system {
            return Some("it belongs to the system");
        }
        None
    }

    fn show(&mut self, at: &Path, real: &Path, access: Access) {
        let Ok(source) = Source::pinned(real) else { return };
        let (content, seen) = match access {
            Access::Read => (Content::ReadOnly(source), &mut self.seen.read),
            Access::Write => (Content::Writable(source), &mut self.seen.write),
        };
        self.places.push(Place::new(at, content));
        seen.push(at.to_owned());
    }

    /// Closes to writing what lies below something that may be written.
    fn protect(&mut self, top: &Path, names: &[PathBuf]) {
        for name in names {
            let path = top.join(name);
            let shown = self.seen.write.iter().any(|write| path.starts_with(write));
            if !shown {
                continue;
            }
            if fs::symlink_metadata(&path).is_err() {
                self.absent.push(path);
                continue;
            }
            // INVARIANT: a link below what an agent may write is not followed: the agent may have put it there.
            let real = fs::canonicalize(&path).ok().filter(|real| *real == path);
            match real.and_then(|real| Source::pinned(real).ok()) {
                Some(source) => {
                    self.hold_above(top, &path);
                    self.places.push(Place::new(&path, Content::ReadOnly(source)));
                    self.seen.protected.push(path);
                }
                None => {
                    let what = format!("`{}` is a link and is not protected", path.display());
                    self.remarks.push(what);
                }
            }
        }
    }

    /// Mounts what lies between `top` and `path` on itself, so that it cannot be renamed and made anew without
    /// what is protected in it.
    fn hold_above(&mut self, top: &Path, path: &Path) {
        let between = path.ancestors().skip(1).take_while(|above| *above != top);
        let mut between: Vec<_> = between.map(Path::to_owned).collect();
        between.reverse();
        for above in between {
            let held = self.places.iter().any(|place| place.at == above);
            if let Some(source) = Source::pinned(&above).ok().filter(|_| !held) {
                self.places.push(Place::new(above, Content::Writable(source)));
            }
        }
    }

    /// Covers what is secret, wherever something above it is shown.
    fn cover(&mut self) {
        for secret in self.secrets.clone() {
            if fs::symlink_metadata(&secret).is_err() || self.seen.hidden.contains(&secret) {
                continue;
            }
            self.places.push(Place::new(&secret, Content::Hidden));
            self.seen.hidden.push(secret);
        }
        for path in SPEAKERS.iter().map(Path::new).filter(|path| path.exists()) {
            self.seen.hidden.push(path.to_owned());
        }
    }

    fn tools(&mut self, tools: &[String]) {
        let program = Content::ReadOnly(Source::demanded(&self.around.iddio));
        self.places.push(Place::new(PROGRAM, program));
        let script = format!("#!/bin/sh\nexec {PROGRAM} exec -- \"${{0##*/}}\" \"$@\"\n");
        let script = Content::File { bytes: script.into_bytes(), mode: 0o555 };
        self.places.push(Place::new(TOOL, script));
        for tool in tools {
            let link = Content::Link { target: TOOL.into() };
            self.places.push(Place::new(Path::new(TOOLS).join(tool), link));
        }
        let link = Content::Link { target: PROGRAM.into() };
        self.places.push(Place::new(Path::new(TOOLS).join("iddio"), link));
    }

    /// Whether what is at `path` is to be seen there.
    fn shows(&self, path: &Path) -> bool {
        let over = |place: &&Place| path.starts_with(&place.at);
        self.places.iter().rev().find(over).is_some_and(|place| {
            matches!(place.content, Content::ReadOnly(_) | Content::Writable(_))
        })
    }

    fn environment(
        &self,
        profile: &Profile,
        network: &[Destination],
    ) -> Result<Environment, GrantError> {
        let mut all: BTreeMap<OsString, OsString> = BTreeMap::new();
        for name in &profile.pass {
            if let Some(value) = self.around.environment.get(OsStr::new(name)) {
                all.insert(name.into(), value.clone());
            }
        }
        for (name, value) in &profile.set {
            let value = match value.strip_prefix("~/") {
                Some(rest) => self.home.join(rest).into_os_string(),
                None => value.into(),
            };
            all.insert(name.into(), value);
        }
        let path = self.path();
        let fixed: [(&str, &OsStr); 7] = [
            ("HOME", self.home.as_os_str()),
            ("IDDIO_RUN", OsStr::new(&profile.name)),
            ("IDDIO_RUN_SOCKET", OsStr::new(SOCKET)),
            ("LOGNAME", OsStr::new(&self.around.user)),
            ("PATH", &path),
            ("TMPDIR", OsStr::new("/tmp")),
            ("USER", OsStr::new(&self.around.user)),
        ];
        all.extend(fixed.map(|(name, value)| (name.into(), value.to_owned())));
        if !network.is_empty() {
            let proxy = format!("http://127.0.0.1:{PROXY_PORT}");
            for name in ["HTTPS_PROXY", "HTTP_PROXY", "https_proxy", "http_proxy"] {
                all.insert(name.into(), proxy.clone().into());
            }
            for name in ["NO_PROXY", "no_proxy"] {
                all.insert(name.into(), "localhost,127.0.0.1,::1".into());
            }
        }
        let mut environment = Environment::empty();
        for (name, value) in all {
            environment.set(name, value)?;
        }
        Ok(environment)
    }

    /// The tools first, then whatever of the caller's path there is to be seen, then the system's.
    fn path(&self) -> OsString {
        let own = self.around.environment.get(OsStr::new("PATH")).cloned().unwrap_or_default();
        let own = std::env::split_paths(&own).filter(|path| path.is_absolute() && self.shows(path));
        let mut all = vec![PathBuf::from(TOOLS)];
        for path in own.chain(SYSTEM_PATH.iter().map(PathBuf::from)) {
            if !all.contains(&path) && !path.as_os_str().as_bytes().contains(&b':') {
                all.push(path);
            }
        }
        std::env::join_paths(all).unwrap_or_else(|_| TOOLS.into())
    }
}

/// Opens the agent's program as the caller would find it.
fn find(name: &OsStr, around: &Surroundings) -> Result<Program, GrantError> {
    if name.as_bytes().contains(&b'/') {
        return Ok(Program::open(&around.directory.join(name))?);
    }
    let path = around.environment.get(OsStr::new("PATH")).cloned().unwrap_or_default();
    let mut unfit = None;
    for directory in std::env::split_paths(&path).filter(|path| path.is_absolute()) {
        match Program::open(&directory.join(name)) {
            Ok(program) => return Ok(program),
            Err(OpenError::NotFound(_)) => {}
            Err(error) => unfit = unfit.or(Some(error)),
        }
    }
    Err(unfit.unwrap_or_else(|| OpenError::NotFound(PathBuf::from(name))).into())
}

/// Says what was asked for beyond the profile.
fn beyond(
    network: &[Destination],
    seen: &Seen,
    read: &[PathBuf],
    write: &[PathBuf],
) -> Vec<String> {
    let last = |seen: &[PathBuf], count: usize| seen.iter().rev().take(count).cloned().collect();
    let reads: Vec<PathBuf> = last(&seen.read, read.len());
    let writes: Vec<PathBuf> = last(&seen.write, write.len());
    let network = network.iter().map(|destination| format!("network {destination}"));
    let reads = reads.into_iter().map(|path| format!("read {}", path.display()));
    let writes = writes.into_iter().map(|path| format!("write {}", path.display()));
    network.chain(reads).chain(writes).collect()
}

/// Returns a configuration of git that says who the caller is and nothing else: the caller's own may hold tokens.
fn git_identity(home: &Path) -> Option<Vec<u8>> {
    let files = [".config/git/config", ".gitconfig"].map(|name| home.join(name));
    let texts = files.iter().filter_map(|path| fs::read_to_string(path).ok());
    let (mut name, mut email) = (None, None);
    for text in texts {
        let mut within = false;
        for line in text.lines().map(str::trim) {
            if line.starts_with('[') {
                within = line.eq_ignore_ascii_case("[user]");
            } else if let Some((key, value)) = line.split_once('=').filter(|_| within) {
                match key.trim().to_ascii_lowercase().as_str() {
                    "name" => name = Some(value.trim().to_owned()),
                    "email" => email = Some(value.trim().to_owned()),
                    _ => {}
                }
            }
        }
    }
    let lines = [("name", name), ("email", email)];
    let lines =
        lines.into_iter().filter_map(|(key, value)| Some(format!("\t{key} = {}\n", value?)));
    let text: String = lines.collect();
    (!text.is_empty()).then(|| format!("[user]\n{text}").into_bytes())
}

/// Where the tools lie in the box: first of its path.
pub const TOOLS: &str = "/run/iddio/bin";
/// What every tool is a link to.
const TOOL: &str = "/run/iddio/tool";
/// Where the program that the tools lead to lies in the box.
const PROGRAM: &str = "/run/iddio/iddio";
/// Where the tools find who runs them.
pub const SOCKET: &str = "/run/iddio/run.sock";
/// Where the box's own loopback leads out.
const PROXY_PORT: u16 = 3128;
/// What the box takes the host to be called.
const HOST_NAME: &str = "iddio-run";
/// A home in memory.
const HOME_BYTES_MAX: u64 = 1024 * 1024 * 1024;
const SYSTEM_PATH: [&str; 6] =
    ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"];
/// What is never shown, whoever names it.
const CLOSED: [&str; 7] = ["/boot", "/dev", "/proc", "/run", "/sys", "/var/lib/iddio", "/var/run"];
/// What may be shown, and never to be written.
const SYSTEM_STATE: [&str; 2] = ["/var/lib", "/var/spool"];
/// Sockets that act for the caller.
const SPEAKERS: [&str; 4] = [
    "/run/dbus/system_bus_socket",
    "/run/docker.sock",
    "/run/podman/podman.sock",
    "/run/containerd/containerd.sock",
];
