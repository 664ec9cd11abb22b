//! What is allowed to stand in a catalog and is probably not meant.
//!
//! Lint never refuses a catalog: what is wrong with one is for [`super::check`].

use iddio_core::tier::Tier;

use super::{
    Catalog, CatalogError, FRONT, GLOBAL,
    format::{Command, Flag, FlagTable, Tool},
    pattern,
};

/// One remark, with its place.
pub type Remark = CatalogError;

impl Catalog {
    /// Looks a catalog over; `text` is the source it was read from. Remarks come in the order of the
    /// text.
    ///
    /// # Errors
    ///
    /// When `text` is no catalog.
    pub fn lint(text: &str) -> Result<Vec<Remark>, CatalogError> {
        Self::parse(text)?;
        let tool: Tool = toml::from_str(text).map_err(|error| {
            let place = error.span().map_or(0, |span| span.start);
            CatalogError::at(text, place, error.message().to_owned())
        })?;
        let mut remarks = Vec::new();
        let mut say = |place, message| remarks.push(CatalogError::at(text, place, message));
        for table in tool.flags.values() {
            reasonless(table, &mut say);
        }
        for command in tool.command.values() {
            reasonless(&command.get_ref().flag, &mut say);
        }
        reads_without_examples(&tool, &mut say);
        names_that_are_taken(&tool, text, &mut say);
        remarks.sort_by_key(|remark| (remark.line, remark.column));
        Ok(remarks)
    }
}

/// Flags that do something and do not say what: whoever reads the catalog next cannot check it.
fn reasonless(table: &FlagTable, say: &mut impl FnMut(usize, String)) {
    for (names, flag) in table.iter() {
        let does = acts(flag.get_ref());
        if does && flag.get_ref().why.is_empty() {
            say(flag.place(), format!("flag `{names}` does something and has no `why`"));
        }
    }
}

fn acts(flag: &Flag) -> bool {
    flag.program.is_some() || flag.path.is_some_and(|path| path.changes())
}

/// A read is a claim, and a claim has an example.
fn reads_without_examples(tool: &Tool, say: &mut impl FnMut(usize, String)) {
    let reads = |command: &Command| command.tier == Tier::Observe;
    for (path, command) in tool.command.iter().filter(|(_, command)| reads(command.get_ref())) {
        let shown = tool.example.iter().any(|example| {
            let words = pattern::words(&example.get_ref().run);
            shows(tool, &words, path)
        });
        if !shown {
            say(command.place(), format!("command `{path}` has tier 0 and no example"));
        }
    }
}

/// Whether an example is of this command: its words follow one another, options aside.
fn shows(tool: &Tool, words: &[String], path: &str) -> bool {
    let aliases = tool.command.get(path).map(|command| command.get_ref().aliases.as_slice());
    let parent = path.rsplit_once(' ').map_or("", |(parent, _)| parent);
    let spelled = aliases.unwrap_or_default().iter().map(|alias| format!("{parent} {alias}"));
    let mut spellings = spelled.chain([path.to_owned()]);
    let words: Vec<_> = words.iter().map(String::as_str).collect();
    spellings.any(|spelling| {
        let wanted: Vec<_> = spelling.split_whitespace().collect();
        words.windows(wanted.len().max(1)).any(|window| window == wanted)
    })
}

/// A catalog of an installation joins a built-in one of the same program, so it can only raise.
fn names_that_are_taken(tool: &Tool, text: &str, say: &mut impl FnMut(usize, String)) {
    let place = text.find("programs").unwrap_or(0);
    for program in &tool.programs {
        match Catalog::for_program(program) {
            Some(built_in) if built_in.name() != tool.name => {
                let name = built_in.name();
                say(
                    place,
                    format!(
                        "`{program}` is in the built-in catalog `{name}`: this one can only raise"
                    ),
                );
            }
            Some(_) | None => {}
        }
    }
    let named = |name: &&String| ![GLOBAL, FRONT].contains(&name.as_str());
    for set in tool.flags.keys().filter(named) {
        let used = |command: &Command| command.flags.contains(set);
        let plain = tool.plain.as_ref().is_some_and(used);
        let many = tool.many.iter().any(|many| many.get_ref().flags.contains(set));
        if !plain && !many && !tool.command.values().any(|command| used(command.get_ref())) {
            say(0, format!("no command names the flag set `{set}`"));
        }
    }
}
