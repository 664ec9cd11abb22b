//! Rules about documents: what they name exists, and what must be named is.
//!
//! The threat model is a table, one row for each id. Its last column says what answers the threat:
//! `test: crate::module::name`, `type: crate::path`, or `not built yet: …`.

use std::collections::{BTreeMap, BTreeSet};

use super::{File, Finding, source::Source};

/// The crate name and path of every test, as `(crate, file, name)`.
pub(super) struct Tests(Vec<(String, String, String)>);

/// Returns what is wrong with the documents among `files`.
pub(super) fn check(files: &[File], crates: &[&str]) -> Vec<Finding> {
    let paths: BTreeSet<&str> = files.iter().map(|file| file.path.as_str()).collect();
    let mut findings = Vec::new();
    for file in files.iter().filter(|file| file.path.ends_with(".md")) {
        findings.extend(machine_paths(file));
        findings.extend(links(file, &paths));
    }
    findings.extend(decisions(files));
    let tests = Tests::find(files);
    findings.extend(threat_model(files, &tests));
    let named = |file: &&File| ["docs/escapes.md", "docs/incidents.md"].contains(&&*file.path);
    for file in files.iter().filter(named) {
        findings.extend(named_tests(file, &tests));
    }
    findings.extend(architecture(files, crates));
    findings.extend(policies(files));
    findings
}

/// Returns the lines that hold more than one sentence: worth a look, not worth a failure.
pub(super) fn crowded_lines(files: &[File]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in files.iter().filter(|file| is_prose(&file.path)) {
        let mut fenced = false;
        for (number, line) in (1..).zip(file.text.lines()) {
            fenced ^= line.trim_start().starts_with("```");
            let plain = !fenced && !line.starts_with(['|', '#', ' ', '-']);
            let ends = line.match_indices(". ");
            let sentences = ends.filter(|(at, _)| ends_sentence(line, *at)).count();
            if plain && 0 < sentences {
                findings.push(file.finding(number, "holds more than one sentence"));
            }
        }
    }
    findings
}

// === impl Tests ===

impl Tests {
    fn find(files: &[File]) -> Self {
        let mut found = Vec::new();
        for file in files.iter().filter(|file| file.path.ends_with(".rs")) {
            let Some(package) = package_of(&file.path) else { continue };
            for name in Source::read(&file.path, &file.text).tests() {
                found.push((package.clone(), file.path.clone(), name));
            }
        }
        Self(found)
    }

    /// Whether `path`, as `crate::module::name`, names a test: each module is a file, a directory
    /// or an inline module of that crate.
    fn has(&self, path: &str) -> bool {
        let segments: Vec<&str> = path.split("::").collect();
        let [package, modules @ .., name] = segments.as_slice() else { return false };
        let named = self.0.iter().filter(|(own, _, test)| own == package && test == name);
        named.into_iter().any(|(_, file, _)| {
            let places: BTreeSet<&str> = file.trim_end_matches(".rs").split('/').collect();
            modules.iter().all(|module| *module == "tests" || places.contains(module))
        })
    }
}

/// No document names a place on somebody's machine.
fn machine_paths(file: &File) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (number, line) in (1..).zip(file.text.lines()) {
        for place in MACHINE_PATHS.iter().filter(|place| line.contains(**place)) {
            findings.push(file.finding(number, format!("names `{place}`, a place on one machine")));
        }
    }
    findings
}

/// Every relative link leads to a file in the tree.
fn links(file: &File, paths: &BTreeSet<&str>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (number, line) in (1..).zip(file.text.lines()) {
        for (_, rest) in line.match_indices("](").map(|(at, _)| line.split_at(at + 2)) {
            let target = rest.split([')', '#', ' ']).next().unwrap_or_default();
            if target.is_empty() || target.contains(':') {
                continue;
            }
            let wanted = resolve(&file.path, target);
            let inside = format!("{wanted}/");
            if !paths.contains(wanted.as_str()) && !paths.iter().any(|p| p.starts_with(&inside)) {
                findings
                    .push(file.finding(number, format!("links to `{target}`, which is not there")));
            }
        }
    }
    findings
}

/// Decision records are numbered without a gap, titled by their number, and linked from the index.
fn decisions(files: &[File]) -> Vec<Finding> {
    let Some(index) = files.iter().find(|file| file.path == "docs/decisions/README.md") else {
        return Vec::new();
    };
    let mut findings = Vec::new();
    let mut expected = 1;
    for file in files {
        let Some(name) = file.path.strip_prefix("docs/decisions/") else { continue };
        if name == "README.md" {
            continue;
        }
        let number = format!("{expected:04}");
        if !name.starts_with(&format!("{number}-")) {
            findings.push(file.finding(1, format!("is not numbered {number}")));
        }
        if !file.text.starts_with(&format!("# {expected}. ")) {
            findings.push(file.finding(1, format!("does not open with `# {expected}. `")));
        }
        for part in ["## Context", "## Decision", "## Consequences"] {
            if !file.text.contains(part) {
                findings.push(file.finding(1, format!("has no part `{part}`")));
            }
        }
        if !index.text.contains(&format!("({name})")) {
            findings.push(index.finding(1, format!("does not link `{name}`")));
        }
        expected += 1;
    }
    findings
}

