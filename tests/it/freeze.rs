//! Freezes, with the real binary: new work refused, running work ended, through crashes and damage.

use std::{fs, thread};

use iddio_tests::{Said, World, binary, real};
use serde_json::Value;

use crate::kit::{ASKING, OPEN, of, only};

const STRACE: &str = "apt-get install strace";

/// What a shell and strace report of a process that was killed.
const KILLED: i32 = 137;

/// A world in which `local:root` and the agent `bot` may do what does not destroy.
fn world() -> (World, String) {
    let rules = OPEN.split_once("local:root:\n").unwrap().1;
    let world = World::with_policy(&format!("{OPEN}  bot:\n{rules}"));
    let token = world.iddio(["agent", "add", "bot"]).ok().stdout.trim_end().to_owned();
    (world, token)
}

/// Runs `iddio` as the bearer of `token`.
fn as_bearer(world: &World, token: &str, words: &[&str]) -> Said {
    Said::of(world.command(words).env("IDDIO_TOKEN", token).output().unwrap())
}

/// Returns the standing freezes.
fn frozen(world: &World) -> Value {
    world.json(["freeze", "list", "--json"])
}

/// Waits until the log says that something was allowed and started.
fn until_allowed(world: &World, agent: &str) {
    loop {
        let records = world.records();
        if of(&records, "decided").iter().any(|record| record["agent"] == agent) {
            return;
        }
        thread::yield_now();
    }
}

#[test]
fn a_frozen_agent_is_refused_on_record_and_nobody_else_is() {
    let (world, token) = world();
    as_bearer(&world, &token, &["exec", "--", "true"]).ok();
    world.iddio(["freeze", "--agent", "bot", "--reason", "it deletes things"]).ok();
    as_bearer(&world, &token, &["exec", "--", "touch", "ran"])
        .exits(77)
        .says("agent bot is frozen since")
        .says("by local:root: it deletes things")
        .says("iddio thaw --agent bot");
    assert!(!world.work().join("ran").exists());
    world.iddio(["exec", "--agent", "bot", "--", "true"]).exits(77);
    world.iddio(["exec", "--", "true"]).ok();
    let records = world.records();
    let set = only(&records, "freeze.set");
    assert_eq!(
        (&set["whom"], &set["name"], &set["by"]),
        (&"agent".into(), &"bot".into(), &"local:root".into())
    );
    let decided = of(&records, "decided");
    let refused = decided.iter().find(|record| record["refusal"] == "frozen").unwrap();
    assert_eq!(refused["rule"], "frozen: agent bot");
    assert_eq!(refused["decision"], "deny");
    world.iddio(["thaw", "--agent", "bot"]).ok().prints("assurance: none");
    as_bearer(&world, &token, &["exec", "--", "touch", "ran"]).ok();
    let records = world.records();
    let lifted = only(&records, "freeze.lifted");
    assert_eq!((&lifted["name"], &lifted["approval_assurance"]), (&"bot".into(), &"none".into()));
    world.iddio(["doctor"]).ok();
    world.verify();
}

#[test]
fn k20_running_work_is_ended_with_a_code_a_word_and_a_record_of_its_own() {
    let (world, _) = world();
    let running = world.start(["exec", "--agent", "bot", "--", "sleep", "100000"]);
    let other = world.start(["exec", "--", "sleep", "100000"]);
    until_allowed(&world, "bot");
    until_allowed(&world, "local:root");
    world.iddio(["freeze", "--agent", "bot"]).ok();
    running.end().exits(77).says("agent bot is frozen");
    let records = world.records();
    let closed = only(&records, "closed");
    let outcome = closed["outcome"].as_str().unwrap();
    // Frozen before it had started, or while it ran: both end it.
    assert!(["frozen", "not_forwarded"].contains(&outcome), "{closed:#}");
    // The other runs on until everybody is frozen.
    world.iddio(["freeze", "--all"]).ok();
    other.end().exits(77).says("everybody is frozen");
    world.verify();
}

