//! Rust source, read just well enough to hold it to the house rules.
//!
//! Comments and literals are blanked, so that a rule about code never reads prose; line and column
//! stay what they were. Test code is told from the rest by its path or by `#[cfg(test)]`.
//!
//! What it does not do: parse. A rule that needed more than tokens would belong in a lint.

/// One source file, as the rules see it.
pub(super) struct Source {
    /// The text without comments and literals, test code included.
    pub(super) code: String,
    /// The same without test code.
    pub(super) shipped: String,
}

/// A function and where it stands.
#[derive(Debug, Eq, PartialEq)]
pub(super) struct Function {
    /// Its name.
    pub(super) name: String,
    /// The line of its `fn`, from 1.
    pub(super) line: usize,
    /// From its `fn` to its closing brace.
    pub(super) lines: usize,
}

// === impl Source ===

impl Source {
    /// Reads the file at `path`, which decides whether all of it is test code.
    pub(super) fn read(path: &str, text: &str) -> Self {
        let code = blank_prose(text);
        let shipped = match is_test_path(path) {
            true => blank(&code, 0, code.len()),
            false => blank_tests(&code),
        };
        Self { code, shipped }
    }

    /// Returns every path that shipped code names, `use` groups written out:
    /// `use std::{fs, net::TcpStream}` names `std::fs` and `std::net::TcpStream`.
    pub(super) fn paths(&self) -> Vec<(usize, String)> {
        let mut paths = Vec::new();
        let mut rest = self.shipped.as_str();
        let mut line = 1;
        while let Some(at) = rest.find(is_word) {
            let (before, from) = rest.split_at(at);
            line += newlines(before);
            let length = if word(from) == "use" {
                let length = from.find(';').unwrap_or(from.len());
                let tree: String = from.chars().take(length).skip("use".len()).collect();
                let tree: String = tree.split_whitespace().collect::<Vec<_>>().join(" ");
                let mut expanded = Vec::new();
                expand("", tree.trim(), &mut expanded);
                paths.extend(expanded.into_iter().map(|path| (line, path)));
                length
            } else {
                let length = from.find(|letter| !is_word(letter) && letter != ':');
                let length = length.unwrap_or(from.len());
                let (path, _) = from.split_at(length);
                if path.contains("::") {
                    paths.push((line, path.trim_matches(':').to_owned()));
                }
                length
            };
            let (taken, after) = from.split_at(length);
            line += newlines(taken);
            rest = after;
        }
        paths
    }

    /// Returns every function of shipped code.
    pub(super) fn functions(&self) -> Vec<Function> {
        functions(&self.shipped)
    }

    /// Returns the names of the functions that are tests, as `#[test]` or inside `proptest!`.
    pub(super) fn tests(&self) -> Vec<String> {
        let mut names = Vec::new();
        let mut marked = false;
        for line in self.code.lines() {
            let line = line.trim();
            marked |= line.contains("#[test]") || line.contains("::test]");
            if let Some(name) = function_name(line).filter(|_| marked) {
                names.push(name);
                marked = false;
            }
        }
        names
    }
}

/// Whether everything in the file is test code.
pub(super) fn is_test_path(path: &str) -> bool {
    let inside = ["tests/", "xtask/"].iter().any(|dir| path.starts_with(dir))
        || ["/tests/", "/examples/", "/benches/", "/fuzz/", "iddio-testkit/"]
            .iter()
            .any(|dir| path.contains(dir));
    inside || path.ends_with("/tests.rs") || path.ends_with("_tests.rs")
}

fn newlines(text: &str) -> usize {
    text.bytes().filter(|byte| *byte == b'\n').count()
}

fn is_word(letter: char) -> bool {
    letter.is_alphanumeric() || letter == '_'
}

fn word(text: &str) -> &str {
    let end = text.find(|letter| !is_word(letter)).unwrap_or(text.len());
    text.split_at(end).0
}

/// Writes a `use` tree out, one path for each leaf.
fn expand(prefix: &str, tree: &str, paths: &mut Vec<String>) {
    let join = |leaf: &str| match prefix {
        "" => leaf.to_owned(),
        _ => format!("{prefix}::{leaf}"),
    };
    match tree.split_once('{') {
        None => {
            let leaf = tree.split(" as ").next().unwrap_or(tree).trim();
            if !leaf.is_empty() {
                paths.push(join(leaf).trim_end_matches("::self").to_owned());
            }
        }
        Some((head, group)) => {
            let head = join(head.trim().trim_end_matches("::"));
            let head = head.trim_end_matches("::");
            let group = group.trim_end().strip_suffix('}').unwrap_or(group);
            for branch in split_at_commas(group) {
                expand(head, branch.trim(), paths);
            }
        }
    }
}

