//! Programs without a catalog entry.

use std::sync::{Arc, LazyLock};

use iddio_core::{
    operation::{Reason, ScopeKey, Scopes},
    text::RawText,
    tier::{Class, Tier},
};

use super::{
    Vouched,
    plan::{EnvironmentPlan, EnvironmentValue, Program, RunPlan, StdinRole, Terminal},
};
use crate::catalog::Catalog;

/// Judges a program that has no catalog entry. Its name is fit to be shown.
pub(super) fn program(name: &str, vouched: Vouched) -> (Scopes, RunPlan, Vec<(Class, Reason)>) {
    let file = name.rsplit('/').next().unwrap_or(name);
    let (tier, class, rule, text) = match file {
        _ if !Catalog::names(file) && RUNNERS.contains(&file) => (
            Tier::UNKNOWN,
            Class::Unknown,
            "runner:unread",
            "it runs another program, which is not read",
        ),
        _ if vouched == Vouched::Somebody => (
            Tier::Modify,
            Class::Unknown,
            "program:trusted",
            "no catalog knows this program, and its content is trusted",
        ),
        _ => (Tier::Sensitive, Class::Unknown, "program:unknown", "no catalog knows this program"),
    };
    let mut scopes = Scopes::default();
    scopes.add_name(ScopeKey::Commands, name);
    let reason =
        Reason { tier, rule: rule.to_owned(), text: text.to_owned(), word: Some(0), at: None };
    (scopes, plan(name, file), vec![(class, reason)])
}

fn plan(name: &str, file: &str) -> RunPlan {
    RunPlan {
        program: Program::Path(RawText::from(name)),
        environment: Arc::clone(&ENVIRONMENT),
        stdin: match INTERPRETERS.iter().any(|prefix| file.starts_with(prefix)) {
            true => StdinRole::Program,
            false => StdinRole::Data,
        },
        terminal: Terminal::Prints,
        timeout_seconds: TIMEOUT_SECONDS,
        ..RunPlan::nothing()
    }
}

/// What an unknown program finds in its environment.
static ENVIRONMENT: LazyLock<Arc<EnvironmentPlan>> = LazyLock::new(|| {
    let keep = [
        "HOME",
        "USER",
        "LOGNAME",
        "LANG",
        "LANGUAGE",
        "LC_*",
        "TZ",
        "TERM",
        "COLORTERM",
        "NO_COLOR",
    ];
    Arc::new(EnvironmentPlan {
        keep: keep.map(str::to_owned).to_vec(),
        set: vec![("PATH".to_owned(), EnvironmentValue::ToolPath)],
        carry: Vec::new(),
    })
});

/// Programs that run another and have no catalog. What they run is not read, so it is unknown;
/// taking them for mere unknown programs would lower what they run (invariant I2).
const RUNNERS: [&str; 9] =
    ["builtin", "command", "docker", "eval", "exec", "find", "nerdctl", "podman", "ssh"];

/// Programs that read a program from standard input when no argument names one; `python3.11` too.
const INTERPRETERS: [&str; 12] =
    ["awk", "deno", "ed", "gawk", "lua", "mysql", "node", "perl", "php", "psql", "python", "ruby"];

/// As long as the longest known tool may take.
const TIMEOUT_SECONDS: u64 = 4 * 60 * 60;
