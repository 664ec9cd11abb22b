//! `iddio freeze` and `iddio thaw`: who is stopped, at once, and until when.
//!
//! A freeze is in force before it is on record, and acknowledged after both; a thaw is on record
//! before it is in force. `iddio_runtime::freezes` says why.

use iddio_approve::{Operator, Registry, thaw::NAMESPACE, thaw::ThawStatement};
use iddio_audit::verify::verify;
use iddio_core::{
    audit::{AdminEvent, Field},
    freeze::{Freeze, Whom},
    principal::{Principal, PrincipalId, PrincipalKind, Proof},
    time::Clock,
};
use iddio_runtime::{
    assemble::Runtime,
    clock::{SystemClock, draw_id},
    freezes::{FreezeError, Freezes, Pending, Was, recorded, set_event},
    home::Home,
};
use serde_json::{Value, json};

use crate::{
    cli::{FreezeArgs, FreezeVerb, Selector, ThawArgs},
    commands::{self, approvals},
    exit::{DONE, Ended, Failure},
    output::{self, Voice, foreign},
};

pub(crate) fn run(arguments: FreezeArgs, voice: Voice) -> Ended {
    let FreezeArgs { verb, whom, reason, json } = arguments;
    match verb {
        Some(FreezeVerb::List(json)) => list(&commands::home_there()?, json.json, voice),
        Some(FreezeVerb::Repair(json)) => repair(voice, json.json),
        None => freeze(&whom, reason, json, voice),
    }
}

/// Stops somebody. What is in force and not on record is said to be so, and is not acknowledged.
fn freeze(selector: &Selector, reason: Option<String>, json: bool, voice: Voice) -> Ended {
    let home = commands::home(voice)?;
    let caller = commands::caller(&home, None)?;
    let caller = caller.principal();
    let whom = whom(&home, selector)?;
    may_freeze(caller, &whom)?;
    let id =
        draw_id().map_err(|error| Failure::unavailable(format!("no random number: {error}")))?;
    let since = SystemClock::new().now().wall;
    let asked = Freeze { id, whom, by: caller.id.clone(), reason, since };
    let pending = Freezes::of(&home).set(asked).map_err(failure)?;
    let freeze = pending.freeze().clone();
    record_set(home, caller, &pending).map_err(|why| {
        Failure::unavailable(format!("{} is frozen, and that is not on record: {why}", freeze.whom))
            .hint("say it again, or: iddio freeze repair")
    })?;
    let was = pending.was();
    drop(pending);
    if json {
        output::json(&json!({"frozen": value(&freeze)}))?;
        return Ok(DONE);
    }
    let selector = freeze.whom.selector();
    match was {
        Was::Free => output::line(format_args!("frozen  {}", freeze.whom))?,
        Was::Frozen => {
            output::line(format_args!("frozen  {} since {}", freeze.whom, freeze.since))?
        }
        Was::Damaged => {
            output::line(format_args!("frozen  everybody, and on record: {}", freeze.whom))?;
            voice.tell("who is frozen cannot be told: iddio freeze repair, then thaw");
        }
    }
    voice.say(format_args!("a human lifts it: iddio thaw {selector}"));
    Ok(DONE)
}

/// Records a freeze, unless the log has it.
fn record_set(home: Home, caller: &Principal, pending: &Pending) -> Result<(), String> {
    let log = home.log();
    let runtime = Runtime::open(home).map_err(|error| error.to_string())?;
    let freeze = pending.freeze();
    let known = match pending.was() {
        Was::Damaged | Was::Free => false,
        Was::Frozen => {
            let recorded = recorded(&log).map_err(|error| error.to_string())?;
            recorded.iter().any(|known| known.id == freeze.id)
        }
    };
    if !known {
        let event = set_event(freeze, caller);
        let _recorded = runtime.record(event).map_err(|error| error.to_string())?;
    }
    runtime.finish().map_err(|error| error.to_string())
}

