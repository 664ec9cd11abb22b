//! Runs without a terminal: what the child gets, what it gives back, and that nothing is left of it.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::{Read, Write};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;
use std::process::{Command, Stdio};

use sha2::{Digest, Sha256};

use crate::kit::{finish, number_in, run, run_path, sh, state, until};
use crate::opening::put;

#[test]
fn exit_codes_are_the_childs_own_or_those_of_env_and_timeout() {
    let cases = [
        ("exit 0", 0),
        ("exit 1", 1),
        ("exit 42", 42),
        ("exit 255", 255),
        ("kill -9 $$", 137),
        ("kill -TERM $$", 143),
        ("kill -SEGV $$", 139),
    ];
    for (script, code) in cases {
        assert_eq!(sh(&[], script).0, code, "{script}");
    }
    let home = tempfile::tempdir().unwrap();
    let orphaned = put(&home.path().join("orphaned"), "#!/nowhere/interpreter\n", 0o755);
    let garbage = put(&home.path().join("garbage"), "neither program nor script", 0o755);
    for (program, code) in [
        (OsStr::new("no-such-program-anywhere"), 127),
        (OsStr::new("./relative"), 127),
        (OsStr::new("/etc/passwd"), 126),
        (OsStr::new("/etc"), 126),
        (orphaned.as_os_str(), 127),
        (garbage.as_os_str(), 126),
    ] {
        assert_eq!(finish(run().arg("--").arg(program)).0, code, "{}", program.display());
    }
}

#[test]
fn a_child_that_will_not_end_is_killed_when_its_time_is_up() {
    let limits = ["--limit-ms", "100", "--grace-ms", "100"];
    let home = tempfile::tempdir().unwrap();
    let report = home.path().join("report");
    let options = [&limits[..], &["--report", report.to_str().unwrap()]].concat();
    for script in [
        "sleep 1000",
        "trap '' TERM; while :; do sleep 0.1; done",
        "trap 'exit 0' TERM; while :; do sleep 0.1; done",
        "kill -STOP $$",
    ] {
        assert_eq!(sh(&options, script).0, 124, "{script}");
        assert!(fs::read_to_string(&report).unwrap().starts_with("TimedOut"), "{script}");
    }
    assert_eq!(sh(&["--limit-ms", "3600000"], "exit 3").0, 3);
}

#[test]
fn a_cancelled_run_ends() {
    assert_eq!(sh(&["--then", "cancel"], "sleep 1000").0, 143);
    assert_eq!(
        sh(&["--then", "cancel", "--grace-ms", "50"], "trap '' TERM; while :; do sleep 0.1; done")
            .0,
        143
    );
}

#[test]
fn a_dropped_run_takes_its_descendants_with_it() {
    let home = tempfile::tempdir().unwrap();
    let pid = home.path().join("pid");
    let options = ["--then", "drop", "--pid-file", pid.to_str().unwrap()];
    assert_eq!(sh(&options, "trap '' TERM; setsid sleep 1000 & sleep 1000").0, 0);
    assert_eq!(state(number_in(&pid)), None);
}

#[test]
fn one_supervisor_serves_many_runs() {
    assert_eq!(sh(&["--times", "20"], "echo x"), (0, "x\n".repeat(20)));
}

#[test]
fn what_outlives_the_main_child_is_ended_and_counted() {
    let home = tempfile::tempdir().unwrap();
    let (report, pid) = (home.path().join("report"), home.path().join("pid"));
    let cases = [
        ("true", 0),
        ("setsid sh -c 'echo $$ >@; exec sleep 1000' & while ! test -s @; do :; done", 1),
        (
            "setsid sh -c '(sh -c \"echo \\$\\$ >@; exec sleep 1000\" &)' ; while ! test -s @; do :; done",
            1,
        ),
        (
            "setsid sh -c 'trap \"\" TERM; echo $$ >@; while :; do sleep 1; done' & while ! test -s @; do :; done",
            2,
        ),
        ("setsid sh -c 'echo $$ >@; kill -STOP $$' & while ! test -s @; do :; done", 1),
    ];
    for (script, least) in cases {
        let options = [
            "--report",
            report.to_str().unwrap(),
            "--straggler-ms",
            "200",
            "--chdir",
            home.path().to_str().unwrap(),
        ];
        assert_eq!(sh(&options, &script.replace('@', "pid")).0, 0, "{script}");
        let told = fs::read_to_string(&report).unwrap();
        let counts: Vec<usize> =
            told.split(' ').skip(1).map(|count| count.parse().unwrap()).collect();
        assert!(
            counts[0] >= least && counts[1] == 0 && (counts[0] > 0) == (least > 0),
            "{script}: {told}"
        );
        if least > 0 {
            assert_eq!(state(number_in(&pid)), None, "{script}");
            fs::remove_file(&pid).unwrap();
        }
    }
}