#[test]
fn k20_a_run_that_ignores_the_request_to_end_is_killed_with_all_it_started() {
    let world = World::with_policy(OPEN);
    let script = "trap '' TERM; sh -c 'echo $$ > child; exec sleep 100000' & echo up >&2; wait; sleep 100000";
    let mut running = world.start(["exec", "--", "sh", "-c", script]);
    running.until("up");
    world.iddio(["freeze", "--all"]).ok();
    running.end().exits(77).says("everybody is frozen");
    let child = fs::read_to_string(world.work().join("child")).unwrap();
    assert!(!std::path::Path::new("/proc").join(child.trim()).exists(), "a descendant lives");
    let records = world.records();
    let closed = only(&records, "closed");
    assert_eq!((&closed["outcome"], &closed["exit_code"]), (&"frozen".into(), &77.into()));
}

#[test]
fn an_ask_that_waits_ends_as_frozen() {
    let world = World::with_policy(ASKING);
    let mut waiting = world.start(["exec", "--", "touch", "ran"]);
    let id = waiting.until_asked();
    world.iddio(["freeze", "--operator", "root"]).ok();
    waiting.end().exits(77).says("operator root is frozen");
    let records = world.records();
    assert_eq!(only(&records, "decided")["refusal"], "frozen");
    world.iddio(["approvals", "approve", &id]).exits(77);
    assert!(!world.work().join("ran").exists());
    world.verify();
}

#[test]
fn freezing_everybody_leaves_operators_their_tools() {
    let (world, _) = world();
    world.iddio(["freeze", "--all", "--reason", "fire"]).ok();
    world.iddio(["exec", "--", "true"]).exits(77).says("everybody is frozen since").says("fire");
    world.iddio(["approvals", "list"]).ok();
    world.iddio(["audit", "verify"]).ok();
    world.iddio(["freeze", "list"]).ok().prints("everybody  since");
    world.iddio(["doctor"]).ok().prints("iddio thaw --all");
    world.iddio(["freeze", "--agent", "bot"]).ok();
    world.iddio(["thaw", "--all"]).ok().says("still frozen: agent bot");
    world.iddio(["exec", "--", "true"]).ok();
    world.iddio(["exec", "--agent", "bot", "--", "true"]).exits(77);
}

#[test]
fn an_agent_freezes_itself_and_nobody_else_and_thaws_nobody() {
    let (world, token) = world();
    for words in [
        vec!["freeze", "--all"],
        vec!["freeze", "--agent", "other"],
        vec!["freeze", "--operator", "root"],
        vec!["thaw", "--agent", "bot"],
        vec!["freeze", "repair"],
    ] {
        as_bearer(&world, &token, &words).exits(77).says("is an agent");
    }
    assert_eq!(frozen(&world)["frozen"], serde_json::json!([]));
    as_bearer(&world, &token, &["freeze", "--agent", "bot"]).ok();
    as_bearer(&world, &token, &["thaw", "--agent", "bot"]).exits(77);
    as_bearer(&world, &token, &["exec", "--", "true"]).exits(77);
    assert_eq!(frozen(&world)["frozen"][0]["by"], "bot");
    // Nor through iddio itself.
    world.iddio(["classify", "--", "iddio", "thaw", "--all"]).ok().prints("T4");
    world.iddio(["classify", "--", "iddio", "freeze", "repair"]).ok().prints("T4");
    world.iddio(["classify", "--", "iddio", "freeze", "--all"]).ok().prints("T2");
}