/// Whether the caller may stop them: a human whomever, an agent itself.
fn may_freeze(caller: &Principal, whom: &Whom) -> Result<(), Failure> {
    let itself = caller.proof == Proof::Token && *whom == Whom::Agent(caller.id.clone());
    match caller.kind {
        PrincipalKind::Human => Ok(()),
        PrincipalKind::Agent | PrincipalKind::Workload if itself => Ok(()),
        PrincipalKind::Agent | PrincipalKind::Workload => Err(Failure::refused(format!(
            "`{}` is an agent, and an agent freezes nobody but itself",
            caller.id
        ))
        .hint(format!("iddio freeze --agent {}", caller.id))),
    }
}

/// Lifts a freeze: recorded first, then in force.
pub(crate) fn thaw(arguments: ThawArgs, voice: Voice) -> Ended {
    let ThawArgs { whom: selector, signing, statement, signature, json } = arguments;
    let home = commands::home_there()?;
    let caller = commands::human(&home)?;
    let caller = caller.principal();
    let whom = whom(&home, &selector)?;
    let freezes = Freezes::of(&home);
    let standing = freezes.list().map_err(|reason| failure(FreezeError::Damaged { reason }))?;
    let targets: Vec<_> = standing.iter().filter(|freeze| freeze.whom.is_same(&whom)).collect();
    let Some(first) = targets.first() else {
        return Err(failure(FreezeError::Unknown(whom.to_string())));
    };
    let registry = Registry::open(home.root()).map_err(Failure::unavailable)?;
    let thawer = Thawer::new(&registry, caller, signing.operator.as_deref())?;
    thawer.may(&standing, &whom)?;
    if statement {
        let statement = ThawStatement { freeze: first, operator: &thawer.id };
        output::line(statement.to_string().trim_end_matches('\n'))?;
        return Ok(DONE);
    }
    let handed = signature.as_deref().map(commands::text).transpose()?;
    let key = match handed {
        Some(_) => None,
        None => approvals::signing_key(&home, signing)?,
    };
    let mut signed = Vec::new();
    for freeze in targets {
        let text = ThawStatement { freeze, operator: &thawer.id }.to_string();
        let armoured = match (&handed, &key) {
            (Some(handed), _) => Some(handed.clone()),
            (None, Some(key)) => {
                let bytes = text.as_bytes();
                Some(key.sign(NAMESPACE, bytes).map_err(Failure::unavailable)?)
            }
            (None, None) => None,
        };
        thawer.check(&registry, &whom, &text, armoured.as_deref())?;
        signed.push((freeze.id, armoured));
    }
    let lifting = freezes.lift(&whom).map_err(failure)?;
    let runtime = Runtime::open(home).map_err(Failure::unavailable)?;
    for freeze in lifting.freezes() {
        let Some((_, armoured)) = signed.iter().find(|(id, _)| *id == freeze.id) else {
            return Err(
                Failure::unavailable("they were frozen anew meanwhile").hint("say it again")
            );
        };
        let event = thawer.event(freeze, caller, armoured.as_deref());
        let _recorded = runtime.record(event).map_err(Failure::unavailable)?;
    }
    let lifted = lifting.freezes().to_vec();
    lifting.finish()?;
    runtime.finish().map_err(Failure::unavailable)?;
    let assurance = thawer.assurance();
    match json {
        true => output::json(&json!({
            "thawed": lifted.iter().map(value).collect::<Vec<_>>(),
            "by": thawer.id.as_str(), "approval_assurance": assurance,
        }))?,
        false => output::line(format_args!("thawed  {whom}  (assurance: {assurance})"))?,
    }
    still(&freezes, voice);
    Ok(DONE)
}

/// The human who thaws.
struct Thawer {
    id: PrincipalId,
    /// Every name they have.
    names: Vec<PrincipalId>,
    /// Who signs, if somebody does.
    signs: Option<Operator>,
}

// === impl Thawer ===

