//! Text for psql: SQL and psql's own commands.

use iddio_core::tier::{Class, Tier};

use super::{
    Findings, client, sql,
    sql_scan::{Dialect, Piece, pieces},
};
use crate::{
    catalog::format::PathUse,
    command::line::{Judging, Term},
};

/// Judges a program of psql.
pub(super) fn judge(words: &[Term], judging: &Judging<'_>) -> Findings {
    client::each(words, |text, findings| {
        let Some(pieces) = pieces(text, Dialect::Postgres) else {
            return findings.join(Findings::unread(
                "SQL with a quote or comment that does not end, or more than anyone reads",
            ));
        };
        for piece in pieces {
            match piece {
                Piece::Client(line) => command(&line, judging, findings),
                Piece::Statement(text) => sql::statement(&text, Dialect::Postgres, findings),
                Piece::Variable => {
                    findings.join(Findings::unread("SQL into which psql puts a value first"));
                }
            }
        }
    })
}

/// A command that starts with a backslash.
fn command(line: &str, judging: &Judging<'_>, findings: &mut Findings) {
    let rest = line.get(1..).unwrap_or("");
    let split = rest.find(char::is_whitespace).unwrap_or(rest.len());
    let (name, rest) = match rest.strip_prefix('!') {
        Some(rest) => ("!", rest),
        None => rest.split_at_checked(split).unwrap_or((rest, "")),
    };
    let rest = rest.trim();
    if name != "!" {
        for program in rest.split('`').skip(1).step_by(2) {
            client::shell(program, judging, findings);
        }
    }
    let mut raise = |tier, class, text| findings.add(tier, class, "psql:command", text);
    match name {
        "!" => client::shell(rest, judging, findings),
        "g" | "gx" | "o" | "out" | "w" | "write" | "s" | "log" => {
            let target = rest.rsplit(')').next().unwrap_or(rest).trim();
            match target.strip_prefix('|') {
                Some(program) => client::shell(program, judging, findings),
                None if target.is_empty() => {}
                None => client::file(target, PathUse::Write, judging, findings),
            }
        }
        "copy" => copy(rest, judging, findings),
        "gexec" => raise(Tier::UNKNOWN, Class::Unknown, "runs what a query answers"),
        "c" | "connect" if rest.is_empty() => {}
        "c" | "connect" => raise(Tier::Sensitive, Class::Evasion, "connects elsewhere"),
        "i" | "ir" | "include" | "include_relative" => {
            raise(Tier::Sensitive, Class::Unknown, "runs a file");
        }
        "password" => raise(Tier::Sensitive, Class::Identity, "changes a password"),
        "setenv" => raise(Tier::Sensitive, Class::Evasion, "changes the client's environment"),
        "set" if rest.to_ascii_uppercase().starts_with("SINGLELINE") => {
            raise(Tier::UNKNOWN, Class::Evasion, "changes how the text behind it is read");
        }
        _ if name.starts_with('d') && name.bytes().all(describes) => {}
        _ if HARMLESS.contains(&name) => {}
        _ => raise(Tier::Sensitive, Class::Unknown, "a command of psql that nobody looked at"),
    }
}

/// `\copy` reads or writes a file on this machine, or runs a program here.
fn copy(rest: &str, judging: &Judging<'_>, findings: &mut Findings) {
    let upper = rest.to_ascii_uppercase();
    let places = [" FROM ", " TO "].map(|word| upper.rfind(word).map(|at| (at, at + word.len())));
    let Some((before, behind)) = places.into_iter().flatten().max() else {
        return findings.join(Findings::unread("a copy that cannot be read"));
    };
    let text = rest.get(..before).unwrap_or("");
    let writes = upper.get(before..).is_some_and(|rest| rest.starts_with(" TO"));
    let target = rest.get(behind..).unwrap_or("").trim();
    let direction = if writes { "TO STDOUT" } else { "FROM STDIN" };
    sql::statement(&format!("COPY {text} {direction}"), Dialect::Postgres, findings);
    if upper.contains("PROGRAM") {
        let program = upper.find("PROGRAM").and_then(|at| rest.get(at + "PROGRAM".len()..));
        let program = program.and_then(|rest| rest.split('\'').nth(1)).unwrap_or("");
        return client::shell(program, judging, findings);
    }
    let name = match target.strip_prefix('\'') {
        Some(rest) => rest.split('\'').next().unwrap_or(""),
        None => target.split_whitespace().next().unwrap_or(""),
    };
    if !["stdin", "stdout", "pstdin", "pstdout"].contains(&name.to_ascii_lowercase().as_str()) {
        let usage = if writes { PathUse::Write } else { PathUse::Read };
        client::file(name, usage, judging, findings);
    }
}

/// The letters of `\d` and its kin.
fn describes(letter: u8) -> bool {
    letter.is_ascii_alphabetic() || matches!(letter, b'+' | b'S')
}

/// Commands that show something, or change how answers look.
const HARMLESS: [&str; 56] = [
    "?",
    "C",
    "H",
    "T",
    "a",
    "bind",
    "bind_named",
    "cd",
    "conninfo",
    "crosstabview",
    "echo",
    "elif",
    "else",
    "encoding",
    "endif",
    "errverbose",
    "f",
    "gdesc",
    "getresults",
    "gset",
    "h",
    "help",
    "if",
    "l",
    "l+",
    "list",
    "list+",
    "lx",
    "p",
    "parse",
    "print",
    "prompt",
    "pset",
    "q",
    "qecho",
    "quit",
    "r",
    "reset",
    "set",
    "sf",
    "sf+",
    "startpipeline",
    "sv",
    "sv+",
    "syncpipeline",
    "endpipeline",
    "t",
    "timing",
    "unset",
    "warn",
    "watch",
    "x",
    "z",
    "zS",
    "flush",
    "flushrequest",
];
