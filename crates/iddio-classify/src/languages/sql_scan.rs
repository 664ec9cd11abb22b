//! Text for a database client, parted into statements and the client's own commands.
//!
//! Quotes, dollar quotes and comments are followed as each database does; comments become a space,
//! MySQL's `/*! … */` becomes the code that it is. What does not end is an error. Nothing is judged
//! here.

/// Whose text it is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Dialect {
    Mysql,
    Postgres,
    Sqlite,
}

/// A part of the text.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Piece {
    /// A command of the client, up to the end of its line: `\! id`, `.shell id`, `source x`.
    Client(String),
    /// A statement without comments.
    Statement(String),
    /// A value is put in before the statement is read: `:name`.
    Variable,
}

/// Takes text apart, or returns `None` if a quote or comment does not end, or if nobody reads so
/// many statements.
pub(super) fn pieces(text: &str, dialect: Dialect) -> Option<Vec<Piece>> {
    let mut scan = Scan { text, at: 0, dialect, statement: String::new(), pieces: Vec::new() };
    while scan.at < text.len() {
        scan.step()?;
        if PIECES_MAX < scan.pieces.len() {
            return None;
        }
    }
    scan.end();
    Some(scan.pieces)
}

struct Scan<'a> {
    text: &'a str,
    at: usize,
    dialect: Dialect,
    statement: String,
    pieces: Vec<Piece>,
}

