//! The verbs, one file each.

mod agent;
mod approvals;
mod audit;
mod catalog;
mod classify;
mod doctor;
mod enrolment;
mod exec;
mod freeze;
mod generate;
mod init;
mod kube;
mod manifests;
mod operator;
mod policy;
mod run;
mod sessions;
mod status;
mod tool;

use std::{
    collections::BTreeMap,
    ffi::{OsStr, OsString},
    fs, io,
    path::Path,
};

use iddio_classify::command::{Ambient, Inner, Judged, judge};
use iddio_core::{
    principal::{Identified, PrincipalKind},
    text::RawText,
};
use iddio_exec::catalogs::Catalogs;
use iddio_execd::config::Config;
use iddio_runtime::{
    assemble::{Runtime, trusted},
    home::{Home, Opened},
    identity::{Credentials, identify},
    policy::HomePolicy,
};

use crate::{
    cli::Verb,
    exit::{DONE, Ended, Failure},
    install,
    output::{self, Voice},
    version::CALVER,
};

/// Does what the verb says.
pub(crate) fn run(verb: Verb, voice: Voice) -> Ended {
    match verb {
        Verb::Agent(verb) => agent::run(verb, voice),
        Verb::Approvals(verb) => approvals::run(verb, voice),
        Verb::Audit(verb) => audit::run(verb, voice),
        Verb::Catalog(verb) => catalog::run(verb, voice),
        Verb::Classify(arguments) => classify::run(arguments, voice),
        Verb::Doctor(json) => doctor::run(json.json, voice),
        Verb::Exec(arguments) => exec::run(arguments, voice),
        Verb::Freeze(arguments) => freeze::run(arguments, voice),
        Verb::Generate(arguments) => generate::run(&arguments),
        Verb::Init(json) => init::run(json.json, voice),
        Verb::Install(arguments) => install::install(arguments, voice),
        Verb::Kube(verb) => manifests::run(verb, voice),
        Verb::Operator(verb) => operator::run(verb, voice),
        Verb::Policy(verb) => policy::run(verb, voice),
        Verb::Run(arguments) => run::run(arguments, voice),
        Verb::Sessions(verb) => sessions::run(verb, voice),
        Verb::Status(json) => status::run(json.json, voice),
        Verb::Thaw(arguments) => freeze::thaw(arguments, voice),
        Verb::Tool(verb) => tool::run(verb, voice),
        Verb::Uninstall(arguments) => install::uninstall(arguments, voice),
        Verb::Version(json) => version(json.json),
        Verb::Wait(arguments) => approvals::wait(&arguments),
    }
}

fn version(json: bool) -> Ended {
    match json {
        true => output::json(&serde_json::json!({"version": CALVER}))?,
        false => output::line(format_args!("iddio {CALVER}"))?,
    }
    Ok(DONE)
}

/// Opens the home, making it on first use, and says so.
pub(crate) fn home(voice: Voice) -> Result<Home, Failure> {
    if let Some(home) = host_home()? {
        return Ok(home);
    }
    let opened = Home::open_or_make(variable(HOME_VARIABLE).as_deref())?;
    if let Opened::Made(home) = &opened {
        voice.say(format_args!(
            "new home in {} (default policy: reads run, changes ask, destruction is refused)",
            short(home)
        ));
    }
    Ok(opened.home().clone())
}

/// Returns the broker's home, for the user it runs as: on a host with a broker that is the one that
/// decides.
pub(crate) fn host_home() -> Result<Option<Home>, Failure> {
    let Some(config) = Config::of_host().map_err(Failure::unavailable)? else { return Ok(None) };
    let keeper = iddio_runtime::home::unix_user(&config.user);
    let own = rustix::process::geteuid().as_raw();
    match keeper.is_some_and(|keeper| keeper.uid == own) {
        true => Ok(Some(Home::service(&config.home)?)),
        false => Ok(None),
    }
}