#[test]
fn once_an_operator_has_a_key_a_thaw_is_signed_and_never_by_who_is_frozen() {
    let (world, _) = world();
    let enroll = |name: &str, phrase: &str| {
        let phrase = world.file(&format!("{name}.phrase"), phrase);
        let script =
            format!("exec \"$0\" operator enroll {name} --passphrase-fd 3 3< {}", phrase.display());
        Said::of(world.within(["sh", "-c", &script, binary().to_str().unwrap()]).output().unwrap())
            .ok();
        phrase
    };
    let bob = enroll("bob", "correct horse battery staple bob");
    let _eve = enroll("eve", "correct horse battery staple eve");
    let thaw_as = |name: &str, rest: &str, phrase: &std::path::Path| {
        let script = format!(
            "exec \"$0\" thaw {rest} --as {name} --passphrase-fd 3 3< {}",
            phrase.display()
        );
        Said::of(world.within(["sh", "-c", &script, binary().to_str().unwrap()]).output().unwrap())
    };
    world.iddio(["freeze", "--agent", "bot"]).ok();
    world.iddio(["thaw", "--agent", "bot"]).exits(77).says("--as");
    let statement = world.iddio(["thaw", "--agent", "bot", "--as", "bob", "--statement"]).ok();
    assert!(statement.stdout.starts_with("iddio-thaw/v1\nfreeze: "), "{statement:?}");
    let forged = world
        .file("forged.sig", "-----BEGIN SSH SIGNATURE-----\nAAAA\n-----END SSH SIGNATURE-----\n");
    world
        .iddio(["thaw", "--agent", "bot", "--as", "bob", "--signature", forged.to_str().unwrap()])
        .exits(77)
        .says("does not count");
    thaw_as("bob", "--agent bot", &bob).ok().prints("assurance: passphrase");
    let records = world.records();
    let lifted = only(&records, "freeze.lifted");
    assert_eq!(lifted["by"], "human:bob");
    assert!(lifted["signature"].as_str().unwrap().contains("BEGIN SSH SIGNATURE"), "{lifted:#}");
    // The signature of that thaw lifts no later freeze of the same agent.
    world.iddio(["freeze", "--agent", "bot"]).ok();
    let old = world.file("old.sig", lifted["signature"].as_str().unwrap());
    world
        .iddio(["thaw", "--agent", "bot", "--as", "bob", "--signature", old.to_str().unwrap()])
        .exits(77);
    world.iddio(["freeze", "--operator", "bob"]).ok();
    thaw_as("bob", "--operator bob", &bob).exits(77).says("thaws nobody");
    thaw_as("bob", "--agent bot", &bob).exits(77).says("thaws nobody");
    assert_eq!(frozen(&world)["frozen"].as_array().unwrap().len(), 2);
}

