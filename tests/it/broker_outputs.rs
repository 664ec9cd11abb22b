//! What comes back from a copy, what stays behind, what does not travel at all, and what belongs to a task.

use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt, symlink},
    process::Stdio,
};

use iddio_tests::{
    Said,
    broker::{ADA, EVE, Host},
    keepers::until,
    person::Person,
};

use rustix::process::Signal;

use crate::broker::{OPEN, sleepers};

/// Whether a file of ada's is there.
fn there(host: &Host, name: &str) -> bool {
    host.work_of("ada").join(name).exists()
}

/// Runs `iddio exec OPTIONS -- sh -c SCRIPT` as ada.
fn shell(host: &Host, options: &[&str], script: &str) -> Said {
    let iddio = host.path("bin/iddio");
    let words = [iddio.to_str().unwrap(), "exec"].into_iter().chain(options.iter().copied());
    let words = words.chain(["--", "sh", "-c", script]);
    Said::of(host.as_user(ADA, words).stdin(Stdio::null()).output().unwrap())
}

/// Names that only the run knows are declared by nobody.
const LITTER: &str = "echo made > made; echo evil > hook$(cat one); \
    for n in a b c d e f; do echo $n > $n$(cat two); done; rm old";

#[test]
fn b91_only_what_is_declared_comes_back_and_the_rest_is_named() {
    let host = Host::started(OPEN, "");
    for (name, content) in [("old", "old"), ("one", "1"), ("two", "2")] {
        host.file(ADA, name, content);
    }
    let said = shell(&host, &[], LITTER).ok();
    assert_eq!(fs::read(host.work_of("ada").join("made")).unwrap(), b"made\n");
    assert!(!there(&host, "hook1") && !there(&host, "a2"), "{said:#?}");
    let line = "not brought back, since nothing declares it (iddio exec --out): \
        a2, b2, c2, d2, e2 and 2 more; for that, 1 removed files stay";
    assert_eq!(said.stderr.trim_end(), format!("iddio: {line}"), "one line");
    assert!(there(&host, "old"), "where something stays behind nothing is removed");
    assert_eq!(host.records().pop().unwrap()["note"], line, "and the record says so");
    // What the caller declares comes back too: by its name, or by a pattern.
    let said = shell(&host, &["--out", "?2", "--out", "*2", "--out", "hook1"], LITTER).ok();
    assert_eq!(said.stderr, "");
    assert!(there(&host, "f2") && there(&host, "hook1") && !there(&host, "old"));
    assert_eq!(fs::metadata(host.work_of("ada").join("f2")).unwrap().uid(), ADA.uid);
    for out in ["../x", ""] {
        shell(&host, &["--out", out], "true").exits(64);
    }
}

#[test]
fn what_the_words_declare_is_what_comes_back() {
    let host = Host::started(OPEN, "");
    for name in ["a", "b", "moved", "dir/x", "dir/y"] {
        host.file(ADA, name, name);
    }
    host.run(ADA, ["touch", "touched"]).ok();
    host.run(ADA, ["cp", "a", "copied"]).ok();
    host.run(ADA, ["cp", "a", "b", "dir"]).ok();
    host.run(ADA, ["mv", "moved", "here"]).ok();
    host.run(ADA, ["sed", "-i", "s/a/z/", "a"]).ok();
    host.run(ADA, ["chmod", "+x", "b"]).ok();
    let said = host.run(ADA, ["rm", "-r", "dir/x", "dir/y"]).ok();
    assert_eq!(said.stderr, "");
    for (name, content) in [
        ("touched", ""),
        ("copied", "a"),
        ("dir/a", "a"),
        ("dir/b", "b"),
        ("here", "moved"),
        ("a", "z"),
    ] {
        let path = host.work_of("ada").join(name);
        assert_eq!(fs::read_to_string(path).ok().as_deref(), Some(content), "{name}");
    }
    assert!(!there(&host, "moved") && !there(&host, "dir/x") && !there(&host, "dir/y"));
    let mode = fs::metadata(host.work_of("ada").join("b")).unwrap().permissions().mode();
    assert_eq!(mode & 0o111, 0o111);
    host.root(["audit", "verify"]).ok();
}

