//! `iddio operator`: the humans who may approve.

use iddio_approve::{Custody, Operator, Profile, Registry, RegistryError, Typing, read_passphrase};
use iddio_core::{principal::Identified, time::Clock};
use iddio_runtime::assemble::Runtime;
use serde_json::{Value, json};

use crate::{
    cli::{self, OperatorVerb},
    commands::{self, approvals, enrolment::Enrolments},
    exit::{DONE, Ended, Failure},
    output::{self, Voice},
};

pub(crate) fn run(verb: OperatorVerb, voice: Voice) -> Ended {
    let runtime = commands::runtime(voice)?;
    let dir = runtime.home().root().to_owned();
    if let OperatorVerb::List(json) = verb {
        list(&Registry::open(&dir).map_err(failure)?, json.json)?;
        return strangers(&runtime, voice);
    }
    let caller = commands::human(runtime.home())?;
    let now = runtime.clock().now().wall;
    let (operator, event, json) = match verb {
        OperatorVerb::List(_) => return Ok(DONE),
        OperatorVerb::Add { name, ssh_key, custody, group, unix_user, json } => {
            let line = ssh_key.as_deref().map(commands::text).transpose()?;
            let custody = match custody {
                cli::Custody::Elsewhere => Custody::Elsewhere,
                cli::Custody::Here => Custody::Here,
            };
            let key = line.as_deref().map(|line| (line, custody));
            let profile = Profile { groups: group, unix_users: unix_user.into_iter().collect() };
            let added = Registry::add(&dir, &name, key, &profile, now).map_err(failure)?;
            (added, "operator.added", json)
        }
        OperatorVerb::Enroll { name, passphrase_fd, json } => {
            let source = approvals::source(passphrase_fd)?;
            let question = format!("New passphrase of {name}: ");
            let phrase =
                read_passphrase(source, &question, Typing::Twice).map_err(Failure::unavailable)?;
            let profile = Profile::default();
            let enrolled =
                Registry::enroll(&dir, &name, &phrase, &profile, now).map_err(failure)?;
            (enrolled, "operator.enrolled", json)
        }
        OperatorVerb::Revoke { name, json } => {
            (Registry::revoke(&dir, &name, now).map_err(failure)?, "operator.revoked", json)
        }
    };
    record(&runtime, &caller, &operator, event)?;
    match json {
        true => output::json(&value(&operator))?,
        false => voice.say(sentence(&operator, event)),
    }
    Ok(DONE)
}

fn list(registry: &Registry, json: bool) -> Result<(), Failure> {
    if json {
        let operators = registry.operators().iter().map(value);
        return Ok(output::json(&Value::Array(operators.collect()))?);
    }
    for operator in registry.operators() {
        let key = match &operator.key {
            Some(key) => {
                format!("{} {}", key.assurance.name(), output::foreign(&key.public.fingerprint()))
            }
            None => "no key".to_owned(),
        };
        let standing = operator.revoked.map_or("live".to_owned(), |when| format!("revoked {when}"));
        output::line(format_args!("{}  {key}  {standing}", operator.name()))?;
    }
    Ok(())
}

/// Notes who was written into the registry behind iddio's back.
fn strangers(runtime: &Runtime, voice: Voice) -> Ended {
    let home = runtime.home();
    let registry = Registry::open(home.root()).map_err(failure)?;
    let enrolments = Enrolments::read(&home.log()).map_err(Failure::unavailable)?;
    for (operator, why) in enrolments.strangers(&registry) {
        voice.tell(format_args!("operator {} {why}", operator.name()));
    }
    Ok(DONE)
}

fn value(operator: &Operator) -> Value {
    json!({
        "operator": operator.id.as_str(),
        "aliases": operator.aliases.iter().map(|alias| alias.as_str()).collect::<Vec<_>>(),
        "groups": operator.groups,
        "key": operator.key.as_ref().map(|key| key.public.fingerprint()),
        "assurance": operator.key.as_ref().map(|key| key.assurance.name()),
        "enrolled": operator.enrolled.to_string(),
        "revoked": operator.revoked.map(|when| when.to_string()),
    })
}

fn sentence(operator: &Operator, event: &str) -> String {
    let name = operator.name();
    match (event, &operator.key) {
        ("operator.revoked", _) => {
            format!("operator {name} is revoked; their answers no longer count")
        }
        (_, None) => format!("operator {name} has no key yet: iddio operator enroll {name}"),
        (_, Some(key)) => format!(
            "operator {name} answers with {} (assurance {})",
            output::foreign(&key.public.fingerprint()),
            key.assurance.name()
        ),
    }
}

fn record(
    runtime: &Runtime,
    caller: &Identified,
    operator: &Operator,
    event: &'static str,
) -> Result<(), Failure> {
    let event = operator.record(event, caller.principal());
    let _recorded = runtime.record(event).map_err(Failure::unavailable)?;
    Ok(())
}

fn failure(error: RegistryError) -> Failure {
    match error {
        RegistryError::Exists(_) | RegistryError::Unknown(_) => {
            Failure::usage(error).hint("iddio operator list")
        }
        RegistryError::KeyTaken(_) | RegistryError::Name(_) | RegistryError::Public(_) => {
            Failure::usage(error)
        }
        error => Failure::unavailable(error),
    }
}
