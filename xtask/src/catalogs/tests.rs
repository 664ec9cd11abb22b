//! Tests of the derivation, on facts small enough to read.

use std::collections::BTreeSet;

use super::{
    derive,
    facts::Facts,
    reviewed::Reviewed,
    table::{Row, Table},
};

#[test]
fn an_access_level_and_a_name_must_agree_on_a_read() {
    let cases = [
        // Name, levels of two sources, method; tier and tag.
        ("describe-things", ["List", "Read"], "POST", 0, "read"),
        ("list-things", ["List", "List"], "GET", 0, "list"),
        ("list-things", ["List", ""], "GET", 0, "list"),
        ("list-things", ["", ""], "GET", 2, "unpublished"),
        ("list-things", ["List", "Write"], "GET", 2, "write"),
        ("list-things", ["List", "Something new"], "GET", 3, "permissions"),
        ("get-thing", ["Read", "Read"], "DELETE", 2, "verb"),
        ("ponder-things", ["Read", "Read"], "POST", 2, "verb"),
        ("put-thing", ["Write", "Permissions management"], "PUT", 3, "permissions"),
        ("put-thing", ["Permissions management, Write", ""], "PUT", 3, "permissions"),
        ("tag-thing", ["Tagging, Write", "Tagging"], "POST", 2, "tagging"),
        ("remove-tags", ["Tagging", "Tagging"], "POST", 2, "tagging"),
        ("delete-tags", ["Tagging", "Tagging"], "POST", 3, "delete"),
        ("delete-thing", ["Write", "Write"], "DELETE", 3, "delete"),
        ("batch-delete-things", ["Read", "Read"], "POST", 3, "delete"),
        ("purchase-thing", ["Write", "Write"], "POST", 3, "purchase"),
    ];
    for (name, levels, method, tier, tag) in cases {
        let facts = facts(name, levels, method, &[]);
        let row = made(&facts, "");
        assert_eq!(row, Row::new(tier, tag), "{name} {levels:?} {method}");
    }
}

#[test]
fn a_read_that_answers_a_credential_is_sensitive() {
    let cases =
        [("Password", 3), ("ClientSecret", 3), ("SecretArn", 0), ("NextToken", 0), ("Email", 0)];
    for (member, tier) in cases {
        let facts = facts("get-thing", ["Read", "Read"], "GET", &[member]);
        assert_eq!(made(&facts, "").tier, tier, "{member}");
    }
}

#[test]
fn people_raise_what_aws_publishes_and_vouch_by_exact_name_alone() {
    let facts = facts("list-things", ["List", "List"], "GET", &[]);
    let raise = "[[raise]]\ntier = 4\nclass = 'session'\ntag = 'session'\nwhy = 'x'\noperations = ['toy *']";
    let row = made(&facts, raise);
    assert_eq!((row.tier, row.class.as_str()), (4, "session"));
    let writes =
        "[[raise]]\nonly = 'writes'\ntier = 3\ntag = 'x'\nwhy = 'x'\noperations = ['toy *']";
    assert_eq!(made(&facts, writes).tier, 0);
    let vouch = "[[vouch]]\ntier = 0\ntag = 'read'\nwhy = 'x'\noperations = ['toy ponder']";
    let odd = self::facts("ponder", ["Read", "Read"], "POST", &[]);
    assert_eq!(made(&odd, vouch).tier, 0);
    let wide = vouch.replace("toy ponder", "toy *");
    assert!(read(&odd, &wide).unwrap_err().to_string().contains("only what raises"));
}

#[test]
fn a_reviewed_pattern_that_matches_nothing_is_an_error() {
    let facts = facts("list-things", ["List", "List"], "GET", &[]);
    let stale = "[[raise]]\ntier = 3\ntag = 'x'\nwhy = 'x'\noperations = ['toy gone']";
    assert!(read(&facts, stale).unwrap_err().to_string().contains("`toy gone`"));
}

#[test]
fn a_customisation_that_nobody_reviewed_is_sensitive() {
    let json = r#"{"versions": {}, "levels": [], "commands": [
        {"path": "toy list-things", "kind": "customisation", "arguments": {}}]}"#;
    let facts: Facts = serde_json::from_str(json).unwrap();
    assert_eq!(made(&facts, ""), Row::new(3, "unreviewed"));
}

#[test]
fn a_table_reads_back_and_tells_what_changed() {
    let facts = facts("list-things", ["List", "List"], "GET", &[]);
    let mut new = Table::default();
    new.rows.insert("toy a".to_owned(), Row::new(0, "read"));
    new.rows.insert("toy b".to_owned(), Row::new(3, "delete"));
    assert_eq!(Table::read(&new.render(&facts)), new);
    let mut old = Table::default();
    old.rows.insert("toy a".to_owned(), Row::new(2, "write"));
    old.rows.insert("toy c".to_owned(), Row::new(2, "write"));
    let told = new.changes(&old);
    for line in
        ["lowered: 1\n  toy a: 0 read was 2 write", "added: 1\n  toy b", "removed: 1\n  toy c"]
    {
        assert!(told.contains(line), "{told}");
    }
}

fn made(facts: &Facts, reviewed: &str) -> Row {
    let table = derive::table(facts, &read(facts, reviewed).unwrap());
    table.rows.into_values().next().unwrap()
}

fn read(facts: &Facts, entries: &str) -> anyhow::Result<Reviewed> {
    let paths: BTreeSet<&str> = facts.commands.iter().map(|fact| fact.path.as_str()).collect();
    let lists = ["vouch", "customisation", "raise"];
    let empty: String = lists
        .iter()
        .filter(|list| !entries.contains(&format!("[[{list}]]")))
        .map(|list| format!("{list} = []\n"))
        .collect();
    let tables = "[prefixes]\n[permissions]\n[methods]\nservices = []\n";
    Reviewed::parse(&format!("{empty}{tables}{entries}"), &paths)
}

/// One operation of one service, in one source or two.
fn facts(name: &str, levels: [&str; 2], method: &str, sensitive: &[&str]) -> Facts {
    let source = |level: &&str| match *level {
        "" => serde_json::json!({}),
        level => serde_json::json!({"toy": {"dothing": level}}),
    };
    let sources: Vec<_> = levels.iter().map(source).collect();
    let api = serde_json::json!({
        "operation": "DoThing", "method": method, "prefixes": ["toy"], "sensitive": sensitive, "signed": [],
    });
    let command = serde_json::json!({
        "path": format!("toy {name}"), "kind": "operation", "arguments": {}, "api": api,
    });
    let facts = serde_json::json!({"versions": {}, "levels": sources, "commands": [command]});
    serde_json::from_value(facts).unwrap()
}
