//! SQL: what statements do to a database, and what they do besides (threats of class F).
//!
//! The first words decide what a statement is; queries and changes of rows are parsed, so that a
//! write within a query, a function and a missing `WHERE` are found wherever they stand. What is
//! not parsed is break-glass, a statement that nobody looked at tier 3, a function that is not on
//! the list of harmless ones tier 2.

use std::ops::ControlFlow;

use iddio_core::tier::{Class, Tier};
use sqlparser::{
    ast::{
        Expr, MergeAction, ObjectName, Select, Statement, TableFactor, TableObject, Visit, Visitor,
        visit_expressions,
    },
    dialect::{self, MySqlDialect, PostgreSqlDialect, SQLiteDialect},
    parser::Parser,
};

use super::{
    Findings,
    sql_names::{ADMINISTRATION, DANGEROUS, HARMLESS, SETTINGS},
    sql_scan::Dialect,
};

/// Judges one statement without comments.
pub(super) fn statement(text: &str, dialect: Dialect, findings: &mut Findings) {
    let tokens = tokens(text);
    if TOKENS_MAX < tokens.len() || DEPTH_MAX < depth(&tokens) {
        let text = "a statement larger or deeper than the limit";
        return findings.add(Tier::UNKNOWN, Class::Unknown, "sql:limit", text);
    }
    let words: Vec<_> = tokens.iter().take(HEAD_MAX).map(Token::word).collect();
    let head = words.iter().position(|word| *word != "(").unwrap_or(0);
    let words = words.get(head..).unwrap_or_default();
    dangerous(&tokens, findings);
    match words.first().copied().unwrap_or("") {
        "" if tokens.is_empty() => {}
        "TABLE" if head == 0 => {
            let rest = text.get("TABLE".len()..).unwrap_or("");
            query(&format!("SELECT * FROM {rest}"), &tokens, dialect, findings);
        }
        "SELECT" | "WITH" | "VALUES" | "INSERT" | "REPLACE" | "UPDATE" | "DELETE" | "MERGE" => {
            query(text, &tokens, dialect, findings)
        }
        "EXPLAIN" | "DESCRIBE" | "DESC" => explain(text, &tokens, dialect, findings),
        "COPY" => copy(text, &tokens, dialect, findings),
        "SET" | "RESET" => set(&tokens, dialect, findings),
        "PRAGMA" => pragma(&tokens, findings),
        _ => administration(words, &tokens, text, dialect, findings),
    }
}

/// A query, or a change of rows.
fn query(text: &str, tokens: &[Token], dialect: Dialect, findings: &mut Findings) {
    for pair in tokens.windows(2) {
        if let [first, second] = pair
            && first.word() == "INTO"
        {
            match second.word() {
                "OUTFILE" => {
                    let why = "writes a file on the database's host";
                    return findings.add(Tier::Sensitive, Class::Evasion, "sql:outfile", why);
                }
                "DUMPFILE" => {
                    let why = "writes any bytes to a file on the database's host";
                    return findings.add(Tier::BreakGlass, Class::Evasion, "sql:outfile", why);
                }
                _ => {}
            }
        }
    }
    let mysql: &dyn dialect::Dialect = &MySqlDialect {};
    let parser = match dialect {
        Dialect::Mysql => mysql,
        Dialect::Postgres => &PostgreSqlDialect {},
        Dialect::Sqlite => &SQLiteDialect {},
    };
    let parsed = Parser::new(parser)
        .with_recursion_limit(DEPTH_MAX * 2)
        .try_with_sql(text)
        .and_then(|mut parser| parser.parse_statements());
    let Ok(statements) = parsed else {
        let text = "SQL that cannot be read";
        return findings.add(Tier::UNKNOWN, Class::Unknown, "sql:unread", text);
    };
    let mut look = Look { findings };
    for statement in &statements {
        let ControlFlow::Continue(()) = statement.visit(&mut look);
    }
}

