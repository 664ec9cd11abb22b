//! `iddio init`: the home.

use iddio_runtime::home::{Home, Opened};
use serde_json::json;

use crate::{
    commands,
    exit::{DONE, Ended},
    output::{self, Voice},
};

pub(crate) fn run(json: bool, voice: Voice) -> Ended {
    let opened = Home::open_or_make(commands::variable(commands::HOME_VARIABLE).as_deref())?;
    let root = output::foreign(&opened.home().root().display().to_string());
    let made = matches!(opened, Opened::Made(_));
    if json {
        output::json(&json!({"home": root, "made": made}))?;
    } else if made {
        voice.say(format_args!(
            "new home in {root} (default policy: reads run, changes ask, destruction is refused)"
        ));
    } else {
        voice.say(format_args!("the home in {root} is there already"));
    }
    Ok(DONE)
}
