//! `iddio policy`: what the policy says, and whether it says what was meant.

use std::{
    fs,
    path::{Path, PathBuf},
};

use iddio_approve::Registry;
use iddio_core::{
    policy::Query,
    principal::{Principal, PrincipalId, PrincipalKind, Proof},
    time::Clock,
};
use iddio_exec::catalogs::Found;
use iddio_policy::{
    CaseOutcome, Format, Loaded, Operator, PolicyError, Surroundings, explain, lint, load, test,
};
use iddio_runtime::{clock::SystemClock, home::Home};
use serde_json::{Value, json};

use crate::{
    cli::{PolicyFile, PolicyVerb},
    commands,
    exit::{DONE, Ended, Failure},
    output::{self, Paint, Voice, foreign},
};

pub(crate) fn run(verb: PolicyVerb, voice: Voice) -> Ended {
    match verb {
        PolicyVerb::Check(PolicyFile { file, json }) => check(file, json, voice),
        PolicyVerb::Lint(PolicyFile { file, json }) => run_lint(file, json, voice),
        PolicyVerb::Test { file, tests, json } => run_test(file, tests, json, voice),
        PolicyVerb::Explain { agent, json, command } => {
            let home = commands::home(voice)?;
            let loaded = loaded(&home.policy(), json, voice)?;
            run_explain(&home, &loaded, agent.as_deref(), &command, json)
        }
    }
}

fn check(file: Option<PathBuf>, json: bool, voice: Voice) -> Ended {
    let path = path(file, voice)?;
    let loaded = loaded(&path, json, voice)?;
    match json {
        true => output::json(
            &json!({"file": loaded.name, "policy_version": loaded.version.to_hex(), "diagnostics": []}),
        )?,
        false => output::line(format_args!(
            "ok  {}  {} agents  policy {}",
            foreign(&loaded.name),
            loaded.spec.agents.len(),
            loaded.version
        ))?,
    }
    Ok(DONE)
}

fn run_lint(file: Option<PathBuf>, json: bool, voice: Voice) -> Ended {
    let path = path(file, voice)?;
    let loaded = loaded(&path, json, voice)?;
    let findings = lint(&loaded, &surroundings(voice)?);
    if json {
        let findings = serde_json::to_value(&findings).map_err(Failure::unavailable)?;
        output::json(&findings)?;
        return Ok(DONE);
    }
    for finding in &findings {
        let level = format!("{:?}", finding.level).to_lowercase();
        output::line(format_args!(
            "{}:{}:{}: {level}: {} ({})",
            foreign(&finding.file),
            finding.position.line,
            finding.position.column,
            foreign(&finding.message),
            finding.code
        ))?;
    }
    if findings.is_empty() {
        voice.say("nothing to remark");
    }
    Ok(DONE)
}

fn run_test(file: Option<PathBuf>, tests: Option<PathBuf>, json: bool, voice: Voice) -> Ended {
    let path = path(file, voice)?;
    let loaded = loaded(&path, json, voice)?;
    let tests = tests.unwrap_or_else(|| beside(&path));
    let name = name(&tests);
    let source = fs::read(&tests).map_err(|error| {
        commands::named(&tests, &error).hint("docs/policy.md shows such a table")
    })?;
    let ambient = commands::ambient()?;
    let classify = |words: &[String]| {
        let words: Vec<_> = words.iter().map(Into::into).collect();
        Some(commands::judged(&words, &ambient).operations())
    };
    let report = test(&loaded, &source, Format::of_name(&name), &name, &classify)
        .map_err(|error| refuse(&error, json, voice))?;
    let failed = report.cases.iter().filter(|case| case.outcome == CaseOutcome::Failed).count();
    if json {
        output::json(&serde_json::to_value(&report).map_err(Failure::unavailable)?)?;
    } else {
        for case in &report.cases {
            let (mark, paint) = match case.outcome {
                CaseOutcome::Passed => ("ok    ", Paint::Green),
                CaseOutcome::Failed => ("FAILED", Paint::Red),
            };
            let mark = voice.paint(paint, mark);
            output::line(format_args!("{mark}  {}  {}", foreign(&case.name), foreign(&case.got)))?;
            for difference in &case.differences {
                output::line(format_args!("        {}", foreign(difference)))?;
            }
        }
        output::line(format_args!("{} passed, {failed} failed", report.cases.len() - failed))?;
    }
    if failed == 0 { Ok(DONE) } else { Err(Failure::No) }
}

