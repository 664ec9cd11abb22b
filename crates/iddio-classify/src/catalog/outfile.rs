//! Commands whose answer goes to a file that an argument names.
//!
//! Which word that is can only be told by who knows every option, so a table lists them all, and
//! each becomes a command of the catalog as if the catalog had it. What the catalog says itself
//! stays.

use super::{
    format::{Arg, Command, Flag, Output, PathUse, Takes, Tool},
    placed::Placed,
};
use crate::command::lists::{self, Argument, Behind, Outfile};

/// Adds the commands of the table that the catalog names.
pub(super) fn add(tool: &mut Tool) {
    let Some(table) = tool.values.outfiles.clone() else { return };
    let Ok(blank) = toml::from_str::<Command>(BLANK) else { return };
    for outfile in lists::outfiles(&table) {
        let path = outfile.path.to_owned();
        let entry = tool.command.entry(path);
        entry.or_insert_with(|| Placed::new(0, command(&blank, &outfile)));
    }
}

fn command(blank: &Command, outfile: &Outfile) -> Command {
    let mut command = blank.clone();
    let mut flags = Vec::new();
    for (name, behind) in &outfile.options {
        let value = match behind {
            Behind::File | Behind::One => Takes::Required,
            Behind::Many => Takes::Many,
            Behind::Nothing => Takes::Switch,
        };
        let writes = *behind == Behind::File;
        let (path, output) = (writes.then_some(PathUse::Write), writes.then_some(Output::File));
        let flag = Flag { value, path, output, ..Flag::default() };
        flags.push((format!("--{name}"), Placed::new(0, flag)));
    }
    command.flag = flags.into_iter().collect();
    if outfile.argument == Argument::File {
        let (name, path) = ("outfile".to_owned(), Some(PathUse::Write));
        command.args.push(Arg { name, path, output: Some(Output::File), ..Arg::default() });
    }
    command
}

/// What all of them are.
const BLANK: &str = "tier = 2\nwhy = 'writes its answer to a file'";