#[test]
fn children_from_before_the_run_are_left_alone() {
    let home = tempfile::tempdir().unwrap();
    let pid = home.path().join("pid");
    let script = "sh -c 'echo $$ >pid; exec sleep 1000' & while ! test -s pid; do :; done; exec \"$0\" -- true";
    let mut wrapper =
        Command::new("sh").args(["-c", script]).arg(run_path()).current_dir(&home).spawn().unwrap();
    assert!(wrapper.wait().unwrap().success());
    let stranger = number_in(&pid);
    assert!(state(stranger).is_some_and(|state| state != 'Z'));
    crate::kit::send(stranger, rustix::process::Signal::KILL);
}

#[test]
fn the_environment_is_exactly_what_was_given() {
    let mut command = run();
    command.env("SECRET", "x").env("PATH", "/nowhere").env("LD_PRELOAD", "");
    assert_eq!(finish(command.args(["--", "env"])), (0, String::new()));
    command.env("SECRET", "x");
    let mut command = run();
    command
        .env("SECRET", "x")
        .args(["--env", "B=2=2", "--env", "A=", "--env", "HOME=/", "--", "env"]);
    assert_eq!(finish(&mut command), (0, "A=\nB=2=2\nHOME=/\n".to_owned()));
}

#[test]
fn arguments_arrive_byte_for_byte() {
    let arguments: Vec<OsString> =
        [b"".as_slice(), b" ", b"-n", b"\xff\xfe", b"a\nb", b"$(id)", b"\"", b"*"]
            .into_iter()
            .map(|bytes| OsString::from_vec(bytes.to_vec()))
            .collect();
    let output = run().args(["--", "printf", "[%s]"]).args(&arguments).output().unwrap();
    let expected: Vec<u8> =
        arguments.iter().flat_map(|argument| [b"[", argument.as_bytes(), b"]"].concat()).collect();
    assert_eq!(output.stdout, expected);
    // The program finds the name it was called by.
    let home = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink("/bin/sh", home.path().join("called")).unwrap();
    let called = home.path().join("called");
    let (_, printed) = finish(
        run().arg("--").arg(&called).args(["-c", "tr '\\0' '\\n' </proc/$$/cmdline | head -1"]),
    );
    assert_eq!(printed, format!("{}\n", called.display()));
}

#[test]
fn the_child_starts_in_the_opened_directory() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path().canonicalize().unwrap();
    let options = ["--chdir", home.to_str().unwrap()];
    assert_eq!(sh(&options, "pwd -P"), (0, format!("{}\n", home.display())));
}

#[test]
fn no_descriptor_reaches_the_child_unless_it_was_given() {
    // The wrapper itself is started with some that do not close by themselves.
    let script = "exec 3</etc/passwd 7</etc/passwd 42</etc/passwd; exec \"$0\" \"$@\"";
    let listed = |options: &[&str], program: &[&str]| {
        let mut command = Command::new("bash");
        command.args(["-c", script]).arg(run_path()).args(options).arg("--").args(program);
        finish(command.stdin(Stdio::null())).1
    };
    let listing = listed(&[], &["ls", "-l", "/proc/self/fd"]);
    let own = |line: &&str| line.contains(" -> ") && !line.contains("/proc/");
    assert_eq!(listing.lines().filter(own).count(), 3, "{listing}");

    let listing = listed(&["--give", "approved"], &["ls", "-l", "/proc/self/fd"]);
    assert_eq!(listing.lines().filter(own).count(), 4, "{listing}");
    assert_eq!(listing.lines().filter(|line| line.contains("iddio-input")).count(), 1, "{listing}");

    let home = tempfile::tempdir().unwrap();
    let tool = put(&home.path().join("tool"), "#!/bin/sh\nexec ls -l /proc/self/fd\n", 0o755);
    let listing = listed(&[], &[tool.to_str().unwrap()]);
    let beyond =
        listing.lines().filter(own).filter(|line| line.ends_with(&*tool.to_string_lossy())).count();
    // A script needs its own descriptor, and its interpreter may pass it on.
    assert!(beyond <= 2 && listing.lines().filter(own).count() <= 3 + beyond, "{listing}");
    assert!(!listing.contains("/etc/passwd"), "{listing}");
}