/// `EXPLAIN` shows how; with `ANALYZE` the statement runs.
fn explain(text: &str, tokens: &[Token], dialect: Dialect, findings: &mut Findings) {
    let starts = [
        "SELECT", "WITH", "VALUES", "TABLE", "INSERT", "REPLACE", "UPDATE", "DELETE", "MERGE",
        "CREATE", "REFRESH", "DECLARE", "EXECUTE",
    ];
    let start = tokens.iter().position(|token| starts.contains(&token.word()));
    let options = tokens.get(..start.unwrap_or(tokens.len())).unwrap_or_default();
    let runs = options.iter().any(|token| matches!(token.word(), "ANALYZE" | "ANALYSE"));
    match start.and_then(|start| tokens.get(start)) {
        Some(first) if runs => {
            statement(text.get(first.at..).unwrap_or(""), dialect, findings);
        }
        _ if runs => {
            let text = "runs what it explains, and that cannot be read";
            findings.add(Tier::UNKNOWN, Class::Unknown, "sql:unread", text);
        }
        _ => {}
    }
}

/// `COPY` between a table and a file, a program, or the client.
fn copy(text: &str, tokens: &[Token], dialect: Dialect, findings: &mut Findings) {
    let mut depth = 0usize;
    let (mut to, mut close, mut target) = (None, None, None);
    for (place, token) in tokens.iter().enumerate().skip(1) {
        match token.word() {
            "(" => depth += 1,
            ")" => {
                depth = depth.saturating_sub(1);
                close = close.or((depth == 0).then_some(token.at));
            }
            "TO" | "FROM" if depth == 0 => {
                to = Some(token.word() == "TO");
                target = tokens.get(place + 1);
                break;
            }
            _ => {}
        }
    }
    if let (Some(open), Some(close)) = (tokens.get(1), close)
        && open.word() == "("
    {
        let inner = text.get(open.at + 1..close).unwrap_or("");
        statement(inner, dialect, findings);
    }
    if tokens.iter().any(|token| secret(&token.name())) {
        let text = "copies what is named like a secret";
        findings.add(Tier::Sensitive, Class::Identity, "sql:secret", text);
    }
    let program = target.is_some_and(|token| token.word() == "PROGRAM");
    match (to, target.map(Token::word)) {
        _ if program => {
            let text = "the database runs a program";
            findings.add(Tier::BreakGlass, Class::Session, "sql:program", text);
        }
        (Some(true), Some("STDOUT")) => {}
        (Some(false), Some("STDIN")) => {
            findings.add(Tier::Modify, Class::Unknown, "sql:copy", "fills a table");
        }
        (Some(_), Some(_)) => {
            let text = "reads or writes a file on the database's host";
            findings.add(Tier::Sensitive, Class::Evasion, "sql:copy", text);
        }
        _ => {
            let text = "SQL that cannot be read";
            findings.add(Tier::UNKNOWN, Class::Unknown, "sql:unread", text);
        }
    }
}

/// Settings of the session, of a role, of the server.
fn set(tokens: &[Token], dialect: Dialect, findings: &mut Findings) {
    let words: Vec<_> = tokens.iter().skip(1).map(|token| token.name()).collect();
    let has = |name: &str| words.iter().any(|word| word == name);
    let mut raise = |tier, class, text| findings.add(tier, class, "sql:set", text);
    let strings =
        ["standard_conforming_strings", "backslash_quote", "no_backslash_escapes", "ansi_quotes"];
    let reads = strings
        .iter()
        .any(|name| tokens.iter().any(|token| token.text.to_ascii_lowercase().contains(name)));
    if reads {
        raise(Tier::UNKNOWN, Class::Evasion, "changes how the text behind it is read");
    } else if has("sql_log_bin") {
        raise(Tier::BreakGlass, Class::Evasion, "switches a log off");
    } else if ["role", "session_authorization", "authorization", "password"].iter().any(|n| has(n))
    {
        raise(Tier::Sensitive, Class::Identity, "acts as somebody else");
    } else if ["global", "persist", "persist_only"].iter().any(|name| has(name))
        || dialect == Dialect::Mysql
            && ["global", "persist"].iter().any(|name| {
                tokens.iter().any(|token| token.text.eq_ignore_ascii_case(&format!("@@{name}")))
            })
    {
        raise(Tier::Sensitive, Class::Unknown, "changes a setting of the server");
    } else if has("master") || has("replica") || has("slave") {
        raise(Tier::BreakGlass, Class::Destroy, "forgets how it replicates");
    } else if !words.iter().any(|word| SETTINGS.contains(&word.as_str())) {
        raise(Tier::Modify, Class::Unknown, "changes a setting of the session");
    }
}