#[test]
fn a_state_that_is_damaged_or_gone_freezes_everybody_until_it_is_made_anew_from_the_log() {
    let (world, _) = world();
    world.iddio(["freeze", "--agent", "bot"]).ok();
    let state = world.home().join("freezes/state.json");
    let damages: [&dyn Fn(); 3] = [
        &|| fs::write(&state, "{\"format\":").unwrap(),
        &|| fs::remove_file(&state).unwrap(),
        &|| fs::write(&state, "").unwrap(),
    ];
    for damage in damages {
        damage();
        world.iddio(["exec", "--", "true"]).exits(77).says("iddio freeze repair");
        world.iddio(["doctor"]).exits(1).prints("iddio freeze repair");
        world.iddio(["thaw", "--all"]).exits(69).says("iddio freeze repair");
        world.iddio(["freeze", "list"]).exits(69);
        world.iddio(["freeze", "repair"]).ok().prints("agent bot  since");
        world.iddio(["exec", "--", "true"]).ok();
        world.iddio(["exec", "--agent", "bot", "--", "true"]).exits(77);
    }
    // A freeze of the damaged state is on record, and holds after the repair.
    fs::write(&state, "").unwrap();
    world.iddio(["freeze", "--agent", "other"]).ok();
    world.iddio(["freeze", "repair"]).ok().prints("agent other  since");
    // A state that was emptied behind iddio's back is told by doctor, and mended from the log.
    fs::write(&state, r#"{"format":"iddio-freezes/v1","freezes":[]}"#).unwrap();
    world.iddio(["doctor"]).exits(1).prints("frozen by the log and not by");
    world.iddio(["freeze", "repair"]).ok().prints("agent bot  since").prints("agent other  since");
    world.verify();
}

#[test]
fn processes_that_freeze_and_thaw_at_once_leave_log_and_state_agreed() {
    let (world, _) = world();
    thread::scope(|scope| {
        for process in 0..4 {
            let world = &world;
            scope.spawn(move || {
                let own = format!("agent-{process}");
                for _ in 0..4 {
                    world.iddio(["freeze", "--agent", "shared"]).ok();
                    world.iddio(["freeze", "--agent", &own]).ok();
                    let thawed = world.iddio(["thaw", "--agent", "shared"]);
                    // Another process froze it anew: that is said, and nothing is thawed.
                    let anew = thawed.code == 69 && thawed.stderr.contains("frozen anew");
                    assert!(anew || [0, 64].contains(&thawed.code), "{thawed:?}");
                }
            });
        }
    });
    assert_eq!(agreed(&world).len(), 4, "{:#}", frozen(&world));
    world.verify();
}

/// Checks that whoever the log says is frozen is frozen by the state, and returns the state's.
fn agreed(world: &World) -> Vec<String> {
    let standing = frozen(world);
    assert_eq!(standing["unknown"], Value::Null, "{standing:#}");
    let standing = standing["frozen"].as_array().unwrap().clone();
    let ids: Vec<String> =
        standing.iter().map(|freeze| freeze["freeze"].as_str().unwrap().to_owned()).collect();
    let mut live = Vec::new();
    for record in world.records() {
        let id = record["freeze"].as_str().unwrap_or_default().to_owned();
        match record["event"].as_str() {
            Some("freeze.set") => live.push(id),
            Some("freeze.lifted") => live.retain(|known| *known != id),
            _ => {}
        }
    }
    for id in live {
        assert!(ids.contains(&id), "frozen by the log and not by the state: {id}");
    }
    ids
}

/// Runs `iddio` under strace with one fault, and says whether the fault met a call.
fn with_fault(world: &World, words: &[&str], call: &str, fault: &str) -> (Said, bool) {
    let log = world.work().join("strace");
    let strace = real("strace", STRACE).unwrap();
    let (trace, inject) = (format!("trace={call}"), format!("inject={call}:{fault}"));
    let (strace, path) = (strace.to_str().unwrap(), log.to_str().unwrap());
    let binary = binary().to_str().unwrap();
    let mut command =
        world.within([strace, "-qq", "-f", "-o", path, "-e", &trace, "-e", &inject, binary]);
    let said = Said::of(command.args(words).output().unwrap());
    (said, fs::read_to_string(&log).unwrap_or_default().contains("INJECTED"))
}

/// The calls by which a freeze or a thaw changes something.
const CALLS: [&str; 6] = ["write", "pwrite64", "fsync", "fdatasync", "rename", "flock"];

#[test]
fn killed_at_every_step_a_freeze_refuses_or_never_was_and_a_thaw_is_durable_or_still_refuses() {
    let Some(_) = real("strace", STRACE) else { return };
    let (world, _) = world();
    let (mut kills, mut frozen_unacknowledged) = (0, 0);
    for call in CALLS {
        for words in [["freeze", "--agent", "bot"], ["thaw", "--agent", "bot"]] {
            for step in 1.. {
                // Each step begins as it should: thawed before a freeze, frozen before a thaw.
                match words[0] {
                    "freeze" => drop(world.iddio(["thaw", "--agent", "bot"])),
                    _ => drop(world.iddio(["freeze", "--agent", "bot"]).ok()),
                }
                let (said, _) =
                    with_fault(&world, &words, call, &format!("signal=KILL:when={step}"));
                let held = !agreed(&world).is_empty();
                if said.code == 0 {
                    assert_eq!(held, words[0] == "freeze", "{call} {step}: acknowledged: {said:?}");
                }
                let refused = world.iddio(["exec", "--agent", "bot", "--", "true"]).code == 77;
                assert_eq!(refused, held, "{call} {words:?} {step}");
                if said.code != KILLED {
                    // The last step was the one before: this run got through.
                    assert_eq!(said.code, 0, "{call} {words:?} {step}: {said:?}");
                    break;
                }
                kills += 1;
                frozen_unacknowledged += usize::from(held);
                // Said again, it goes through, whatever was left.
                world.iddio(["freeze", "--agent", "bot"]).ok();
                assert!(!agreed(&world).is_empty());
                world.iddio(["doctor"]).ok();
                assert!(step < 100, "{call}: it never gets through");
            }
        }
    }
    assert!(12 < kills, "{kills} kills");
    assert!(2 < frozen_unacknowledged, "{frozen_unacknowledged} of {kills}");
    world.verify();
}

#[test]
fn a_freeze_that_cannot_be_recorded_is_in_force_and_not_acknowledged() {
    let Some(_) = real("strace", STRACE) else { return };
    let (world, _) = world();
    // The state is written with write; the log fails from the first sync of its own on.
    let (said, met) =
        with_fault(&world, &["freeze", "--agent", "bot"], "fdatasync", "error=EIO:when=1+");
    assert!(met);
    said.exits(69).says("not on record");
    world.iddio(["exec", "--agent", "bot", "--", "touch", "ran"]);
    assert!(!world.work().join("ran").exists());
    assert_eq!(frozen(&world)["frozen"][0]["name"], "bot");
    world.iddio(["doctor"]).exits(1);
}