#[test]
fn core_dumps_and_new_privileges_are_off_and_the_umask_is_kept() {
    let (code, printed) = sh(&[], "ulimit -c; ulimit -Hc; grep NoNewPrivs /proc/$$/status");
    assert_eq!((code, printed.as_str()), (0, "0\n0\nNoNewPrivs:\t1\n"));
    let mut command = Command::new("sh");
    command.args(["-c", "umask 027; exec \"$0\" -- sh -c umask"]).arg(run_path());
    assert_eq!(finish(&mut command), (0, "0027\n".to_owned()));
}

#[test]
fn a_program_swapped_after_opening_does_not_run() {
    for (kind, opened, other) in [
        ("script", "#!/bin/sh\necho opened\n", "#!/bin/sh\necho swapped\n"),
        ("script with argument", "#!/bin/sh -e\necho opened\n", "#!/bin/sh -e\necho swapped\n"),
    ] {
        let home = tempfile::tempdir().unwrap();
        let tool = put(&home.path().join("tool"), opened, 0o755);
        let swapped = put(&home.path().join("swapped"), other, 0o755);
        let meanwhile = format!("mv '{}' '{}'", swapped.display(), tool.display());
        let ran = finish(run().args(["--meanwhile", &meanwhile, "--"]).arg(&tool));
        assert_eq!(ran, (0, "opened\n".to_owned()), "{kind}");
        assert_eq!(finish(run().arg("--").arg(&tool)), (0, "swapped\n".to_owned()), "{kind}");
    }
    let home = tempfile::tempdir().unwrap();
    let tool = home.path().join("tool");
    fs::copy("/bin/echo", &tool).unwrap();
    let meanwhile = format!("rm '{0}'; cp /bin/false '{0}'", tool.display());
    let ran = finish(run().args(["--meanwhile", &meanwhile, "--"]).arg(&tool).arg("opened"));
    assert_eq!(ran, (0, "opened\n".to_owned()));
}

#[test]
fn a_program_written_to_after_opening_does_not_run() {
    let home = tempfile::tempdir().unwrap();
    let tool = put(&home.path().join("tool"), "#!/bin/sh\necho opened\n", 0o755);
    let meanwhile = format!("echo 'echo more' >>'{}'", tool.display());
    assert_eq!(
        finish(run().args(["--meanwhile", &meanwhile, "--"]).arg(&tool)),
        (126, String::new())
    );
}

#[test]
fn scripts_get_their_arguments_and_their_interpreter_its_own() {
    let home = tempfile::tempdir().unwrap();
    let tool = put(
        &home.path().join("tool"),
        "#!/bin/sh -u\necho \"$#:$1:$2\"; echo \"$-\"; echo $unset\n",
        0o755,
    );
    let (code, printed) = finish(run().arg("--").arg(&tool).args(["a b", "c"]));
    assert!(
        code != 0 && printed.starts_with("2:a b:c\n") && printed.contains('u'),
        "{code} {printed}"
    );
}

#[test]
fn a_given_input_is_read_by_its_path_and_cannot_be_written() {
    let (code, printed) =
        finish(run().args(["--give", "approved", "--", "cat", "@INPUT", "@INPUT"]));
    assert_eq!((code, printed.as_str()), (0, "approvedapproved"));
    let script = "echo x >\"$1\" || cat \"$1\"";
    let (code, printed) =
        finish(run().args(["--give", "approved", "--", "sh", "-c", script, "sh", "@INPUT"]));
    assert_eq!((code, printed.as_str()), (0, "approved"));
}

#[test]
fn spooled_standard_input_is_what_the_child_reads() {
    let mut child = run()
        .args(["--spool", "yes", "--", "cat", "@INPUT"])
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let content = b"kind: Pod\n".repeat(100_000);
    child.stdin.take().unwrap().write_all(&content).unwrap();
    assert_eq!(child.wait_with_output().unwrap().stdout, content);
}