impl Thawer {
    fn new(registry: &Registry, caller: &Principal, named: Option<&str>) -> Result<Self, Failure> {
        let Some(named) = named else {
            let names = names(registry, vec![caller.id.clone()]);
            return Ok(Self { id: caller.id.clone(), names, signs: None });
        };
        let found = registry.find(named).filter(|operator| operator.revoked.is_none());
        let operator = found.ok_or_else(|| {
            Failure::usage(format!("no operator `{named}`")).hint("iddio operator list")
        })?;
        let names = names(registry, vec![operator.id.clone()]);
        Ok(Self { id: operator.id.clone(), names, signs: Some(operator.clone()) })
    }

    /// Nobody who is frozen thaws: neither themselves nor others.
    fn may(&self, standing: &[Freeze], whom: &Whom) -> Result<(), Failure> {
        match standing.iter().find(|freeze| freeze.whom.is_human(&self.names)) {
            None => Ok(()),
            Some(freeze) => {
                let what = format!("{} is frozen, and thaws nobody", freeze.whom);
                Err(Failure::refused(what).hint(format!(
                    "another operator with a key can: iddio thaw {} --as OPERATOR",
                    whom.selector()
                )))
            }
        }
    }

    /// Checks the signature. There need be none where no operator has a key.
    fn check(
        &self,
        registry: &Registry,
        whom: &Whom,
        text: &str,
        armoured: Option<&str>,
    ) -> Result<(), Failure> {
        let live = registry.operators().iter().filter(|operator| operator.revoked.is_none());
        let keyed = live.into_iter().find(|operator| operator.key.is_some());
        let key = self.signs.as_ref().and_then(|operator| operator.key.as_ref());
        match (armoured, key, keyed) {
            (Some(armoured), Some(key), _) => {
                let verified = key.public.verify(NAMESPACE, text.as_bytes(), armoured);
                verified.map_err(|error| {
                    Failure::refused(format!("the signature does not count: {error}"))
                })
            }
            (_, _, Some(operator)) => {
                Err(Failure::refused("an operator of this home has a key, so a thaw is signed")
                    .hint(format!("iddio thaw {} --as {}", whom.selector(), operator.name())))
            }
            (_, _, None) => Ok(()),
        }
    }

    /// Returns what the thaw is worth.
    fn assurance(&self) -> &'static str {
        let key = self.signs.as_ref().and_then(|operator| operator.key.as_ref());
        key.map_or("none", |key| key.assurance.name())
    }

    fn event(&self, freeze: &Freeze, caller: &Principal, armoured: Option<&str>) -> AdminEvent {
        let text = |text: &str| Field::Text(text.into());
        let mut fields = vec![
            ("freeze", text(&freeze.id.to_string())),
            ("whom", text(freeze.whom.kind())),
            ("by", text(self.id.as_str())),
            ("approval_assurance", text(self.assurance())),
        ];
        fields.extend(freeze.whom.name().map(|name| ("name", text(name))));
        if let Some(armoured) = armoured {
            let statement = ThawStatement { freeze, operator: &self.id }.to_string();
            fields.push(("statement", text(&statement)));
            fields.push(("signature", text(armoured)));
        }
        AdminEvent { event: LIFTED, principal: Some(caller.clone()), fields }
    }
}

fn list(home: &Home, json: bool, voice: Voice) -> Ended {
    let standing = Freezes::of(home).list();
    if json {
        let (freezes, unknown) = match &standing {
            Ok(freezes) => (freezes.as_slice(), None),
            Err(reason) => (&[][..], Some(reason)),
        };
        let freezes: Vec<_> = freezes.iter().map(value).collect();
        output::json(&json!({"frozen": freezes, "unknown": unknown}))?;
        return Ok(DONE);
    }
    let freezes = standing.map_err(|reason| failure(FreezeError::Damaged { reason }))?;
    for freeze in &freezes {
        let Freeze { whom, by, reason, since, .. } = freeze;
        let why = reason.as_deref().map_or_else(String::new, |why| format!("  {}", foreign(why)));
        output::line(format_args!("{whom}  since {since}  by {by}{why}"))?;
    }
    if freezes.is_empty() {
        voice.say("nobody is frozen");
    }
    Ok(DONE)
}