#[test]
fn b92_a_secret_in_the_name_of_a_file_does_not_leave() {
    let mut host = Host::new(OPEN, "");
    let path = host.path("root/secret");
    fs::write(&path, "canary-in-a-name-88c1").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    host.configure(&format!(
        "[[credentials]]\nfor = [\"command\"]\nvariable = {{ name = \"SECRET\", value = {{ file = {path:?} }} }}"
    ));
    host.start();
    for options in [&[][..], &["--out", "."][..]] {
        let said = shell(&host, options, "echo x > $SECRET; mkdir d; echo $SECRET > d/own").ok();
        let names: Vec<_> = fs::read_dir(host.work_of("ada")).unwrap().collect();
        let names = format!("{names:?} {said:?} {:?}", host.records());
        assert!(!names.contains("canary") && said.stderr.contains("***"), "{names}");
    }
    assert_eq!(fs::read(host.work_of("ada").join("d/own")).unwrap(), b"***\n");
}

#[test]
fn a_tree_that_is_too_large_is_refused_before_anything_is_asked_and_says_what_to_leave_out() {
    let host = Host::started(OPEN, "");
    let large = host.file(ADA, "data/raw/large", "");
    fs::File::options().write(true).open(&large).unwrap().set_len(300 << 20).unwrap();
    let said = host.run(ADA, ["true"]).exits(64);
    assert!(said.stderr.contains("`data/raw` has 1 files, 300 MiB"), "{said:#?}");
    assert!(said.stderr.contains(".iddioignore"), "{said:#?}");
    assert_eq!(host.records().iter().filter(|r| r["event"] == "decided").count(), 0);
    host.file(ADA, ".iddioignore", "!data\n");
    host.run(ADA, ["true"]).exits(64).says("line 1");
    host.file(ADA, ".iddioignore", "# large\nraw/\n");
    assert_eq!(host.run(ADA, ["ls", "data"]).ok().stdout, "");
    // Or from elsewhere.
    fs::remove_file(host.work_of("ada").join(".iddioignore")).unwrap();
    host.file(ADA, "small/own", "own");
    assert_eq!(shell(&host, &["--workdir", "small"], "cat own").ok().stdout, "own");
    shell(&host, &["--workdir", "none"], "true").exits(64);
}

#[test]
fn where_there_is_no_room_nothing_runs_and_no_half_of_a_file_is_left() {
    let host = Host::started(OPEN, "");
    // A caller whose own directory has little room.
    let work = host.work_of("ada");
    let options = format!("size=64k,uid={0},gid={0},mode=0700", ADA.uid);
    let iddio = host.path("bin/iddio");
    let script = format!(
        "mount -t tmpfs -o {options} tmpfs {work} && cd {work} && \
        setpriv --reuid {uid} --regid {uid} --clear-groups sh -c \
        '{iddio} exec --out . -- sh -c \"echo small > a; head -c 200000 /dev/zero > b\"; echo code $?; ls -A; cat a'",
        work = work.display(),
        uid = ADA.uid,
        iddio = iddio.display(),
    );
    let said =
        Said::of(host.enter(["sh", "-c", &script]).stdin(Stdio::null()).output().unwrap()).ok();
    assert_eq!(said.stdout, "code 0\na\nsmall\n", "{said:#?}");
    assert!(said.stderr.contains("not everything could be written: No space left"), "{said:#?}");
    // One that may write no larger file.
    host.file(ADA, "b", "kept");
    let limited = format!(
        "ulimit -f 100; {} exec --out . -- sh -c 'head -c 200000 /dev/zero > b'",
        iddio.display()
    );
    let said = Said::of(
        host.as_user(ADA, ["bash", "-c", &limited]).stdin(Stdio::null()).output().unwrap(),
    )
    .ok();
    assert!(said.stderr.contains("not everything could be written: File too large"), "{said:#?}");
    assert_eq!(fs::read(work.join("b")).unwrap(), b"kept");
    assert_eq!(fs::read_dir(&work).unwrap().count(), 1, "and nothing beside it");
    // A broker whose disk is full.
    let mut host = Host::new(OPEN, "");
    let tiny = host.path("tiny");
    fs::create_dir(&tiny).unwrap();
    let made = std::process::Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=128k,mode=0755", "tmpfs"])
        .arg(&tiny)
        .status();
    assert!(made.unwrap().success());
    let text = fs::read_to_string(host.path("etc/iddio/exec.toml")).unwrap();
    let runs = host.path("runs");
    let there = text.replace(runs.to_str().unwrap(), tiny.join("runs").to_str().unwrap());
    fs::write(host.path("etc/iddio/exec.toml"), there).unwrap();
    host.start();
    host.file(ADA, "much", vec![7; 300_000]);
    let said = host.run(ADA, ["true"]);
    fs::remove_file(host.work_of("ada").join("much")).unwrap();
    let after = host.run(ADA, ["true"]);
    let left = fs::read_dir(tiny.join("runs")).unwrap().count();
    host.kill();
    std::process::Command::new("umount").arg(&tiny).status().unwrap();
    said.exits(69).says("No space left");
    after.ok();
    assert_eq!(left, 1, "only the lock");
}

