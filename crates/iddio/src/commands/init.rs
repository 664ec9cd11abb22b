//! `iddio init`: the home, with its authority and the certificate of its gateway.

use iddio_runtime::{
    assemble::Runtime,
    authority,
    home::{Home, Opened},
};
use serde_json::json;

use crate::{
    commands::{self, kube::Gateway},
    exit::{DONE, Ended, Failure},
    output::{self, Voice},
};

pub(crate) fn run(json: bool, voice: Voice) -> Ended {
    let opened = Home::open_or_make(commands::variable(commands::HOME_VARIABLE).as_deref())?;
    let root = output::foreign(&opened.home().root().display().to_string());
    let made = matches!(opened, Opened::Made(_));
    let certified = certify(opened.home());
    if json {
        output::json(&json!({"home": root, "made": made}))?;
    } else if made {
        voice.say(format_args!(
            "new home in {root} (default policy: reads run, changes ask, destruction is refused)"
        ));
    } else {
        voice.say(format_args!("the home in {root} is there already"));
    }
    if let Err(Failure::Refused(why, _) | Failure::Unavailable(why, _)) = certified {
        // The home serves without: the authority is made once somebody needs it.
        voice.say(format_args!("there is no certificate for a gateway yet: {why}"));
    }
    Ok(DONE)
}

/// Makes the home's authority and the certificate of its gateway, where they are not there.
fn certify(home: &Home) -> Result<(), Failure> {
    if authority::server_path(&home.tls()).exists() {
        return Ok(());
    }
    let by = commands::human(home)?;
    let by = Some(by.principal());
    let runtime = Runtime::open(home.clone()).map_err(Failure::unavailable)?;
    let own = authority::open(&runtime, by).map_err(Failure::unavailable)?;
    let names = Gateway::of(None)?.names();
    let _path =
        authority::server(&runtime, &own, &names, None, by).map_err(Failure::unavailable)?;
    runtime.finish().map_err(Failure::unavailable)
}
