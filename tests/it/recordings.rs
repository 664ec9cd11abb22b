//! Recordings, from the request of an agent to whoever reads what it did.

use std::{
    fs,
    io::{Read, Write},
    path::PathBuf,
    process::Stdio,
};

use iddio_tests::{World, keepers::until};
use serde_json::{Value, json};

use crate::{
    kit::{of, only},
    kube::Scene,
};

/// Everything runs and is recorded.
const FULL: &str = "\
agents:
  claude:
    rules:
      - {protocol: kubernetes, cluster_scoped: true, tiers: {0: allow, 2: allow, 3: allow, 4: allow},
         classes: [session], dangerous_allow: true, record: full}
";

const PODS: &str = "/api/v1/namespaces/payments/pods";

/// What a secret holds, and stands nowhere else.
const CANARY: &str = "aHVudGVyMi1pcy1zZWNyZXQ=";

fn ask(scene: &Scene, line: &str, body: &str) -> String {
    let length = body.len();
    let more = format!(
        "Connection: close\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n"
    );
    scene.raw(&(scene.head(line, &more) + body))
}

/// Waits until so many operations have ended on record.
fn ended(world: &World, count: usize) {
    let closed = || of(&world.records(), "closed").len();
    until(|| closed() == count, || format!("{} ended, not {count}", closed()));
}

fn sessions(world: &World) -> Vec<Value> {
    let said = world.iddio(["sessions", "list", "--json"]).ok();
    said.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The files of the recordings.
fn files(world: &World) -> Vec<PathBuf> {
    let entries = fs::read_dir(world.home().join("recordings")).unwrap();
    entries.map(|entry| entry.unwrap().path()).collect()
}

fn checked(world: &World, code: i32) -> Value {
    let said = world.iddio(["audit", "verify", "--recordings", "--json"]).exits(code);
    serde_json::from_str::<Value>(&said.stdout).unwrap()["recordings"].clone()
}

#[test]
fn what_an_agent_asked_and_got_is_recorded_without_its_secrets_and_vouched_for() {
    let scene = Scene::new(FULL);
    let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "new"}, "data": {"k": CANARY}});
    let secrets = "/api/v1/namespaces/payments/secrets";
    let made = ask(&scene, &format!("POST {secrets}"), &secret.to_string());
    assert!(made.starts_with("HTTP/1.1 201") && made.contains(CANARY), "{made}");
    let got = ask(&scene, &format!("GET {PODS}"), "");
    assert!(got.starts_with("HTTP/1.1 200"), "{got}");
    let world = &scene.world;
    ended(world, 2);
    // One agent, one recording.
    let listed = sessions(world);
    assert_eq!(listed.len(), 1, "{listed:#?}");
    let operations = listed[0]["operations"].as_array().unwrap();
    assert_eq!(operations.len(), 2);
    assert!(operations.iter().all(|one| one["sealed"] == true && one["agent"] == "claude"));
    let records = world.records();
    for closed in of(&records, "closed") {
        assert_eq!(closed["recording_id"], listed[0]["recording"], "{closed:#}");
        assert_eq!(closed["recording"].as_str().unwrap().len(), 64);
    }
    let id = listed[0]["recording"].as_str().unwrap();
    let text = world.iddio(["sessions", "export", id, "--format", "text"]).ok().stdout;
    assert!(text.contains(&format!("POST {secrets}")) && text.contains("web-1"), "{text}");
    assert!(text.contains("[redacted value, 16 to 31 bytes]"), "{text}");
    for form in ["text", "json", "raw"] {
        let said = world.iddio(["sessions", "export", id, "--format", form]).ok();
        assert!(!said.stdout.contains(CANARY) && !said.stdout.contains(&scene.token), "{said:?}");
    }
    let _ = world.iddio(["sessions", "search", "WEB-1"]).ok().prints("response: ");
    let _ = world.iddio(["sessions", "search", CANARY]).exits(1);
    let _ = world.iddio(["sessions", "search", "web-1", "--agent", "nobody"]).exits(1);
    let _ = world.iddio(["sessions", "show", id]).ok().prints("closed");
    let _ = world.iddio(["sessions", "show", "ffff"]).exits(64);
    let _ = world.iddio(["sessions", "export", id]).exits(64).says("no terminal");
    // Whoever read is on record, and how.
    let records = world.records();
    let read: Vec<_> =
        of(&records, "recording.read").iter().map(|read| read["how"].clone()).collect();
    assert_eq!(read, ["export", "export", "export", "export", "search", "search"]);
    assert_eq!(checked(world, 0)["sealed"], 2);
    let _ = world.iddio(["audit", "verify", "--recordings"]).ok().prints("2 recorded operations");
    let file = files(world).pop().unwrap();
    let mut bytes = fs::read(&file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&file, &bytes).unwrap();
    let found = checked(world, 1);
    assert_eq!(found["changed"].as_array().unwrap().len(), 1, "{found:#}");
    fs::remove_file(&file).unwrap();
    assert_eq!(checked(world, 1)["missing"].as_array().unwrap().len(), 2);
    let _ = scene.end();
}