/// Opens the home to look at it. A look makes none: an empty log that was never there would read as
/// one that is sound.
pub(crate) fn home_there() -> Result<Home, Failure> {
    if let Some(home) = host_home()? {
        return Ok(home);
    }
    let home = Home::open(variable(HOME_VARIABLE).as_deref())?;
    home.ok_or_else(|| Failure::unavailable("there is no home yet").hint("iddio init"))
}

/// Opens everything the home holds.
pub(crate) fn runtime(voice: Voice) -> Result<Runtime, Failure> {
    let home = home(voice)?;
    Runtime::open(home).map_err(|error| {
        Failure::unavailable(error).hint("iddio doctor says what is wrong with the home")
    })
}

/// Returns who calls.
pub(crate) fn caller(home: &Home, agent: Option<&str>) -> Result<Identified, Failure> {
    let token = token();
    Ok(identify(home, &Credentials { agent, token: token.as_deref() })?)
}

/// Returns who calls, if it is a human: agents neither answer asks nor change the home.
pub(crate) fn human(home: &Home) -> Result<Identified, Failure> {
    let caller = caller(home, None)?;
    match caller.principal().kind {
        PrincipalKind::Human => Ok(caller),
        PrincipalKind::Agent | PrincipalKind::Workload => Err(Failure::refused(format!(
            "`{}` is an agent, and only a human may do this",
            caller.principal().id
        ))
        .hint("unset IDDIO_TOKEN if you are one")),
    }
}

/// Judges words for people who ask about them. Surroundings are not looked at.
pub(crate) fn judged(words: &[OsString], ambient: &Ambient) -> Judged {
    use std::os::unix::ffi::OsStrExt;
    let argv: Vec<RawText> = words.iter().map(|word| RawText::new(word.as_bytes())).collect();
    judge(&argv, &Ambient { inner: Inner::Unprepared, ..ambient.clone() })
}

/// Returns what a judgement for people who ask takes from the installation: its catalogs. Where
/// there is no home there are none.
pub(crate) fn ambient() -> Result<Ambient, Failure> {
    Ok(Ambient { catalogs: catalogs()?.added(), ..Ambient::default() })
}

/// Reads the catalogs of this installation.
pub(crate) fn catalogs() -> Result<Catalogs, Failure> {
    let Some(home) = Home::open(variable(HOME_VARIABLE).as_deref())? else {
        return Ok(Catalogs::none());
    };
    let trusted = trusted(&home, &HomePolicy::open(home.policy()).in_force())?;
    match Catalogs::load(&home, &trusted) {
        Catalogs::Broken { reason } => {
            Err(Failure::unavailable(reason).hint("iddio catalog lint FILE"))
        }
        sound @ Catalogs::Sound(_) => Ok(sound),
    }
}

/// Reads a small text file that somebody named.
pub(crate) fn text(path: &Path) -> Result<String, Failure> {
    fs::read_to_string(path).map_err(|error| named(path, &error))
}

/// Returns the failure of a file that somebody named.
pub(crate) fn named(path: &Path, error: &io::Error) -> Failure {
    Failure::unavailable(format!("`{}`: {error}", path.display()))
}

/// Returns the caller's environment.
pub(crate) fn environment() -> BTreeMap<OsString, OsString> {
    std::env::vars_os().collect()
}

/// Returns the token that the caller shows, if it shows one.
pub(crate) fn token() -> Option<String> {
    variable(TOKEN_VARIABLE).map(|token| token.to_string_lossy().into_owned())
}

fn variable(name: &str) -> Option<OsString> {
    std::env::var_os(name)
}

/// Returns the home as people write it.
fn short(home: &Home) -> String {
    let root = home.root();
    match root.file_name() == Some(OsStr::new(".iddio")) && variable(HOME_VARIABLE).is_none() {
        true => "~/.iddio".to_owned(),
        false => output::foreign(&root.display().to_string()),
    }
}

/// Names another home, for tests; see [`iddio_runtime::home`] for when it may.
const HOME_VARIABLE: &str = "IDDIO_HOME";

/// Holds an agent's token.
const TOKEN_VARIABLE: &str = "IDDIO_TOKEN";