/// SQLite's settings.
fn pragma(tokens: &[Token], findings: &mut Findings) {
    let sets = tokens.iter().any(|token| token.text == "=");
    let name = tokens.get(1).map(Token::name).unwrap_or_default();
    match name.as_str() {
        "writable_schema" | "trusted_schema" => {
            let text = "changes what protects the database";
            findings.add(Tier::Sensitive, Class::Evasion, "sql:pragma", text);
        }
        _ if sets => {
            findings.add(Tier::Modify, Class::Unknown, "sql:pragma", "changes a setting");
        }
        _ => {}
    }
}

/// Everything else, by its first words.
fn administration(
    words: &[&str],
    tokens: &[Token],
    text: &str,
    dialect: Dialect,
    findings: &mut Findings,
) {
    let plain = |word: &&&str| !PLAIN.contains(*word);
    let head: Vec<_> = words.iter().filter(plain).copied().take(3).collect();
    let fits = |pattern: &&str| {
        let wanted: Vec<_> = pattern.split(' ').collect();
        head.get(..wanted.len()) == Some(wanted.as_slice())
    };
    let found = ADMINISTRATION
        .iter()
        .filter(|(pattern, ..)| fits(pattern))
        .max_by_key(|(pattern, ..)| pattern.len());
    let has = |name: &str| tokens.iter().any(|token| token.word() == name);
    match found {
        Some((_, tier, class, text)) => findings.add(*tier, *class, "sql:statement", text),
        None => match READABLE.contains(&head.first().copied().unwrap_or("")) {
            true => {
                let text = "a statement that nobody looked at";
                findings.add(Tier::Sensitive, Class::Unknown, "sql:statement", text);
            }
            false => query(text, tokens, dialect, findings),
        },
    }
    let verb = head.first().copied().unwrap_or("");
    let strong = ["SUPERUSER", "BYPASSRLS", "REPLICATION", "CREATEROLE"];
    if matches!(verb, "CREATE" | "ALTER") && strong.iter().any(|name| has(name)) {
        let text = "makes a role that may do everything";
        findings.add(Tier::BreakGlass, Class::Identity, "sql:superuser", text);
    }
    if verb == "GRANT" {
        grant(tokens, findings);
    }
    let language = tokens.windows(2).any(|two| match two {
        [first, second] => {
            let language = second.name();
            first.word() == "LANGUAGE"
                && (["c", "internal"].contains(&language.as_str())
                    || language.ends_with('u') && language.starts_with("pl"))
        }
        _ => false,
    });
    if verb == "CREATE" && (language || has("SONAME")) {
        let text = "a function that runs anything on the database's host";
        findings.add(Tier::BreakGlass, Class::Session, "sql:function", text);
    }
    let pairs = |pair: &[Token]| match pair {
        [first, second] => WEAKENS.contains(&(first.word(), second.word())),
        _ => false,
    };
    if verb == "ALTER" && tokens.windows(2).any(pairs) {
        let text = "drops a part of a table or what protects it";
        findings.add(Tier::Sensitive, Class::Destroy, "sql:statement", text);
    }
}