#[test]
fn what_comes_back_goes_through_no_link_that_took_a_places_name_meanwhile() {
    let host = Host::started(OPEN, "");
    host.file(ADA, "d/own", "own");
    host.file(ADA, "elsewhere/own", "elsewhere");
    let script = "trap 'echo evil > d/own; exit 0' TERM; echo up >&2; sleep 600 & wait";
    let mut running = host.begin(ADA, ["sh", "-c", script]);
    running.until("up");
    let work = host.work_of("ada");
    fs::rename(work.join("d"), work.join("was")).unwrap();
    symlink(work.join("elsewhere"), work.join("d")).unwrap();
    running.signal(Signal::TERM);
    running.end().ok();
    assert_eq!(fs::read(work.join("elsewhere/own")).unwrap(), b"elsewhere");
    assert_eq!(fs::read(work.join("was/own")).unwrap(), b"own");
}

#[test]
fn a_freeze_of_a_task_ends_what_runs_for_it_and_nothing_else() {
    let host = Host::started(OPEN, "");
    let iddio = host.path("bin/iddio");
    let begin = |options: &[&str], seconds: &str| {
        let script = format!("trap '' TERM; echo up >&2; while :; do sleep {seconds}; done");
        let words = [iddio.to_str().unwrap(), "exec"].into_iter().chain(options.iter().copied());
        let words = words.chain(["--", "sh", "-c", &script]).map(str::to_owned).collect::<Vec<_>>();
        let mut running = iddio_tests::Started::of(host.as_user(ADA, words).stdin(Stdio::null()));
        running.until("up");
        running
    };
    let mut working = begin(&["--task", "OPS-7"], "543217");
    let other = begin(&["--task", "OPS-8"], "543218");
    host.root(["freeze", "--task", "OPS-7", "--reason", "wrong"]).ok();
    working.until("the command was ended");
    working.end().exits(77);
    assert_eq!((sleepers("543217"), sleepers("543218")), (0, 1));
    let closed = host.records().pop().unwrap();
    assert_eq!((&closed["task_id"], &closed["outcome"]), (&"OPS-7".into(), &"frozen".into()));
    shell(&host, &["--task", "OPS-7"], "true").exits(77).says("frozen");
    shell(&host, &["--task", "OPS-8"], "true").ok();
    shell(&host, &[], "true").ok();
    other.signal(Signal::KILL);
    other.end();
    until(|| sleepers("543218") == 0, || "it lives on".to_owned());
    for name in ["", "a b", &"x".repeat(129), "ü", "a\nb"] {
        shell(&host, &["--task", name], "true").exits(64);
        host.root(["freeze", "--task", name]).exits(64);
    }
    host.root(["audit", "verify"]).ok();
}