impl<'a> Scan<'a> {
    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or("")
    }

    /// Takes so many bytes over into the statement.
    fn keep(&mut self, bytes: usize) {
        self.statement.push_str(self.rest().get(..bytes).unwrap_or(""));
        self.at += bytes;
    }

    fn end(&mut self) {
        let statement = std::mem::take(&mut self.statement);
        if !statement.trim().is_empty() {
            self.pieces.push(Piece::Statement(statement.trim().to_owned()));
        }
    }

    fn step(&mut self) -> Option<()> {
        use Dialect::{Mysql, Postgres, Sqlite};
        let rest = self.rest();
        let first = rest.chars().next()?;
        if self.statement.trim().is_empty() && self.client_word() {
            return Some(());
        }
        match (first, self.dialect) {
            (';', _) => {
                self.at += 1;
                self.end();
            }
            ('\'', _) => self.quoted('\'')?,
            ('"', _) => self.quoted('"')?,
            ('`', Mysql | Sqlite) => self.quoted('`')?,
            ('$', Postgres) => self.dollar()?,
            ('-', _) if self.starts_comment() => self.line_comment(),
            ('#', Mysql) => self.line_comment(),
            ('/', _) if rest.starts_with("/*") => self.comment()?,
            ('\\', Postgres) => self.backslash(),
            ('\\', Mysql) => self.mysql_backslash(),
            (':', Postgres) => self.colon(),
            _ => self.keep(first.len_utf8()),
        }
        Some(())
    }

    fn starts_comment(&self) -> bool {
        let Some(behind) = self.rest().strip_prefix("--") else { return false };
        // To MySQL `--1` is a number.
        self.dialect != Dialect::Mysql
            || behind.chars().next().is_none_or(|next| next.is_whitespace() || next.is_control())
    }

    fn line_comment(&mut self) {
        self.at += self.rest().find('\n').unwrap_or(self.rest().len());
        self.statement.push(' ');
    }

    fn comment(&mut self) -> Option<()> {
        let rest = self.rest();
        let code = ["/*!", "/*M!"].iter().find(|start| rest.starts_with(**start));
        if let Some(start) = code.filter(|_| self.dialect == Dialect::Mysql) {
            // What stands in it is code: only its marks are left out.
            let body = rest.get(start.len()..)?;
            let digits = body.len() - body.trim_start_matches(|c: char| c.is_ascii_digit()).len();
            let end = body.find("*/")?;
            self.text_within(body.get(digits..end)?)?;
            self.at += start.len() + end + 2;
            return Some(());
        }
        let (mut depth, mut place) = (0usize, 0usize);
        loop {
            let here = rest.get(place..)?;
            if here.starts_with("/*") && (depth == 0 || self.dialect == Dialect::Postgres) {
                depth += 1;
                place += 2;
            } else if here.starts_with("*/") {
                depth -= 1;
                place += 2;
                if depth == 0 {
                    break;
                }
            } else {
                place += here.chars().next()?.len_utf8();
            }
        }
        self.at += place;
        self.statement.push(' ');
        Some(())
    }

    /// Takes over code that stands in a comment.
    fn text_within(&mut self, code: &str) -> Option<()> {
        self.statement.push(' ');
        for piece in pieces(code, self.dialect)? {
            match piece {
                Piece::Statement(text) => {
                    self.statement.push_str(&text);
                    self.statement.push(' ');
                }
                other => self.pieces.push(other),
            }
        }
        Some(())
    }

    fn quoted(&mut self, quote: char) -> Option<()> {
        let mysql = self.dialect == Dialect::Mysql && quote != '`';
        let escapes = mysql || quote == '\'' && self.escape_string();
        let mut chars = self.rest().char_indices().skip(1);
        loop {
            match chars.next()? {
                (_, '\\') if escapes => {
                    chars.next()?;
                }
                (place, next) if next == quote => {
                    self.keep(place + 1);
                    return Some(());
                }
                _ => {}
            }
        }
    }

    /// Whether PostgreSQL reads backslashes in the string that starts here: `E'…'`.
    fn escape_string(&self) -> bool {
        let mut before = self.statement.chars().rev();
        self.dialect == Dialect::Postgres
            && before.next().is_some_and(|last| matches!(last, 'e' | 'E'))
            && !before.next().is_some_and(is_name)
    }

    fn dollar(&mut self) -> Option<()> {
        let rest = self.rest();
        let name = rest.get(1..)?.find(|c: char| !is_name(c)).map(|end| end + 1);
        let end = name.filter(|end| rest.get(*end..).is_some_and(|rest| rest.starts_with('$')));
        let digit = rest.get(1..)?.starts_with(|c: char| c.is_ascii_digit());
        let Some(end) = end.filter(|_| !digit && !self.statement.ends_with(is_name)) else {
            self.keep(1);
            return Some(());
        };
        let tag = rest.get(..=end)?;
        let body = rest.get(tag.len()..)?.find(tag)?;
        self.keep(tag.len() + body + tag.len());
        Some(())
    }

    /// `:name` in psql; `:'name'` and `:"name"` come out quoted, whatever they hold.
    fn colon(&mut self) {
        let rest = self.rest();
        if rest.starts_with("::") || rest.starts_with(":=") {
            return self.keep(2);
        }
        match rest.get(1..).and_then(|behind| behind.chars().next()) {
            Some('\'' | '"') => self.at += 1,
            Some('{') => {
                self.pieces.push(Piece::Variable);
                self.keep(1);
            }
            Some(next) if is_name(next) => {
                self.pieces.push(Piece::Variable);
                self.at += 1;
                self.statement.push(' ');
            }
            _ => self.keep(1),
        }
    }

    /// A command of psql: up to the next one, or for some the end of the line.
    fn backslash(&mut self) {
        let rest = self.rest();
        if rest.starts_with("\\;") {
            self.at += 2;
            return self.end();
        }
        if rest.starts_with("\\\\") {
            self.at += 2;
            return self.statement.push(' ');
        }
        let line = rest.lines().next().unwrap_or("");
        let name: String = line.chars().skip(1).take_while(|c| !c.is_whitespace()).collect();
        let whole = name.starts_with('!')
            || ["copy", "ef", "ev", "h", "help", "sf", "sf+", "sv", "sv+"].contains(&name.as_str());
        let end = match whole {
            true => line.len(),
            false => 1 + unquoted_backslash(line.get(1..).unwrap_or("")),
        };
        let command = line.get(..end).unwrap_or(line).trim_end().to_owned();
        self.at += end.max(1);
        if name.starts_with(['g', 'c', 'w']) {
            self.end();
        }
        self.pieces.push(Piece::Client(command));
    }

    /// A command of MySQL's client: one letter, most with the rest of the line.
    fn mysql_backslash(&mut self) {
        let line = self.rest().lines().next().unwrap_or("");
        match line.chars().nth(1) {
            Some('g' | 'G') => {
                self.at += 2;
                self.end();
            }
            Some(_) => {
                self.pieces.push(Piece::Client(line.trim_end().to_owned()));
                self.at += line.len();
            }
            None => self.keep(1),
        }
    }

    /// Takes a command of the client that is a word where a statement would start.
    fn client_word(&mut self) -> bool {
        let line = self.rest().lines().next().unwrap_or("");
        let word: String = line.chars().take_while(|c| is_name(*c)).collect();
        let is_command = match self.dialect {
            Dialect::Mysql => MYSQL_WORDS.contains(&word.to_ascii_lowercase().as_str()),
            Dialect::Postgres => false,
            Dialect::Sqlite => line.starts_with('.'),
        };
        if is_command {
            self.pieces.push(Piece::Client(line.trim_end().to_owned()));
            self.at += line.len();
        }
        is_command
    }
}

/// Where a backslash stands outside of quotes, or the length.
fn unquoted_backslash(text: &str) -> usize {
    let mut quote = None;
    for (place, next) in text.char_indices() {
        match (quote, next) {
            (None, '\\') => return place,
            (None, '\'' | '"' | '`') => quote = Some(next),
            (Some(open), next) if open == next => quote = None,
            _ => {}
        }
    }
    text.len()
}

fn is_name(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || letter == '_' || !letter.is_ascii()
}

/// The most statements and commands of one program: nobody reads more, and each is parsed.
const PIECES_MAX: usize = 1024;

/// Commands of MySQL's client that are words at the start of a line, but for those that are
/// statements too.
const MYSQL_WORDS: [&str; 26] = [
    "charset",
    "clear",
    "connect",
    "delimiter",
    "edit",
    "ego",
    "exit",
    "go",
    "help",
    "nopager",
    "notee",
    "nowarning",
    "pager",
    "print",
    "prompt",
    "query_attributes",
    "quit",
    "rehash",
    "resetconnection",
    "source",
    "ssl_session_data_print",
    "status",
    "system",
    "tee",
    "use",
    "warnings",
];
