//! `iddio agent`: who may act by token or by certificate.

use std::path::Path;

use iddio_core::{
    audit::{AdminEvent, Field},
    principal::Identified,
    time::Clock,
};
use iddio_runtime::{agents::Agents, assemble::Runtime};
use serde_json::json;

use crate::{
    cli::AgentVerb,
    commands::{
        self,
        kube::{self, Gateway},
    },
    exit::{DONE, Ended, Failure},
    output::{self, Voice},
};

pub(crate) fn run(verb: AgentVerb, voice: Voice) -> Ended {
    let runtime = commands::runtime(voice)?;
    let home = runtime.home().clone();
    let agents = Agents::of(&home);
    let now = runtime.clock().now().wall.to_string();
    match verb {
        AgentVerb::List(json) => list(&agents, json.json)?,
        AgentVerb::Add { name, group, kube, json } => {
            let caller = commands::human(&home)?;
            let gateway = Gateway::of(kube.as_deref())?;
            let token = agents.add(&name, group, &now)?;
            record(&runtime, &caller, "agent.added", &name)?;
            let kubeconfig = kube::equip(&runtime, &caller, &name, &gateway)?;
            show(&name, token.dangerous_reveal(), &kubeconfig, json, voice)?;
        }
        AgentVerb::Rotate { name, kube, json } => {
            let caller = commands::human(&home)?;
            let gateway = Gateway::of(kube.as_deref())?;
            let token = agents.rotate(&name)?;
            record(&runtime, &caller, "agent.rotated", &name)?;
            let kubeconfig = kube::equip(&runtime, &caller, &name, &gateway)?;
            show(&name, token.dangerous_reveal(), &kubeconfig, json, voice)?;
        }
        AgentVerb::Revoke { name, json } => {
            let caller = commands::human(&home)?;
            agents.revoke(&name, &now)?;
            record(&runtime, &caller, "agent.revoked", &name)?;
            match json {
                true => output::json(&json!({"agent": name, "revoked": now}))?,
                false => voice.say(format_args!("agent {name} is revoked")),
            }
        }
    }
    Ok(DONE)
}

fn list(agents: &Agents<'_>, json: bool) -> Result<(), Failure> {
    let agents = agents.list()?;
    if json {
        let shown = agents.iter().map(|agent| {
            json!({
                "agent": agent.name,
                "groups": agent.groups,
                "on_behalf_of": agent.on_behalf_of,
                "since": agent.since,
                "certificate": agent.certificate.as_ref().map(|certificate| json!({
                    "serial": certificate.serial,
                    "until": certificate.until,
                })),
                "revoked": agent.revoked,
            })
        });
        return Ok(output::json(&shown.collect())?);
    }
    for agent in agents {
        let standing = agent.revoked.map_or("live".to_owned(), |when| format!("revoked {when}"));
        let for_whom = output::foreign(&agent.on_behalf_of);
        output::line(format_args!("{}  for {for_whom}  {standing}", agent.name))?;
    }
    Ok(())
}

/// Shows a token, the only time it is.
fn show(
    name: &str,
    token: &str,
    kubeconfig: &Path,
    json: bool,
    voice: Voice,
) -> Result<(), Failure> {
    let kubeconfig = output::foreign(&kubeconfig.display().to_string());
    if json {
        let shown = json!({"agent": name, "kubeconfig": kubeconfig, "token": token});
        return Ok(output::json(&shown)?);
    }
    output::line(token)?;
    voice.say(format_args!("kubectl as {name}: {kubeconfig}"));
    voice.say(format_args!(
        "this token of {name} is shown once; the agent sets IDDIO_TOKEN, or you run: iddio exec --agent {name} -- …"
    ));
    Ok(())
}

fn record(
    runtime: &Runtime,
    caller: &Identified,
    event: &'static str,
    name: &str,
) -> Result<(), Failure> {
    let fields = vec![("subject", Field::Text(name.into()))];
    let principal = Some(caller.principal().clone());
    let _recorded =
        runtime.record(AdminEvent { event, principal, fields }).map_err(Failure::unavailable)?;
    Ok(())
}
