//! Planted secrets are found nowhere in what iddio keeps or says (reliability N8, threats L06, E28).

use std::{fs, path::Path};

use iddio_tests::World;

use crate::kit::{ASKING, OPEN};

/// Secrets in the places people put them.
const PLANTED: [(&[&str], &str); 8] = [
    (&["--password", "Zq7-canary-1f8K"], "Zq7-canary-1f8K"),
    (&["--password=Zq7-canary-2f8K"], "Zq7-canary-2f8K"),
    (&["--token", "ghp_canary3canary3canary3canary3canary3"], "ghp_canary3"),
    (&["https://user:Zq7-canary-4f8K@example.test/"], "Zq7-canary-4f8K"),
    (&["DB_PASSWORD=Zq7-canary-5f8K"], "Zq7-canary-5f8K"),
    (&["Authorization: Bearer Zq7canary6f8KZq7canary6f8K"], "Zq7canary6f8K"),
    (&["AKIAIOSFODNN7CANARY7"], "AKIAIOSFODNN7CANARY7"),
    (&["https://example.test/?access_token=Zq7-canary-8f8K"], "Zq7-canary-8f8K"),
];

fn holders(directory: &Path, needle: &str, found: &mut Vec<String>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            holders(&path, needle, found);
        } else if let Ok(bytes) = fs::read(&path)
            && bytes.windows(needle.len()).any(|window| window == needle.as_bytes())
        {
            found.push(path.display().to_string());
        }
    }
}

#[test]
fn secrets_in_arguments_are_neither_in_the_log_nor_in_any_other_file_nor_in_errors() {
    let world = World::with_policy(OPEN);
    for (words, secret) in PLANTED {
        let words = ["exec", "--", "echo"].iter().chain(words);
        let said = world.iddio(words).ok();
        assert!(said.stdout.contains(secret), "the command itself gets it");
        assert!(!said.stderr.contains(secret));
    }
    world.set_policy("agents: {}\n");
    for (words, secret) in PLANTED {
        let words = ["exec", "--", "echo"].iter().chain(words);
        let said = world.iddio(words).exits(77);
        assert!(!said.stderr.contains(secret), "a refusal repeats a secret: {said:#?}");
    }
    for (_, secret) in PLANTED {
        let mut found = Vec::new();
        holders(&world.home(), secret, &mut found);
        assert_eq!(found, Vec::<String>::new(), "{secret}");
    }
    world.verify();
}

#[test]
fn a_passphrase_and_a_token_are_kept_nowhere_but_where_they_belong() {
    let world = World::with_policy(ASKING);
    let json = world.json(["agent", "add", "builder", "--json"]);
    let token = json["token"].as_str().unwrap().to_owned();
    world.iddio(["operator", "add", "bob"]).ok();
    let phrase = b"correct horse battery staple\n";
    world.iddio_with(["operator", "enroll", "bob", "--passphrase-fd", "0"], phrase).ok();
    let mut found = Vec::new();
    holders(&world.home(), "battery staple", &mut found);
    assert_eq!(found, Vec::<String>::new());
    holders(&world.home(), &token, &mut found);
    let own = world.home().join("agents/builder/token").display().to_string();
    assert_eq!(found, [own], "only where the agent finds it");
}