#[test]
fn k23_what_cannot_be_recorded_is_not_forwarded_until_it_can_be() {
    let scene = Scene::new(FULL);
    let recordings = scene.world.home().join("recordings");
    fs::write(&recordings, "in the way").unwrap();
    let answer = ask(&scene, &format!("GET {PODS}"), "");
    assert!(answer.starts_with("HTTP/1.1 503") && answer.contains("cannot record"), "{answer}");
    assert!(scene.server.seen().iter().all(|seen| !seen.target.starts_with(PODS)));
    ended(&scene.world, 1);
    let records = scene.world.records();
    let closed = only(&records, "closed");
    assert_eq!(closed["outcome"], "not_forwarded");
    assert!(
        closed["note"].as_str().unwrap().contains("no recording could be opened"),
        "{closed:#}"
    );
    fs::remove_file(&recordings).unwrap();
    let answer = ask(&scene, &format!("GET {PODS}"), "");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let _ = scene.end();
}

#[test]
fn what_a_killed_gateway_leaves_is_readable_and_said_to_be_unsealed() {
    let scene = Scene::new(FULL);
    let head = scene.head(&format!("GET {PODS}?watch=true"), "Connection: close\r\n");
    let mut watch = scene.send(&head);
    let mut seen = Vec::new();
    let mut piece = [0; 4096];
    while !seen.windows(5).any(|window| window == b"web-1") {
        scene.server.put("pods", "payments", "web-1");
        let read = watch.read(&mut piece).unwrap();
        assert!(0 < read, "{}", String::from_utf8_lossy(&seen));
        seen.extend_from_slice(&piece[..read]);
    }
    let world = &scene.world;
    let read = || files(world).iter().map(|path| fs::metadata(path).unwrap().len()).sum::<u64>();
    // A title takes about four hundred bytes; more than that are frames.
    until(|| 600 < read(), || format!("{} bytes are on disk", read()));
    scene.gateway.signal(rustix::process::Signal::KILL);
    let found = checked(world, 0);
    assert_eq!((&found["sealed"], found["unsealed"].as_array().unwrap().len()), (&json!(0), 1));
    let _ = world.iddio(["audit", "verify", "--recordings"]).ok().prints("unsealed  ");
    let listed = sessions(world);
    assert_eq!(listed[0]["operations"][0]["sealed"], false);
    let id = listed[0]["recording"].as_str().unwrap();
    let _ = world.iddio(["sessions", "export", id, "--format", "text"]).ok().prints("web-1");
    // It goes when somebody says so, and that is on record.
    let file = fs::File::options().write(true).open(files(world).pop().unwrap()).unwrap();
    file.set_modified(std::time::SystemTime::UNIX_EPOCH).unwrap();
    let _ = world.iddio(["sessions", "prune", "--older-than", "90d"]).ok().prints("1 recordings");
    assert_eq!(only(&world.records(), "recording.removed")["recordings"], json!([id]));
    assert!(files(world).is_empty());
}

#[test]
fn a_session_is_recorded_and_replayed_without_what_would_reach_a_terminal() {
    let scene = Scene::new(FULL);
    if scene.without_kubectl() {
        return;
    }
    let script = r"printf '\033[8mhidden\033[0m \033]0;title\007\033]52;c;eA==\007seen\n'; echo err >&2; cat; exit 3";
    let mut child = scene
        .kubectl("gateway", &["exec", "-i", "web-1", "--", "sh", "-c", script])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(b"typed\n").unwrap();
    assert_eq!(child.wait_with_output().unwrap().status.code(), Some(3));
    let world = &scene.world;
    let session = || {
        let listed = sessions(world);
        let sealed = |one: &&Value| {
            one["operations"][0]["form"] == "session" && one["operations"][0]["sealed"] == true
        };
        listed.iter().find(sealed).map(|one| one["recording"].as_str().unwrap().to_owned())
    };
    until(|| session().is_some(), || "no session is sealed".to_owned());
    let id = session().unwrap();
    let replayed = world.iddio(["sessions", "replay", &id, "--speed", "1000", "--idle", "0"]).ok();
    assert!(replayed.stdout.contains("hidden") && replayed.stdout.contains("seen"), "{replayed:?}");
    assert!(
        !replayed.stdout.contains("\x1b]") && !replayed.stdout.contains("\x1b[8m"),
        "{replayed:?}"
    );
    assert!(replayed.stderr.contains("left out"), "{replayed:?}");
    let _ = world.iddio(["sessions", "replay", &id, "--raw"]).exits(64).says("a terminal alone");
    let text = world.iddio(["sessions", "export", &id, "--format", "text"]).ok().stdout;
    for part in ["stdin\ntyped", "stderr\nerr", "\\x1b]52;c;eA==", "exit\n3"] {
        assert!(text.contains(part), "no {part:?} in {text}");
    }
    let cast = world.iddio(["sessions", "export", &id]).ok().stdout;
    let lines: Vec<Value> = cast.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((&lines[0]["version"], &lines[0]["width"]), (&json!(2), &json!(80)));
    assert!(lines.iter().any(|line| line[1] == "i" && line[2] == "typed\n"), "{cast}");
    assert_eq!(checked(world, 0)["changed"], json!([]));
    let _ = scene.end();
}

#[test]
fn a_command_that_policy_wants_recorded_is_refused_where_nothing_records_it() {
    let policy = "\
agents:
  local:root:
    rules:
      - {protocol: command, tiers: {0: allow, 2: allow, 3: allow, 4: deny}, record: full}
";
    let world = World::with_policy(policy);
    let said = world.iddio(["exec", "--", "touch", "ran"]);
    assert!(said.code != 0 && said.stderr.contains("full recording"), "{said:?}");
    assert!(!world.work().join("ran").exists());
    assert_eq!(only(&world.records(), "closed")["outcome"], "not_forwarded");
    world.verify();
}