fn run_explain(
    home: &Home,
    loaded: &Loaded,
    agent: Option<&str>,
    command: &[std::ffi::OsString],
    json: bool,
) -> Ended {
    let principal = match agent {
        Some(name) => principal(name)?,
        None => commands::caller(home, None)?.principal().clone(),
    };
    let judged = commands::judged(command, &commands::ambient()?);
    let now = SystemClock::new().now();
    let query = Query { principal: &principal, operation: &judged.operation, now };
    let explanation = explain(loaded, &query);
    if json {
        output::json(&serde_json::to_value(&explanation).map_err(Failure::unavailable)?)?;
        return Ok(DONE);
    }
    output::line(foreign(&explanation.headline()))?;
    for combination in &explanation.combinations {
        for rule in &combination.rules {
            output::line(format_args!(
                "  rule {} ({}:{}:{}): {}",
                rule.rule,
                foreign(&explanation.file),
                rule.position.line,
                rule.position.column,
                foreign(&rule.why)
            ))?;
        }
    }
    Ok(DONE)
}

/// Returns a principal of that name, as if it had proven it.
fn principal(name: &str) -> Result<Principal, Failure> {
    let id = PrincipalId::new(name)
        .ok_or_else(|| Failure::usage(format!("`{name}` cannot be a principal")))?;
    let (kind, proof) = match name.split_once(':') {
        Some(_) => (PrincipalKind::Human, Proof::UnixUser),
        None => (PrincipalKind::Agent, Proof::Token),
    };
    let (delegation, groups) = (Vec::new(), Vec::new());
    Ok(Principal { id, kind, delegation, proof, groups, tenant: None, task: None })
}

fn surroundings(voice: Voice) -> Result<Surroundings, Failure> {
    let home = commands::home(voice)?;
    let registry = Registry::open(home.root()).map_err(Failure::unavailable)?;
    let live = registry.operators().iter().filter(|operator| operator.revoked.is_none());
    let operators = live.filter_map(|operator| {
        let assurance = operator.key.as_ref()?.assurance;
        Some(Operator { id: operator.id.clone(), groups: operator.groups.clone(), assurance })
    });
    let catalogs = commands::catalogs()?;
    let lowered = catalogs.found().iter().flat_map(Found::lowered).collect();
    Ok(Surroundings { operators: Some(operators.collect()), lowered })
}

fn path(file: Option<PathBuf>, voice: Voice) -> Result<PathBuf, Failure> {
    match file {
        Some(file) => Ok(file),
        None => Ok(commands::home(voice)?.policy()),
    }
}

fn loaded(path: &Path, json: bool, voice: Voice) -> Result<Loaded, Failure> {
    let source = fs::read(path)
        .map_err(|error| Failure::unavailable(format!("`{}`: {error}", path.display())))?;
    let name = name(path);
    load(&source, Format::of_name(&name), &name).map_err(|error| refuse(&error, json, voice))
}

/// Says what is wrong with a file, and returns the answer no.
fn refuse(error: &PolicyError, json: bool, voice: Voice) -> Failure {
    let shown = match json {
        true => {
            let diagnostics = serde_json::to_value(&error.diagnostics).unwrap_or(Value::Null);
            output::json(&json!({"diagnostics": diagnostics}))
        }
        // Diagnostics are made safe to show where they are made.
        false => output::line(error),
    };
    if let Err(closed) = shown {
        voice.tell(closed);
    }
    Failure::No
}

fn name(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

/// Returns where the table tests of a policy lie: `policy_test.yaml` beside `policy.yaml`.
fn beside(path: &Path) -> PathBuf {
    let stem = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
    path.with_file_name(format!("{stem}_test.yaml"))
}