#[test]
fn b93_a_task_that_was_said_outside_is_the_task_of_everything_within() {
    let person = Person::new();
    person.iddio(["init"]).ok();
    let script =
        "iddio exec -- true; iddio exec --task OTHER -- true; echo done >&2; exec sleep 600";
    let mut run = person.start_boxed(&["--task", "OPS-7"], script);
    run.until("belongs to the task OPS-7, and not to OTHER");
    run.until("done");
    let records = || -> Vec<serde_json::Value> {
        let said = person.iddio(["audit", "query", "--json"]).ok();
        said.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    let decided: Vec<_> = records().into_iter().filter(|r| r["event"] == "decided").collect();
    let tasks: Vec<_> = decided.iter().map(|record| record["task_id"].to_string()).collect();
    assert_eq!(tasks, ["\"OPS-7\"", "\"OPS-7\"", "\"OPS-7\""], "{decided:#?}");
    person.iddio(["freeze", "--task", "OTHER"]).ok();
    person.iddio(["freeze", "--task", "OPS-7"]).ok();
    run.until("the agent was ended");
    run.end().exits(77);
    person.boxed_with(&["--task", "OPS-7"], "true").exits(77);
    // Without one outside, the caller's own word is recorded.
    person.boxed("iddio exec --task MINE -- true").ok();
    let last = records().into_iter().rfind(|r| r["event"] == "decided").unwrap();
    assert_eq!(last["task_id"], "MINE");
    person.boxed("iddio exec --task OTHER -- true").exits(77);
}

#[test]
fn b90_a_process_number_that_became_somebody_elses_speaks_for_nobody() {
    let host = Host::started(OPEN, "");
    for owner in [ADA.uid, 0] {
        let broker = rustix::process::Pid::from_raw(i32::try_from(host.pid()).unwrap()).unwrap();
        let stop = |signal| rustix::process::kill_process(broker, signal).unwrap();
        stop(Signal::STOP);
        // Eve connects, leaves the connection to a child, and ends.
        let script = crate::escapes_broker::CLIENT.to_owned()
            + "s = connect()\nprint(os.getpid(), flush=True)\nif os.fork(): os._exit(0)\n\
               sys.stdin.readline()\ntry: send(s, start([b'id']), [null(), 1, 2, archive()]); answer(s)\n\
               except OSError: print('closed')\n";
        let socket = host.socket();
        let mut eve = host.as_user(EVE, ["python3", "-c", &script, socket.to_str().unwrap()]);
        let mut eve = eve.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut out = std::io::BufReader::new(eve.stdout.take().unwrap());
        let mut line = String::new();
        std::io::BufRead::read_line(&mut out, &mut line).unwrap();
        let pid: u32 = line.trim().parse().unwrap();
        let mut stdin = eve.stdin.take().unwrap();
        eve.wait().unwrap();
        // Somebody else gets its number.
        let mut heir = None;
        for _ in 0..2_000 {
            fs::write("/proc/sys/kernel/ns_last_pid", (pid - 1).to_string()).unwrap();
            let mut sleep = std::process::Command::new("sleep");
            std::os::unix::process::CommandExt::uid(&mut sleep, owner);
            let mut sleep = sleep.arg("600").spawn().unwrap();
            if sleep.id() == pid {
                heir = Some(sleep);
                break;
            }
            sleep.kill().unwrap();
            sleep.wait().unwrap();
        }
        let mut heir = heir.expect("the number comes around");
        stop(Signal::CONT);
        std::io::Write::write_all(&mut stdin, b"go\n").unwrap();
        let mut said = String::new();
        std::io::Read::read_to_string(&mut out, &mut said).unwrap();
        heir.kill().unwrap();
        heir.wait().unwrap();
        assert!(!said.contains("uid="), "{said}");
    }
    let decided = host.records().into_iter().filter(|record| record["event"] == "decided").count();
    assert_eq!(decided, 0, "nobody asked for anything");
    host.run(ADA, ["true"]).ok();
}
