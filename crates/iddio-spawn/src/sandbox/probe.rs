//! Whether this host lets children be confined, found out by confining one.

use std::path::Path;

use rustix::process::geteuid;

use super::{
    Applied, Ids, Job, Launch, Network, Resources, Sandbox, Stage, StartError, Streams,
    system_places,
};
use crate::{Arguments, Environment, Status, ToolPath};

/// Confines a program that does nothing, with everything that a child can be confined by. Returns what was in force.
///
/// # Errors
///
/// With the step that this host does not let it take.
pub fn probe(stage: &Stage) -> Result<Applied, StartError> {
    let ids = match geteuid().is_root() {
        true => Ids::Drop { uid: NOBODY, gid: NOBODY },
        false => Ids::Own,
    };
    let sandbox = Sandbox {
        ids,
        places: system_places(),
        network: Network::Loopback { listen: Vec::new() },
        resources: Resources::usual(),
        host_name: "probe".to_owned(),
    };
    let other = |error: &dyn std::fmt::Display| std::io::Error::other(error.to_string());
    let program = ToolPath::system().find("true".as_ref()).map_err(|error| other(&error))?;
    let arguments = Arguments::new::<&str>("true", []).map_err(|error| other(&error))?;
    let null = || std::fs::OpenOptions::new().read(true).write(true).open("/dev/null");
    let job = Job {
        program: &program,
        launch: Launch::Held,
        arguments: &arguments,
        environment: &Environment::empty(),
        directory: Path::new("/tmp"),
        inputs: &[],
        streams: Streams::Given {
            stdin: null()?.into(),
            stdout: null()?.into(),
            stderr: null()?.into(),
        },
    };
    let confined = sandbox.start(stage, job)?;
    let applied = confined.applied().clone();
    match confined.wait() {
        Ok(Status::Exited(0)) => Ok(applied),
        _ => Err(StartError::Stage),
    }
}

/// Who owns nothing.
const NOBODY: u32 = 65_534;
