//! Faults: the wrapper killed at every step, failing disks, crowds (reliability N1, N2, N4, F1, F3,
//! F15).
//!
//! Faults are injected into the real binary by the kernel's own tracing (`strace`), at the n-th
//! system call, for n = 1, 2, 3 … until the run gets through untouched.

use std::{
    fs,
    path::Path,
    process::{Command, Output},
    thread,
};

use iddio_tests::{Said, World, binary, real};

use crate::kit::{OPEN, of};

const STRACE: &str = "apt-get install strace";

/// The calls that change something outside the process, or let something out of it. Strace counts
/// each of them apart.
const CALLS: [&str; 14] = [
    "execve",
    "openat",
    "mkdir",
    "mkdirat",
    "flock",
    "write",
    "pwrite64",
    "fdatasync",
    "fsync",
    "rename",
    "renameat2",
    "clone3",
    "unlinkat",
    "exit_group",
];

/// What a shell and strace report of a process that was killed.
const KILLED: i32 = 137;

/// Runs `iddio exec -- touch ran` under strace with one fault.
fn with_fault(world: &World, calls: &str, fault: &str) -> Output {
    let log = world.work().join("strace");
    let strace = real("strace", STRACE).unwrap();
    let trace = format!("trace={calls}");
    let inject = format!("inject={calls}:{fault}");
    let words = [
        strace.to_str().unwrap().to_owned(),
        "-qq".to_owned(),
        "-o".to_owned(),
        log.display().to_string(),
        "-e".to_owned(),
        trace,
        "-e".to_owned(),
        inject,
        binary().to_str().unwrap().to_owned(),
    ];
    let mut command = world.within(words);
    command.args(["exec", "--", "touch", "ran"]).output().unwrap()
}

/// Whether the fault of the last run met a call at all.
fn fault_met(world: &World) -> bool {
    fs::read_to_string(world.work().join("strace")).unwrap().contains("INJECTED")
}

fn decided_allow(world: &World) -> usize {
    let records = world.records();
    of(&records, "decided").iter().filter(|record| record["decision"] == "allow").count()
}

fn take_mark(world: &World) -> bool {
    fs::remove_file(world.work().join("ran")).is_ok()
}

#[test]
fn killing_the_wrapper_at_every_step_leaves_no_child_without_a_decision_and_no_decision_without_an_end()
 {
    let Some(_) = real("strace", STRACE) else { return };
    let world = World::with_policy(OPEN);
    world.iddio(["exec", "--", "true"]).ok();
    let (mut kills, mut ran) = (0, 0);
    for call in CALLS {
        for step in 1.. {
            let before = decided_allow(&world);
            let said = Said::of(with_fault(&world, call, &format!("signal=KILL:when={step}")));
            let after = decided_allow(&world);
            if take_mark(&world) {
                ran += 1;
                assert!(before < after, "{call} {step}: ran without a durable decision");
            }
            if said.code != KILLED {
                // The last step was the one before: this run got through.
                assert_eq!(said.code, 0, "{call} {step}: {said:#?}");
                break;
            }
            kills += 1;
            // The next run clears up after the dead one, so that each step meets the same work.
            world.iddio(["exec", "--", "true"]).ok();
            assert!(step < 200, "{call}: it never gets through");
        }
    }
    // A kill that never lands proves nothing, nor one that always lands before the child.
    assert!(20 < kills, "{kills} kills");
    assert!(1 < ran, "{ran} runs");
    // The next writer closes what the dead ones left open.
    world.iddio(["exec", "--", "true"]).ok();
    let said = world.iddio(["audit", "verify", "--json"]).ok();
    let report: serde_json::Value = serde_json::from_str(&said.stdout).unwrap();
    assert_eq!(report["findings"], serde_json::json!([]), "{report:#}");
    assert!(0 < report["abandoned"].as_u64().unwrap(), "{report:#}");
    assert!(leftovers(&world).is_empty(), "{:?}", leftovers(&world));
}

/// Private directories of runs that are over.
fn leftovers(world: &World) -> Vec<String> {
    let runs = fs::read_dir(world.home().join("runs")).unwrap();
    runs.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect()
}

#[test]
fn a_failed_write_or_sync_at_any_point_refuses_or_records_and_never_runs_unrecorded() {
    let Some(_) = real("strace", STRACE) else { return };
    for (calls, error) in [
        ("write", "ENOSPC"),
        ("write", "EIO"),
        ("fdatasync,fsync", "EIO"),
        ("rename,renameat,renameat2", "EIO"),
        ("flock", "EINTR"),
    ] {
        let world = World::with_policy(OPEN);
        world.iddio(["exec", "--", "true"]).ok();
        for step in 1.. {
            let before = decided_allow(&world);
            let output = with_fault(&world, calls, &format!("error={error}:when={step}"));
            let said = Said::of(output);
            let ran = take_mark(&world);
            let recorded = before < decided_allow(&world);
            assert!(!ran || recorded, "{calls} {error} {step}: ran unrecorded: {said:#?}");
            if !fault_met(&world) {
                assert_eq!(said.code, 0, "{calls} {error} {step}: {said:#?}");
                assert!(1 < step, "{calls}: the fault never met a call");
                break;
            }
            assert!(step < 500, "{calls} {error} never gets through: {said:#?}");
            if poisoned(&world) {
                // An fsync error is final for this boot: everything is refused from now on.
                world.iddio(["exec", "--", "touch", "ran"]).exits(69);
                assert!(!take_mark(&world), "{calls} {error} {step}: ran after poison");
                break;
            }
        }
        let said = world.iddio(["audit", "verify"]);
        assert_eq!(said.code, 0, "{calls} {error}: {said:#?}");
    }
}