#[test]
fn streams_are_byte_exact() {
    let mut child = run().args(["--", "cat"]).stdin(Stdio::piped()).spawn().unwrap();
    let (mut stdin, mut stdout) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    let writer = std::thread::spawn(move || {
        let (mut hash, mut word, mut block) =
            (Sha256::new(), 88_172_645_463_325_252_u64, Vec::new());
        for _ in 0..1024 {
            block.clear();
            while block.len() < 64 * 1024 {
                word ^= word << 13;
                word ^= word >> 7;
                word ^= word << 17;
                block.extend_from_slice(&word.to_le_bytes());
            }
            hash.update(&block);
            stdin.write_all(&block).unwrap();
        }
        hash.finalize()
    });
    let (mut hash, mut bytes, mut block) = (Sha256::new(), 0, vec![0; 64 * 1024]);
    loop {
        match stdout.read(&mut block).unwrap() {
            0 => break,
            count => {
                hash.update(&block[..count]);
                bytes += count;
            }
        }
    }
    assert_eq!((writer.join().unwrap(), 64 * 1024 * 1024), (hash.finalize(), bytes));
    assert!(child.wait().unwrap().success());
}

#[test]
fn standard_streams_are_the_callers_own() {
    let home = tempfile::tempdir().unwrap();
    let file = fs::File::create(home.path().join("out")).unwrap();
    let status = run()
        .args(["--", "sh", "-c", "at=$(readlink /proc/$$/fd/1); echo $at >&2; echo text"])
        .stdout(file)
        .output()
        .unwrap();
    assert_eq!(
        String::from_utf8(status.stderr).unwrap().trim(),
        home.path().join("out").to_str().unwrap()
    );
    assert_eq!(fs::read_to_string(home.path().join("out")).unwrap(), "text\n");
}

#[test]
fn kept_output_has_a_limit() {
    assert_eq!(sh(&["--keep", "6"], "echo 12345"), (0, "12345\n".to_owned()));
    assert_eq!(sh(&["--keep", "5"], "echo 12345"), (69, "12345".to_owned()));
    assert_eq!(sh(&["--keep", "0"], "true"), (0, String::new()));
    // One that never stops writing is ended.
    assert_eq!(sh(&["--keep", "5", "--grace-ms", "50"], "trap '' TERM PIPE; yes").0, 69);
    let (code, printed) = sh(&["--keep", "3000000"], "head -c 3000000 /dev/zero");
    assert_eq!((code, printed.len()), (0, 3_000_000));
    // What a descendant writes on its way out is kept too.
    let script = "(trap 'echo late; exit' TERM; echo early; while :; do sleep 0.05; done) & read x <F; exit 3";
    let home = tempfile::tempdir().unwrap();
    fs::write(home.path().join("F"), "x\n").unwrap();
    let (code, printed) = sh(&["--keep", "100", "--chdir", home.path().to_str().unwrap()], script);
    assert!(
        code == 3 && (printed == "early\nlate\n" || printed == "early\n" || printed.is_empty()),
        "{printed}"
    );
}

#[test]
fn what_was_ignored_stays_ignored() {
    let mut command = Command::new("sh");
    let script = "trap '' HUP; exec \"$0\" -- sh -c 'kill -HUP $$; kill -USR1 $$; echo alive'";
    command.args(["-c", script]).arg(run_path());
    assert_eq!(finish(&mut command), (138, String::new()));
    let mut command = Command::new("sh");
    let script = "trap '' HUP USR1; exec \"$0\" -- sh -c 'kill -HUP $$; kill -USR1 $$; echo alive'";
    command.args(["-c", script]).arg(run_path());
    assert_eq!(finish(&mut command), (0, "alive\n".to_owned()));
}

#[test]
fn an_interrupt_before_the_start_means_that_nothing_starts() {
    let home = tempfile::tempdir().unwrap();
    let made = home.path().join("made");
    let mut command = run();
    command.args(["--meanwhile", "kill -INT $PPID", "--", "touch"]).arg(&made);
    assert_eq!(finish(&mut command).0, 130);
    assert!(!made.exists());
}

#[test]
fn a_run_is_followed_while_descendants_come_and_go() {
    let home = tempfile::tempdir().unwrap();
    let report = home.path().join("report");
    let script = "for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16; do (true &) ; done; exit 5";
    assert_eq!(sh(&["--report", report.to_str().unwrap()], script).0, 5);
    until("the report", || Path::new(&report).exists());
    assert!(fs::read_to_string(&report).unwrap().ends_with(" 0"));
}