/// Rights to everything, or a role that has them.
fn grant(tokens: &[Token], findings: &mut Findings) {
    let everything = tokens.windows(3).any(|three| {
        matches!(three, [one, dot, other] if one.text == "*" && dot.text == "." && other.text == "*")
    });
    let roles = [
        "pg_read_server_files",
        "pg_write_server_files",
        "pg_execute_server_program",
        "rds_superuser",
        "cloudsqlsuperuser",
        "pg_read_all_data",
        "pg_write_all_data",
    ];
    if everything || tokens.iter().any(|token| roles.contains(&token.name().as_str())) {
        let text = "gives rights to everything";
        findings.add(Tier::BreakGlass, Class::Identity, "sql:grant", text);
    }
}

/// Functions that read files, run programs, or run text as SQL, wherever they stand.
fn dangerous(tokens: &[Token], findings: &mut Findings) {
    for (place, token) in tokens.iter().enumerate() {
        if token.kind == Kind::Text {
            continue;
        }
        let name = token.name();
        let called = tokens.get(place + 1).is_some_and(|next| next.text == "(");
        let known = DANGEROUS.iter().find(|(pattern, ..)| match pattern.strip_suffix('*') {
            Some(start) => name.starts_with(start),
            None => name == *pattern,
        });
        let Some((pattern, tier, class, text)) = known else { continue };
        if called || pattern.contains('_') || pattern.starts_with("dblink") {
            findings.add(*tier, *class, "sql:function", text);
        }
    }
}

struct Look<'f> {
    findings: &'f mut Findings,
}

