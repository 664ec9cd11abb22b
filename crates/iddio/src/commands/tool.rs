//! `iddio tool`: which programs are known.

use std::{env, path::PathBuf};

use iddio_core::{
    audit::{AdminEvent, Field},
    text::RawText,
    time::Clock,
};
use iddio_exec::{reach::Reach, request};
use iddio_runtime::tools::{By, Tools};
use iddio_spawn::ToolPath;
use serde_json::json;

use crate::{
    cli::ToolVerb,
    commands,
    exit::{DONE, Ended, Failure},
    output::{self, Voice, foreign},
};

pub(crate) fn run(verb: ToolVerb, voice: Voice) -> Ended {
    match verb {
        ToolVerb::List(json) => list(json.json, voice),
        ToolVerb::Trust { path, json } => trust(path, json, voice),
    }
}

fn list(json: bool, voice: Voice) -> Ended {
    let home = commands::home(voice)?;
    let tools = Tools::of(&home).list()?;
    if json {
        let shown = tools.iter().map(|tool| {
            let by = by(tool.by);
            json!({"path": tool.path, "sha256": tool.sha256, "by": by, "since": tool.since})
        });
        output::json(&shown.collect())?;
        return Ok(DONE);
    }
    for tool in tools {
        let path = foreign(&tool.path.display().to_string());
        output::line(format_args!("{path}  {}  {}", by(tool.by), tool.sha256))?;
    }
    Ok(DONE)
}

fn trust(path: PathBuf, json: bool, voice: Voice) -> Ended {
    let runtime = commands::runtime(voice)?;
    let home = runtime.home().clone();
    let caller = commands::human(&home)?;
    let directory = env::current_dir()?;
    let path = directory.join(path);
    let resolved = request::resolve(
        &home,
        &ToolPath::system(),
        &directory,
        path.as_os_str(),
        &[],
        &Reach::Everywhere,
    )
    .map_err(Failure::unavailable)?;
    let now = runtime.clock().now().wall.to_string();
    let known = request::known(&resolved, By::Trust, now);
    let name = RawText::new(std::os::unix::ffi::OsStrExt::as_bytes(known.path.as_os_str()));
    let _recorded = runtime
        .record(AdminEvent {
            event: "tool.trusted",
            principal: Some(caller.principal().clone()),
            fields: vec![("path", Field::Text(name)), ("sha256", Field::Digest(resolved.digest))],
        })
        .map_err(Failure::unavailable)?;
    let (path, sha256) = (known.path.clone(), known.sha256.clone());
    Tools::of(&home).learn(known)?;
    match json {
        true => output::json(&json!({"path": path, "sha256": sha256}))?,
        false => voice.say(format_args!(
            "{} is trusted as it is now (sha256 {sha256})",
            foreign(&path.display().to_string())
        )),
    }
    Ok(DONE)
}

fn by(by: By) -> &'static str {
    match by {
        By::Pin => "pinned",
        By::Trust => "trusted",
    }
}