/// The threat model answers every id, and what answers it exists.
fn threat_model(files: &[File], tests: &Tests) -> Vec<Finding> {
    let Some(file) = files.iter().find(|file| file.path == "docs/threat-model.md") else {
        return Vec::new();
    };
    let mut findings = named_tests(file, tests);
    let mut rows: BTreeMap<&str, usize> = BTreeMap::new();
    for (number, line) in (1..).zip(file.text.lines()) {
        let cells: Vec<&str> = line.trim().trim_matches('|').split(" | ").map(str::trim).collect();
        let [id, .., answer] = cells.as_slice() else { continue };
        if !line.starts_with('|') || !is_threat(id) {
            continue;
        }
        if rows.insert(id, number).is_some() {
            findings.push(file.finding(number, format!("answers `{id}` twice")));
        }
        if !ANSWERS.iter().any(|word| answer.contains(word)) {
            findings.push(file.finding(number, format!("`{id}` has no test, type or plan")));
        }
    }
    for id in threats().iter().filter(|id| !rows.contains_key(id.as_str())) {
        findings.push(file.finding(1, format!("does not answer `{id}`")));
    }
    findings
}

/// Every `test: path` in the file names a test.
fn named_tests(file: &File, tests: &Tests) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (number, line) in (1..).zip(file.text.lines()) {
        for (_, rest) in
            line.match_indices("`test: ").map(|(at, mark)| line.split_at(at + mark.len()))
        {
            let path = rest.split('`').next().unwrap_or_default();
            if !tests.has(path) {
                findings.push(
                    file.finding(number, format!("names the test `{path}`, which is not there")),
                );
            }
        }
    }
    findings
}

/// The bird's-eye view names every crate.
fn architecture(files: &[File], crates: &[&str]) -> Vec<Finding> {
    let Some(file) = files.iter().find(|file| file.path == "docs/architecture.md") else {
        return Vec::new();
    };
    let named = |name: &str| file.text.contains(&format!("`{name}`"));
    let missing = crates.iter().filter(|name| !named(name));
    missing.map(|name| file.finding(1, format!("does not name the crate `{name}`"))).collect()
}

/// Every file under `policies/` is read by some code, which is what compiles and tests it.
fn policies(files: &[File]) -> Vec<Finding> {
    let code: Vec<&File> = files.iter().filter(|file| file.path.ends_with(".rs")).collect();
    let mut findings = Vec::new();
    for file in files.iter().filter(|file| file.path.starts_with("policies/")) {
        let Some(inside) = file.path.strip_prefix("policies/") else { continue };
        let directory = inside.rsplit_once('/').map_or(inside, |(directory, _)| directory);
        // A path written whole, a directory written whole, or one joined to `…/policies`.
        let whole = format!("policies/{directory}");
        let part = format!("\"{directory}\"");
        let read = |source: &&File| {
            let joined = source.text.contains("policies\"") && source.text.contains(&part);
            joined || source.text.contains(&file.path) || source.text.contains(&whole)
        };
        if !file.path.ends_with(".md") && !code.iter().any(read) {
            findings.push(file.finding(1, "is read by no code, so nothing compiles or tests it"));
        }
    }
    findings
}

fn package_of(path: &str) -> Option<String> {
    let parts: Vec<&str> = path.split('/').collect();
    match parts.as_slice() {
        ["crates", name, ..] => Some((*name).to_owned()),
        ["tests", "fuzz", ..] => Some("iddio-fuzz".to_owned()),
        ["tests", ..] => Some("iddio-tests".to_owned()),
        ["xtask", ..] => Some("xtask".to_owned()),
        _ => None,
    }
}

/// Returns the path that `target`, written in the document at `from`, leads to.
fn resolve(from: &str, target: &str) -> String {
    let mut parts: Vec<&str> = from.split('/').collect();
    parts.pop();
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            _ => parts.push(part),
        }
    }
    parts.join("/")
}

/// Whether the full stop at `at` ends a sentence: the next word starts large, and the word before is
/// neither a number nor an abbreviation.
fn ends_sentence(line: &str, at: usize) -> bool {
    let (before, after) = line.split_at(at);
    let large = after.chars().nth(2).is_some_and(char::is_uppercase);
    let word = before.rsplit(' ').next().unwrap_or_default();
    large && 2 < word.len() && !word.contains('.')
}

fn is_prose(path: &str) -> bool {
    path.ends_with(".md") && !path.starts_with("docs/reference/") && !path.contains("/torture/")
}

fn is_threat(id: &str) -> bool {
    let (letter, number) = id.split_at(id.len().min(1));
    letter.chars().all(|l| l.is_ascii_uppercase()) && number.parse::<u8>().is_ok()
}