fn split_at_commas(group: &str) -> Vec<&str> {
    let mut depth = 0_i32;
    group
        .split(move |letter| {
            match letter {
                '{' => depth += 1,
                '}' => depth -= 1,
                _ => {}
            }
            letter == ',' && depth == 0
        })
        .collect()
}

fn functions(code: &str) -> Vec<Function> {
    let mut found = Vec::new();
    for (line, (text, at)) in (1..).zip(lines_with_offsets(code)) {
        if let Some(name) = function_name(text.trim()) {
            let (_, rest) = code.split_at(at);
            if let Some(lines) = body_lines(rest) {
                found.push(Function { name, line, lines });
            }
        }
    }
    found
}

fn lines_with_offsets(code: &str) -> impl Iterator<Item = (&str, usize)> {
    let mut offset = 0;
    code.split_inclusive('\n').map(move |line| {
        let at = offset;
        offset += line.len();
        (line, at)
    })
}

/// Returns the name that a line starting a function gives it.
fn function_name(line: &str) -> Option<String> {
    let (before, after) = line.split_once("fn ")?;
    let qualifiers = ["pub", "const", "async", "extern", "unsafe", "crate", "super", "in"];
    let mut words = before.split(|letter| !is_word(letter)).filter(|word| !word.is_empty());
    let name = word(after.trim_start());
    let starts = words.all(|word| qualifiers.contains(&word)) && !before.contains(['=', '<', ',']);
    (starts && !name.is_empty()).then(|| name.to_owned())
}

/// Returns how many lines the item takes that starts at the start of `rest`, if it has a body.
fn body_lines(rest: &str) -> Option<usize> {
    let mut round = 0_i32;
    let mut curly = 0_i32;
    let mut lines = 1;
    for letter in rest.chars() {
        match letter {
            '\n' => lines += 1,
            '(' | '[' => round += 1,
            ')' | ']' => round -= 1,
            ';' if curly == 0 && round == 0 => return None,
            '{' => curly += 1,
            '}' => {
                curly -= 1;
                if curly <= 0 {
                    return Some(lines);
                }
            }
            _ => {}
        }
    }
    None
}

/// Blanks the item that follows each `#[cfg(test)]`.
fn blank_tests(code: &str) -> String {
    let mut kept = code.to_owned();
    let mark = "#[cfg(test)]";
    while let Some(start) = kept.find(mark) {
        let (_, rest) = kept.split_at(start);
        let end = start + item_length(rest, mark.len());
        kept = blank(&kept, start, end);
    }
    kept
}

/// Returns the length of the item behind an attribute: to its closing brace, or its semicolon.
fn item_length(rest: &str, attribute: usize) -> usize {
    let mut depth = 0_i32;
    for (at, letter) in rest.char_indices().skip(attribute) {
        match letter {
            '{' => depth += 1,
            '}' if depth <= 1 => return at + 1,
            '}' => depth -= 1,
            ';' if depth == 0 => return at + 1,
            _ => {}
        }
    }
    rest.len()
}

/// Replaces the bytes from `start` to `end` by spaces, keeping the line ends.
fn blank(text: &str, start: usize, end: usize) -> String {
    let blanked = |(at, letter): (usize, char)| match letter {
        '\n' => '\n',
        _ if (start..end).contains(&at) => ' ',
        _ => letter,
    };
    text.char_indices().map(blanked).collect()
}

/// What the reader is inside of.
enum Inside {
    Block(u32),
    Code,
    Line,
    Raw(usize),
    Text,
}

/// Blanks comments, and what stands in text and character literals, with ASCII spaces.
fn blank_prose(text: &str) -> String {
    let letters: Vec<char> = text.chars().collect();
    let mut kept = String::with_capacity(text.len());
    let mut inside = Inside::Code;
    let mut at = 0;
    while let Some(&letter) = letters.get(at) {
        let rest = letters.get(at..).unwrap_or_default();
        let (next, length, shown) = step(inside, rest, kept.chars().last());
        for offset in 0..length {
            let letter = letters.get(at + offset).copied().unwrap_or(letter);
            let plain = if letter.is_ascii() { letter } else { '?' };
            kept.push(if letter == '\n' || shown { plain } else { ' ' });
        }
        at += length;
        inside = next;
    }
    kept
}