/// Makes the state anew: whoever the state or the log says is frozen, on record first.
fn repair(voice: Voice, json: bool) -> Ended {
    let home = commands::home_there()?;
    let caller = commands::human(&home)?;
    let log = home.log();
    let freezes = Freezes::of(&home);
    let repair = freezes.repair(|| {
        let report = verify(&log, 1).map_err(Failure::unavailable)?;
        match report.bad {
            Some(bad) => Err(Failure::unavailable(format!(
                "the log is damaged at record {}, and says nothing reliable",
                bad.seq
            ))
            .hint("iddio audit verify")),
            None => recorded(&log).map_err(Failure::unavailable),
        }
    })?;
    let runtime = Runtime::open(home.clone()).map_err(Failure::unavailable)?;
    for freeze in repair.unrecorded() {
        let event = set_event(freeze, caller.principal());
        let _recorded = runtime.record(event).map_err(Failure::unavailable)?;
    }
    let count = u64::try_from(repair.freezes().len()).unwrap_or(u64::MAX);
    let mut fields = vec![("frozen", Field::Int(count))];
    fields.extend(repair.damage().map(|damage| ("damage", Field::Text(damage.into()))));
    let principal = Some(caller.principal().clone());
    let event = AdminEvent { event: "freeze.repaired", principal, fields };
    let _recorded = runtime.record(event).map_err(Failure::unavailable)?;
    repair.finish()?;
    runtime.finish().map_err(Failure::unavailable)?;
    list(&home, json, voice)
}

/// Says who is frozen still: thawing an agent helps little while everybody is frozen.
fn still(freezes: &Freezes, voice: Voice) {
    for freeze in freezes.list().unwrap_or_default() {
        voice.say(format_args!("still frozen: {}", freeze.whom));
    }
}

/// Returns whom the words select.
fn whom(home: &Home, selector: &Selector) -> Result<Whom, Failure> {
    let Selector { agent, task, operator, all: _ } = selector;
    let principal = |name: &str| {
        PrincipalId::new(name)
            .ok_or_else(|| Failure::usage(format!("`{name}` cannot be a principal")))
    };
    match (agent, task, operator) {
        (Some(name), _, _) => Ok(Whom::Agent(principal(name)?)),
        (_, Some(task), _) => Ok(Whom::Task(task.as_str().to_owned())),
        (_, _, Some(name)) => {
            let called = match name.contains(':') {
                true => vec![principal(name)?],
                false => {
                    vec![principal(&format!("human:{name}"))?, principal(&format!("local:{name}"))?]
                }
            };
            // Stopping works also where the registry does not.
            let names = match Registry::open(home.root()) {
                Ok(registry) => names(&registry, called),
                Err(_) => called,
            };
            Ok(Whom::Operator { name: principal(name)?, names })
        }
        (None, None, None) => Ok(Whom::All),
    }
}

/// Returns `called` and every other name that the registry has for the same people.
fn names(registry: &Registry, called: Vec<PrincipalId>) -> Vec<PrincipalId> {
    let mut names = called.clone();
    for operator in registry.operators() {
        let own = [vec![operator.id.clone()], operator.aliases.clone()].concat();
        if own.iter().any(|name| called.contains(name)) {
            names.extend(own);
        }
    }
    names.sort();
    names.dedup();
    names
}

fn value(freeze: &Freeze) -> Value {
    let Freeze { id, whom, by, reason, since } = freeze;
    json!({
        "freeze": id.to_string(),
        "whom": whom.kind(),
        "name": whom.name(),
        "since": since.to_string(),
        "by": by.as_str(),
        "reason": reason,
    })
}

fn failure(error: FreezeError) -> Failure {
    match error {
        FreezeError::Damaged { .. } => Failure::unavailable(error).hint("iddio freeze repair"),
        FreezeError::Full => Failure::unavailable(error).hint("iddio freeze --all"),
        FreezeError::Long => Failure::usage(error),
        FreezeError::Unknown(_) => Failure::usage(error).hint("iddio freeze list"),
        FreezeError::Store(_) => {
            Failure::unavailable(error).hint("iddio freeze list says what holds")
        }
    }
}

/// Somebody was thawed.
const LIFTED: &str = "freeze.lifted";