impl Visitor for Look<'_> {
    type Break = std::convert::Infallible;

    fn pre_visit_statement(&mut self, statement: &Statement) -> ControlFlow<Self::Break> {
        match statement {
            Statement::Query(_) => {}
            Statement::Insert(insert) => {
                self.add(Tier::Modify, Class::Unknown, "adds rows");
                if let TableObject::TableName(name) = &insert.table {
                    self.changed(name);
                }
            }
            Statement::Update(update) => {
                self.rows(update.selection.as_ref(), Tier::Modify, "changes rows");
                if let TableFactor::Table { name, .. } = &update.table.relation {
                    self.changed(name);
                }
            }
            Statement::Delete(delete) => {
                self.rows(delete.selection.as_ref(), Tier::Sensitive, "deletes rows");
                delete.tables.iter().for_each(|name| self.changed(name));
            }
            Statement::Merge(merge) => {
                let deletes = |clause: &sqlparser::ast::MergeClause| {
                    matches!(clause.action, MergeAction::Delete { .. })
                };
                match merge.clauses.iter().any(deletes) {
                    true => self.add(Tier::Sensitive, Class::Destroy, "deletes rows"),
                    false => self.add(Tier::Modify, Class::Unknown, "changes rows"),
                }
            }
            _ => self.add(Tier::Sensitive, Class::Unknown, "a statement that nobody looked at"),
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &Select) -> ControlFlow<Self::Break> {
        if select.into.is_some() {
            self.add(Tier::Modify, Class::Unknown, "makes a table of what it reads");
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_relation(&mut self, relation: &ObjectName) -> ControlFlow<Self::Break> {
        let names = parts(relation);
        let last = names.last().map_or("", String::as_str);
        let table = match names.as_slice() {
            [.., schema, table] if schema == "mysql" => {
                ["user", "global_priv", "db", "tables_priv"].contains(&table.as_str())
            }
            _ => [
                "pg_authid",
                "pg_shadow",
                "pg_user_mapping",
                "pg_user_mappings",
                "pg_largeobject",
                "pg_subscription",
            ]
            .contains(&last),
        };
        if table || secret(last) {
            self.add(Tier::Sensitive, Class::Identity, "a table that holds secrets");
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<Self::Break> {
        match factor {
            TableFactor::Table { name, args: Some(_), .. } | TableFactor::Function { name, .. } => {
                self.function(name);
            }
            _ => {}
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expression: &Expr) -> ControlFlow<Self::Break> {
        match expression {
            Expr::Function(function) => self.function(&function.name),
            Expr::Identifier(name) if secret(&name.value) => self.secret(),
            Expr::CompoundIdentifier(names)
                if names.last().is_some_and(|name| secret(&name.value)) =>
            {
                self.secret();
            }
            _ => {}
        }
        ControlFlow::Continue(())
    }
}

impl Look<'_> {
    fn add(&mut self, tier: Tier, class: Class, text: &'static str) {
        self.findings.add(tier, class, "sql:statement", text);
    }

    fn secret(&mut self) {
        self.add(Tier::Sensitive, Class::Identity, "a column that is named like a secret");
    }

    /// Rows that a condition picks, or all of them.
    fn rows(&mut self, condition: Option<&Expr>, tier: Tier, text: &'static str) {
        match condition {
            Some(condition) if !always(condition) => self.add(tier, Class::Destroy, text),
            _ => {
                self.add(
                    Tier::BreakGlass,
                    Class::Destroy,
                    "changes or deletes every row of a table",
                );
            }
        }
    }

    /// A change of the database's own tables is a change of who may do what.
    fn changed(&mut self, name: &ObjectName) {
        let names = parts(name);
        let system = |name: &String| {
            ["mysql", "pg_catalog", "sqlite_master", "sqlite_schema"].contains(&name.as_str())
                || name.starts_with("pg_")
        };
        if names.iter().any(system) {
            self.add(Tier::BreakGlass, Class::Identity, "changes the database's own tables");
        }
    }

    fn function(&mut self, name: &ObjectName) {
        let names = parts(name);
        let builtin = match names.as_slice() {
            [name] => HARMLESS.contains(&name.as_str()),
            [schema, name] => schema == "pg_catalog" && HARMLESS.contains(&name.as_str()),
            _ => false,
        };
        if !builtin {
            self.add(Tier::Modify, Class::Unknown, "calls a function that nobody looked at");
        }
    }
}

/// Whether a condition holds for every row, or for none: it looks at no column.
fn always(condition: &Expr) -> bool {
    use sqlparser::ast::BinaryOperator;
    match condition {
        Expr::Nested(inner) => always(inner),
        Expr::BinaryOp { left, op: BinaryOperator::Or, right } => always(left) || always(right),
        Expr::BinaryOp { left, op: BinaryOperator::And, right } => always(left) && always(right),
        other => {
            let flow = visit_expressions(other, |part| match part {
                Expr::Identifier(_)
                | Expr::CompoundIdentifier(_)
                | Expr::Subquery(_)
                | Expr::InSubquery { .. }
                | Expr::Exists { .. } => ControlFlow::Break(()),
                _ => ControlFlow::Continue(()),
            });
            flow.is_continue()
        }
    }
}

fn parts(name: &ObjectName) -> Vec<String> {
    let part = |part: &sqlparser::ast::ObjectNamePart| match part.as_ident() {
        Some(name) => name.value.to_ascii_lowercase(),
        None => "?".to_owned(),
    };
    name.0.iter().map(part).collect()
}

/// Whether a name is that of a secret.
fn secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let parts: Vec<_> = name.split('_').collect();
    let words = [
        "password",
        "passwords",
        "passwd",
        "pwd",
        "secret",
        "secrets",
        "credential",
        "credentials",
        "apikey",
        "apikeys",
        "authentication",
    ];
    parts.iter().any(|part| words.contains(part))
        || parts.windows(2).any(|pair| {
            matches!(
                pair,
                [
                    "api" | "private" | "secret" | "access" | "signing" | "encryption",
                    "key" | "keys"
                ] | ["access" | "refresh" | "auth" | "api" | "session", "token" | "tokens"]
            )
        })
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Kind {
    /// A quoted name.
    Name,
    /// Anything else.
    Plain,
    /// A string.
    Text,
}

/// A word or a sign of a statement.
struct Token {
    kind: Kind,
    /// In upper case where it is a plain word.
    text: String,
    /// Where it stands, in bytes.
    at: usize,
}

impl Token {
    /// The word in upper case; nothing for a quoted one.
    fn word(&self) -> &str {
        if self.kind == Kind::Plain { &self.text } else { "" }
    }

    /// The name in lower case; nothing for a string.
    fn name(&self) -> String {
        if self.kind == Kind::Text { String::new() } else { self.text.to_ascii_lowercase() }
    }
}

/// Takes a statement apart as far as it matters here.
fn tokens(text: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut at = 0;
    while let Some(first) = text.get(at..).and_then(|rest| rest.chars().next()) {
        let rest = text.get(at..).unwrap_or("");
        let inside = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '@' || !c.is_ascii();
        let (kind, length) = match first {
            _ if first.is_whitespace() => (Kind::Plain, first.len_utf8()),
            '\'' | '"' | '`' => {
                let end = rest.get(1..).and_then(|rest| rest.find(first));
                let kind = if first == '\'' { Kind::Text } else { Kind::Name };
                (kind, end.map_or(rest.len(), |end| end + 2))
            }
            _ if inside(first) => (Kind::Plain, rest.find(|c| !inside(c)).unwrap_or(rest.len())),
            _ => (Kind::Plain, first.len_utf8()),
        };
        let token = rest.get(..length).unwrap_or("");
        if !first.is_whitespace() {
            let text = match kind {
                Kind::Plain => token.to_ascii_uppercase(),
                Kind::Name | Kind::Text => token.trim_matches(first).to_owned(),
            };
            tokens.push(Token { kind, text, at });
        }
        at += length.max(1);
    }
    tokens
}

fn depth(tokens: &[Token]) -> usize {
    let (mut depth, mut deepest) = (0usize, 0usize);
    for token in tokens {
        match token.word() {
            "(" | "[" | "{" | "CASE" => depth += 1,
            ")" | "]" | "}" | "END" => depth = depth.saturating_sub(1),
            _ => {}
        }
        deepest = deepest.max(depth);
    }
    // Signs and prefixes nest without brackets, one level for each.
    let row = tokens.chunk_by(|one, other| prefix(one) == prefix(other));
    deepest.max(
        row.filter(|row| row.first().is_some_and(prefix)).map(<[Token]>::len).max().unwrap_or(0),
    )
}

fn prefix(token: &Token) -> bool {
    matches!(token.word(), "NOT" | "-" | "+" | "~" | "!" | "@" | "EXPLAIN" | "ANALYZE" | "|")
}

/// The most nested brackets: a person reads no more.
const DEPTH_MAX: usize = 48;

/// The most words and signs of one statement.
const TOKENS_MAX: usize = 16 * 1024;

/// As many words at the start of a statement are looked at to say what it is.
const HEAD_MAX: usize = 64;

/// Statements that nobody looked at in detail, and that not every parser knows.
const READABLE: [&str; 16] = [
    "BACKUP",
    "BINLOG",
    "CACHE",
    "CALL",
    "DECLARE",
    "DO",
    "EXECUTE",
    "FLUSH",
    "HANDLER",
    "IMPORT",
    "KILL",
    "PREPARE",
    "SECURITY",
    "SIGNAL",
    "STOP",
    "UNINSTALL",
];

/// Words that change nothing about what is made, changed or removed.
const PLAIN: [&str; 16] = [
    "OR",
    "REPLACE",
    "TEMP",
    "TEMPORARY",
    "UNLOGGED",
    "GLOBAL",
    "LOCAL",
    "RECURSIVE",
    "UNIQUE",
    "IF",
    "NOT",
    "EXISTS",
    "CONCURRENTLY",
    "ONLINE",
    "OFFLINE",
    "IGNORE",
];

/// What `ALTER` drops of a table, or of what protects it.
const WEAKENS: [(&str, &str); 7] = [
    ("DISABLE", "ROW"),
    ("DISABLE", "TRIGGER"),
    ("DROP", "COLUMN"),
    ("OWNER", "TO"),
    ("DROP", "PARTITION"),
    ("TRUNCATE", "PARTITION"),
    ("NO", "FORCE"),
];