/// Returns what the reader is inside of next, how many letters it takes, and whether they are code.
fn step(inside: Inside, rest: &[char], before: Option<char>) -> (Inside, usize, bool) {
    let starts = |text: &str| text.chars().eq(rest.iter().copied().take(text.chars().count()));
    match inside {
        Inside::Code if starts("//") => (Inside::Line, 2, false),
        Inside::Code if starts("/*") => (Inside::Block(1), 2, false),
        Inside::Code if starts("\"") => (Inside::Text, 1, false),
        Inside::Code if starts("r") && !before.is_some_and(|b| is_word(b) && b != 'b') => {
            let hashes = rest.iter().skip(1).take_while(|letter| **letter == '#').count();
            match rest.get(1 + hashes) {
                Some('"') => (Inside::Raw(hashes), 2 + hashes, false),
                _ => (Inside::Code, 1, true),
            }
        }
        Inside::Code if starts("'") => match rest {
            ['\'', '\\', _, more @ ..] => {
                let end = more.iter().position(|letter| *letter == '\'');
                (Inside::Code, end.map_or(1, |end| end + 4), false)
            }
            ['\'', _, '\'', ..] => (Inside::Code, 3, false),
            _ => (Inside::Code, 1, true),
        },
        Inside::Code => (Inside::Code, 1, true),
        Inside::Line if starts("\n") => (Inside::Code, 1, true),
        Inside::Line => (Inside::Line, 1, false),
        Inside::Block(depth) if starts("/*") => (Inside::Block(depth + 1), 2, false),
        Inside::Block(1) if starts("*/") => (Inside::Code, 2, false),
        Inside::Block(depth) if starts("*/") => (Inside::Block(depth - 1), 2, false),
        Inside::Block(depth) => (Inside::Block(depth), 1, false),
        Inside::Text if starts("\\") => (Inside::Text, 2.min(rest.len()), false),
        Inside::Text if starts("\"") => (Inside::Code, 1, false),
        Inside::Text => (Inside::Text, 1, false),
        Inside::Raw(hashes) => {
            let closing = format!("\"{}", "#".repeat(hashes));
            match starts(&closing) {
                true => (Inside::Code, 1 + hashes, false),
                false => (Inside::Raw(hashes), 1, false),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prose_and_literals_are_not_code() {
        let text = "let a = \"std::fs \\\" {\"; // std::net\n/* std::env /* { */ */ let c = '{'; let r = r#\"std::io \"{\"#; fn f<'a>(x: &'a u8) {}\n";
        let code = blank_prose(text);
        assert!(!code.contains("std"), "{code}");
        assert_eq!(code.matches('{').count(), 1, "{code}");
        assert_eq!(newlines(&code), newlines(text));
    }

    #[test]
    fn use_groups_are_written_out() {
        let source = Source::read(
            "crates/a/src/lib.rs",
            "use std::{\n    fs::{self, File},\n    net::TcpStream as S,\n};\nfn f() { std::env::var(x) }\n",
        );
        let paths: Vec<String> = source.paths().into_iter().map(|(_, path)| path).collect();
        assert_eq!(paths, ["std::fs", "std::fs::File", "std::net::TcpStream", "std::env::var"]);
        assert_eq!(source.paths().last().unwrap().0, 5);
    }

    #[test]
    fn test_code_is_told_from_the_rest() {
        let text = "fn a() {}\n#[cfg(test)]\nmod tests {\n    fn b() { if x {} }\n}\nfn c() {}\n#[cfg(test)]\nmod other;\nfn d() {}\n";
        let source = Source::read("crates/a/src/lib.rs", text);
        let names: Vec<String> = source.functions().into_iter().map(|f| f.name).collect();
        assert_eq!(names, ["a", "c", "d"]);
        assert!(Source::read("crates/a/tests/it/main.rs", text).functions().is_empty());
    }

    #[test]
    fn functions_are_measured_to_their_closing_brace() {
        let text = "pub(crate) const fn a(\n    x: [u8; 2],\n) -> u8 {\n    match x { _ => 1 }\n}\ntrait T {\n    fn declared(&self);\n}\n";
        let found = functions(text);
        assert_eq!(found, [Function { name: "a".into(), line: 1, lines: 5 }]);
    }

    #[test]
    fn tests_are_found_by_their_attribute() {
        let text = "#[test]\nfn one() {}\nfn helper() {}\nproptest! {\n    #[test]\n    fn two(x in 0..3) {}\n}\n";
        assert_eq!(Source::read("crates/a/src/tests.rs", text).tests(), ["one", "two"]);
    }
}
