//! One truth, and nothing left over (reliability N6, N7).

use std::{fs, path::Path};

use iddio_tests::World;
use serde_json::Value;

use crate::kit::{ASKING, of};

const COMMANDS: [&[&str]; 5] = [
    &["true"],
    &["terraform", "version"],
    &["terraform", "destroy"],
    &["aws", "s3", "ls"],
    &["bash", "-c", "id"],
];

#[test]
fn replaying_the_log_through_its_policy_gives_every_decision_again() {
    let policy = ASKING.replace("3: escalate", "3: allow");
    let world = World::with_policy(&policy);
    for words in COMMANDS {
        world.iddio(["exec", "--"].iter().chain(words));
    }
    let records = world.records();
    let decided = of(&records, "decided");
    assert!(3 <= decided.len(), "{records:#?}");
    for record in decided {
        let argv = record["argv"].as_array().unwrap().iter().map(|word| word.as_str().unwrap());
        let words = ["policy", "explain", "--json", "--"].into_iter().chain(argv);
        let explained = world.json(words);
        assert_eq!(explained["verdict"], record["decision"], "{record:#}");
        assert_eq!(explained["policy_version"], record["policy_version"], "{record:#}");
        assert_eq!(explained["tier"], record["tier"], "{record:#}");
    }
    // Decision and end carry the same policy, principal and action.
    for closed in of(&records, "closed") {
        let decided = records.iter().find(|record| record["seq"] == closed["decided_seq"]).unwrap();
        for field in ["policy_version", "agent", "action_digest", "id", "tier", "decision", "rule"]
        {
            assert_eq!(decided[field], closed[field], "{field} of {closed:#}");
        }
    }
}

#[test]
fn a_hundred_runs_leave_nothing_but_their_records() {
    let world = World::with_policy(&ASKING.replace("3: escalate", "3: allow"));
    world.iddio(["exec", "--", "true"]).ok();
    let before = files(&world.home());
    for _ in 0..100 {
        world.iddio(["exec", "--", "true"]).ok();
    }
    assert_eq!(files(&world.home()), before, "files come and go with their run");
    let records: Vec<Value> = world.records();
    assert_eq!(of(&records, "closed").len(), 101);
}

fn files(directory: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut waiting = vec![directory.to_owned()];
    while let Some(directory) = waiting.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            found.push(path.display().to_string());
            if path.is_dir() {
                waiting.push(path);
            }
        }
    }
    found.sort();
    found
}