/// Returns every id that the threat model must answer.
fn threats() -> Vec<String> {
    let first = |letter| u8::from(letter != 'I');
    let width = |letter| if letter == 'I' { 1 } else { 2 };
    let ids = THREATS.iter().flat_map(|(letter, last)| {
        (first(*letter)..=*last).map(move |n| format!("{letter}{n:0w$}", w = width(*letter)))
    });
    ids.collect()
}

/// The families of threats, and the last number of each. Only I starts at 0.
const THREATS: [(char, u8); 9] = [
    ('I', 10),
    ('K', 28),
    ('S', 23),
    ('M', 23),
    ('H', 20),
    ('A', 16),
    ('L', 10),
    ('X', 14),
    ('E', 28),
];

const ANSWERS: [&str; 3] = ["`test: ", "`type: ", "not built yet"];

/// Written in two halves, so that this file does not find itself.
const MACHINE_PATHS: [&str; 4] = [
    concat!("/wo", "rk/"),
    concat!("/ro", "ot/"),
    concat!("/tm", "p/"),
    concat!("/ho", "me/runner"),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, text: &str) -> File {
        File { path: path.into(), text: text.into() }
    }

    fn said(files: &[File]) -> Vec<String> {
        check(files, &["iddio-core"]).into_iter().map(|finding| finding.what).collect()
    }

    #[test]
    fn a_place_on_one_machine_is_found() {
        let path = MACHINE_PATHS[0];
        assert_eq!(said(&[file("docs/guide.md", &format!("See {path}main.\n"))]).len(), 1);
    }

    #[test]
    fn a_dead_link_is_found() {
        let text = "[a](other.md#part) [b](../README.md) [c](https://example.com) [d](decisions)\n";
        let here = [
            file("docs/guide.md", text),
            file("docs/other.md", ""),
            file("README.md", ""),
            file("docs/decisions/notes.txt", ""),
        ];
        assert!(said(&here).is_empty());
        assert_eq!(said(&here[..2]).len(), 2);
    }

    #[test]
    fn decisions_out_of_order_or_unlinked_are_found() {
        let good = "# 1. A\n## Context\n## Decision\n## Consequences\n";
        let index = file("docs/decisions/README.md", "[one](0001-a.md)\n");
        assert!(said(&[file("docs/decisions/0001-a.md", good), index]).is_empty());
        let index = file("docs/decisions/README.md", "nothing\n");
        let said = said(&[file("docs/decisions/0002-b.md", good), index]);
        assert_eq!(said.len(), 2, "{said:?}");
    }

    #[test]
    fn the_threat_model_answers_every_id_once_with_what_exists() {
        let rows: String =
            threats().iter().map(|id| format!("| {id} | x | not built yet: ssh |\n")).collect();
        assert!(said(&[file("docs/threat-model.md", &rows)]).is_empty());
        let without = rows.replace("| E28 | x | not built yet: ssh |\n", "");
        assert_eq!(said(&[file("docs/threat-model.md", &without)]), ["does not answer `E28`"]);
        let twice = format!("{rows}| A01 | x | not built yet: ssh |\n");
        assert_eq!(said(&[file("docs/threat-model.md", &twice)]), ["answers `A01` twice"]);
        let idle = rows.replace("| S01 | x | not built yet: ssh |", "| S01 | x | fine |");
        assert_eq!(
            said(&[file("docs/threat-model.md", &idle)]),
            ["`S01` has no test, type or plan"]
        );
    }

    #[test]
    fn a_test_that_is_not_there_is_found() {
        let rows: String = threats()
            .iter()
            .map(|id| format!("| {id} | x | `test: iddio-core::approval::nobody_else` |\n"))
            .collect();
        let model = file("docs/threat-model.md", &rows);
        let test = "#[test]\nfn nobody_else() {}\n";
        let here = file("crates/iddio-core/src/approval/tests.rs", test);
        let elsewhere = file("crates/iddio-core/src/audit/tests.rs", test);
        assert!(said(&[here, model]).is_empty());
        let model = file("docs/threat-model.md", &rows);
        assert_eq!(said(&[elsewhere, model]).len(), threats().len());
    }

    #[test]
    fn a_crate_that_the_architecture_forgets_is_found() {
        assert!(said(&[file("docs/architecture.md", "`iddio-core`\n")]).is_empty());
        assert_eq!(said(&[file("docs/architecture.md", "nothing\n")]).len(), 1);
    }

    #[test]
    fn a_policy_that_no_code_reads_is_found() {
        let policy = || file("policies/default.yaml", "");
        assert_eq!(said(&[policy()]).len(), 1);
        let code = file("crates/a/src/lib.rs", "include_str!(\"../../../policies/default.yaml\")");
        assert!(said(&[policy(), code]).is_empty());
    }

    #[test]
    fn lines_with_two_sentences_are_seen() {
        let crowded = |text: &str| crowded_lines(&[file("docs/a.md", text)]).len();
        assert_eq!(crowded("This is one. This is two.\n"), 1);
        assert_eq!(crowded("Version 1.2 of e.g. Terraform.\n| a. B | c |\n"), 0);
    }
}
