//! Text for MySQL's client: SQL and the client's own commands. SQLite's shell is the same in small.

use iddio_core::tier::{Class, Tier};

use super::{
    Findings, client, sql,
    sql_scan::{Dialect, Piece, pieces},
};
use crate::{
    catalog::format::PathUse,
    command::line::{Judging, Term},
};

/// Judges a program of MySQL's client.
pub(super) fn judge(words: &[Term], judging: &Judging<'_>) -> Findings {
    read(words, Dialect::Mysql, judging, command)
}

/// Judges a program of SQLite's shell.
pub(super) fn sqlite(words: &[Term], judging: &Judging<'_>) -> Findings {
    read(words, Dialect::Sqlite, judging, dot)
}

fn read(
    words: &[Term],
    dialect: Dialect,
    judging: &Judging<'_>,
    command: fn(&str, &Judging<'_>, &mut Findings),
) -> Findings {
    client::each(words, |text, findings| {
        let Some(pieces) = pieces(text, dialect) else {
            return findings.join(Findings::unread(
                "SQL with a quote or comment that does not end, or more than anyone reads",
            ));
        };
        for piece in pieces {
            match piece {
                Piece::Client(line) => command(&line, judging, findings),
                Piece::Statement(text) => sql::statement(&text, dialect, findings),
                Piece::Variable => {}
            }
        }
    })
}

/// A command of MySQL's client: a word at the start of a line, or a letter behind a backslash.
fn command(line: &str, judging: &Judging<'_>, findings: &mut Findings) {
    let (name, rest) = match line.strip_prefix('\\') {
        Some(rest) => {
            let letter = rest.chars().next().map_or(0, char::len_utf8);
            rest.split_at_checked(letter).unwrap_or((rest, ""))
        }
        None => {
            let split = line.find(|c: char| c.is_whitespace() || c == ';').unwrap_or(line.len());
            line.split_at_checked(split).unwrap_or((line, ""))
        }
    };
    let rest = rest.trim().trim_end_matches(';').trim();
    let lower = name.to_ascii_lowercase();
    let name = if name.len() == 1 { name } else { lower.as_str() };
    let mut raise = |tier, class, text| findings.add(tier, class, "mysql:command", text);
    match name {
        "!" | "system" => client::shell(rest, judging, findings),
        "P" | "pager" if !rest.is_empty() => client::shell(rest, judging, findings),
        "T" | "tee" if !rest.is_empty() => {
            client::file(rest, PathUse::Append, judging, findings);
        }
        "." | "source" => raise(Tier::Sensitive, Class::Unknown, "runs a file"),
        "e" | "edit" => raise(Tier::Sensitive, Class::Session, "runs an editor"),
        "r" | "connect" if !rest.is_empty() => {
            raise(Tier::Sensitive, Class::Evasion, "connects elsewhere");
        }
        "d" | "delimiter" => {
            raise(Tier::UNKNOWN, Class::Unknown, "changes where the statements behind it end");
        }
        // One line may hold more than the name.
        "u" | "use" | "C" | "charset" if rest.contains([';', '\\']) => {
            raise(Tier::UNKNOWN, Class::Unknown, "more than a name");
        }
        _ if rest.contains([';', '\\']) => {
            raise(Tier::UNKNOWN, Class::Unknown, "more than a command of the client");
        }
        _ => {}
    }
}

/// A command of SQLite's shell.
fn dot(line: &str, judging: &Judging<'_>, findings: &mut Findings) {
    let line = line.strip_prefix('.').unwrap_or(line);
    let split = line.find(char::is_whitespace).unwrap_or(line.len());
    let (name, rest) = line.split_at_checked(split).unwrap_or((line, ""));
    let rest = rest.trim();
    let piped =
        rest.split_whitespace().find_map(|word| word.trim_matches(['"', '\'']).strip_prefix('|'));
    let mut raise = |tier, class, text| findings.add(tier, class, "sqlite:command", text);
    match name {
        _ if piped.is_some() => {
            let program = rest.split_once('|').map_or("", |(_, program)| program);
            client::shell(program.trim_end_matches(['"', '\'']), judging, findings);
        }
        "shell" | "system" => client::shell(rest, judging, findings),
        "read" => raise(Tier::Sensitive, Class::Unknown, "runs a file"),
        "load" => raise(Tier::BreakGlass, Class::Session, "loads code"),
        "once" | "output" | "excel" | "backup" | "save" | "clone" | "log" | "trace"
            if !rest.is_empty() && rest != "off" && rest != "stdout" =>
        {
            let name = rest.split_whitespace().next_back().unwrap_or(rest);
            client::file(name, PathUse::Write, judging, findings);
        }
        "import" | "restore" | "recover" | "archive" | "ar" | "open" | "unmodule" | "dbconfig" => {
            raise(Tier::Sensitive, Class::Unknown, "reads or writes another file");
        }
        _ if SQLITE.contains(&name) => {}
        _ => raise(Tier::Sensitive, Class::Unknown, "a command that nobody looked at"),
    }
}

/// Commands of SQLite's shell that show something, or change how answers look.
const SQLITE: [&str; 38] = [
    "bail",
    "cd",
    "changes",
    "check",
    "databases",
    "dbinfo",
    "dbtotxt",
    "dump",
    "echo",
    "eqp",
    "excel",
    "exit",
    "explain",
    "fullschema",
    "headers",
    "header",
    "help",
    "indexes",
    "indices",
    "limit",
    "lint",
    "log",
    "mode",
    "nullvalue",
    "once",
    "output",
    "parameter",
    "print",
    "progress",
    "prompt",
    "quit",
    "schema",
    "separator",
    "sha3sum",
    "show",
    "stats",
    "tables",
    "timer",
];