/// Whether the log refuses to go on.
fn poisoned(world: &World) -> bool {
    let said = world.iddio(["exec", "--", "true"]);
    said.code == 69
}

#[test]
fn ten_processes_of_exec_share_one_unbroken_chain() {
    let world = World::with_policy(OPEN);
    thread::scope(|scope| {
        for process in 0..10 {
            let world = &world;
            scope.spawn(move || {
                for round in 0..5 {
                    let name = format!("{process}-{round}");
                    world.iddio(["exec", "--", "touch", &name]).ok();
                }
            });
        }
    });
    let records = world.records();
    assert_eq!(of(&records, "decided").len(), 50);
    assert_eq!(of(&records, "closed").len(), 50);
    for (seq, record) in records.iter().enumerate() {
        assert_eq!(record["seq"], seq);
    }
    world.verify();
}

#[test]
fn a_full_disk_refuses_every_tier_says_so_and_loses_nothing() {
    if !rustix::process::geteuid().is_root() {
        panic!("this test needs root, to mount a small file system");
    }
    let world = World::with_policy(OPEN);
    world.iddio(["exec", "--", "true"]).ok();
    // The home moves to a file system of 1 MB, inside the namespace of one shell.
    let script = r#"
        set -e
        home="$1"; iddio="$2"
        cp -a "$home" "$home.saved"
        mount -t tmpfs -o size=3m,mode=700 tmpfs "$home"
        cp -a "$home.saved/." "$home/"
        "$iddio" exec -- touch before
        dd if=/dev/zero of="$home/filler" bs=4k 2>/dev/null || true
        code=0; n=0
        while [ "$code" -eq 0 ] && [ "$n" -lt 3000 ]; do
            code=0; "$iddio" exec -- touch ran 2>err || code=$?
            if [ "$code" -ne 0 ]; then break; fi
            rm -f ran; n=$((n+1))
        done
        echo "refused with $code"
        cat err
        [ ! -e ran ] || echo "RAN UNRECORDED"
        "$iddio" audit verify
        rm "$home/filler"
        "$iddio" exec -- touch after && echo "resumed"
        "$iddio" audit verify
    "#;
    let home = world.home();
    let words = ["sh", "-c", script, "sh", home.to_str().unwrap(), binary().to_str().unwrap()];
    let said = Said::of(world.within(words).output().unwrap()).ok();
    assert!(said.stdout.contains("refused with 69"), "{said:#?}");
    assert!(!said.stdout.contains("RAN UNRECORDED"), "{said:#?}");
    assert!(said.stdout.contains("resumed"), "{said:#?}");
    assert!(world.work().join("before").exists() && world.work().join("after").exists());
}

#[test]
fn the_python_checker_agrees_about_a_real_log() {
    let python = real("python3", "apt-get install python3").unwrap();
    let world = World::with_policy(OPEN);
    for _ in 0..3 {
        world.iddio(["exec", "--", "true"]).ok();
    }
    let checker = iddio_tests::repository().join("docs/verify.py");
    let check = |log: &Path| {
        Command::new(&python).arg(&checker).arg(log).output().unwrap().status.success()
    };
    assert!(check(&world.home().join("log")));
    let segment = segment(&world);
    let text = fs::read_to_string(&segment).unwrap();
    fs::write(&segment, text.replacen("\"allow\"", "\"deny\" ", 1)).unwrap();
    assert!(!check(&world.home().join("log")));
}

#[test]
fn e23_a_whole_log_replaced_by_another_is_found_with_a_checkpoint_kept_elsewhere() {
    let world = World::with_policy(OPEN);
    let other = World::with_policy(OPEN);
    for world in [&world, &other] {
        for _ in 0..3 {
            world.iddio(["exec", "--", "true"]).ok();
        }
    }
    let kept = world.work().join("checkpoint");
    world.iddio(["audit", "checkpoint", "--output", kept.to_str().unwrap()]).ok();
    let against = ["audit", "verify", "--checkpoint", kept.to_str().unwrap()];
    world.iddio(against).ok();
    fs::copy(segment(&other), segment(&world)).unwrap();
    world.iddio(against).exits(1);
}

#[test]
fn l01_records_cut_from_the_end_are_found_with_a_checkpoint_kept_elsewhere() {
    let world = World::with_policy(OPEN);
    for _ in 0..3 {
        world.iddio(["exec", "--", "true"]).ok();
    }
    let kept = world.work().join("checkpoint");
    world.iddio(["audit", "checkpoint", "--output", kept.to_str().unwrap()]).ok();
    let text = fs::read_to_string(segment(&world)).unwrap();
    let lines: Vec<_> = text.lines().collect();
    fs::write(segment(&world), lines[..lines.len() - 1].join("\n") + "\n").unwrap();
    let against = ["audit", "verify", "--checkpoint", kept.to_str().unwrap()];
    world.iddio(against).exits(1);
}

fn segment(world: &World) -> std::path::PathBuf {
    fs::read_dir(world.home().join("log"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| path.extension().is_some_and(|extension| extension == "jsonl"))
        .unwrap()
}
