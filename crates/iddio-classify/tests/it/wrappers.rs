//! Programs that run programs (invariant I2).

use iddio_classify::command::{Ambient, Inner, judge};
use iddio_core::{
    operation::Protocol,
    text::RawText,
    tier::{Class, Tier},
};

use crate::kit::{judged, line, raw, tier};

#[test]
fn what_is_wrapped_is_decided_under_its_own_protocol() {
    let judged = line("sudo -u ci env FOO=1 timeout 5 terraform destroy -auto-approve");
    assert_eq!(judged.operation.protocol, Protocol::Command);
    assert_eq!(judged.operation.native_tier(), Tier::Modify);
    let protocols: Vec<_> = judged.within.iter().map(|one| one.protocol).collect();
    assert_eq!(protocols, [Protocol::Command, Protocol::Command, Protocol::Terraform]);
    assert_eq!(judged.tier(), Tier::BreakGlass);
    assert_eq!(judged.operations().worst().native_class(), Class::Destroy);
}

#[test]
fn wrappers_never_hide_and_only_sudo_raises() {
    let wrappers = [
        "nohup",
        "nice -n 19",
        "ionice -c3",
        "timeout -k 1 5",
        "timeout --kill-after=1 5s",
        "stdbuf -o0",
        "setsid -f",
        "env",
        "env -i A=1 B=2",
        "env -- A=1",
        "time -p",
        "chrt -f 10",
        "taskset -c 0,1",
        "setarch x86_64 -R",
        "choom -n 500 --",
        "cpulimit -l 50 -i",
        "systemd-inhibit --what=sleep",
        "dbus-run-session --",
        "faketime yesterday",
        "flock -n /tmp/lock",
        "busybox",
        "nohup nice -n 19 ionice -c3 timeout 5 stdbuf -o0 setsid",
        "/usr/bin/env",
        "xargs -0 -n 1",
    ];
    for wrapper in wrappers {
        let alone = wrapper.starts_with('/');
        let read = tier(&format!("{wrapper} kubectl get pods"));
        let floor = if alone { 3 } else { 0 };
        let floor = if wrapper.starts_with("xargs") { 3 } else { floor };
        assert_eq!(read, floor, "{wrapper}");
        assert_eq!(tier(&format!("{wrapper} terraform destroy")), 4, "{wrapper}");
        assert_eq!(tier(&format!("{wrapper} frobnicate --x")), 3, "{wrapper}");
        assert_eq!(tier(&format!("sudo {} kubectl delete ns x", wrapper)), 4, "{wrapper}");
    }
    assert_eq!(tier("sudo kubectl get pods"), 2);
    assert_eq!(tier("sudo -n -u ada kubectl get pods"), 2);
    assert_eq!(tier("sudo sudo -u ada kubectl get pods"), 2);
}

#[test]
fn what_runs_the_programs_of_a_project_costs_what_it_runs() {
    let runners = [
        "bundle exec",
        "cargo watch --",
        "composer exec",
        "conda run -n env",
        "conda run -p ./env",
        "consul lock prefix",
        "gem exec",
        "gosu postgres",
        "heroku local:run",
        "npm exec --",
        "npx",
        "npx -y",
        "op run --env-file .env --",
        "perf record -g --",
        "perf stat -r 3",
        "pipx run",
        "pnpm exec",
        "poetry run",
        "rustup run stable",
        "start-stop-daemon --start --exec",
        "tsp",
        "uv run",
        "uv tool run",
        "watchexec -r --",
        "yarn exec",
    ];
    for runner in runners {
        for program in ["terraform destroy", "bash", "env -i rm -rf /", "sudo kubectl delete ns x"]
        {
            let text = format!("{runner} {program}");
            assert_eq!(tier(&text), 4, "{text}");
            let text = format!("nohup {runner} {program}");
            assert_eq!(tier(&text), 4, "{text}");
        }
        let text = format!("{runner} frobnicate");
        assert!((2..=3).contains(&tier(&text)), "{text}");
    }
}

#[test]
fn a_shell_with_no_program_is_a_session() {
    let lines = [
        "bash",
        "sh -i",
        "sudo -i",
        "sudo -s",
        "sudo su",
        "sudo su -",
        "su -",
        "su postgres",
        "sudo bash",
        "env bash",
        "python3",
        "nice -n 5 python3",
        "chroot /mnt",
        "fish",
        "script",
        "flock /tmp/l bash",
        "/bin/sh",
        "busybox sh",
    ];
    for text in lines {
        let judged = line(text);
        assert_eq!(judged.tier(), Tier::BreakGlass, "{text}");
        assert_eq!(judged.operations().worst().native_class(), Class::Session, "{text}");
    }
}

#[test]
fn a_program_in_a_language_nobody_reads_is_unknown() {
    let lines: [&[&str]; 8] = [
        &["python3", "-c", "pass"],
        &["python3", "-Ic", "pass"],
        &["perl", "-e", "1"],
        &["perl", "-ne", "print"],
        &["node", "--eval", "1"],
        &["ruby", "-e", "1"],
        &["php", "-r", "1;"],
        &["sudo", "-u", "x", "python3", "-c", "pass"],
    ];
    for words in lines {
        assert_eq!(judged(words).tier(), Tier::BreakGlass, "{words:?}");
    }
    for text in
        ["python3 deploy.py", "perl x.pl", "bash x.sh", "node server.js", "python3 -m unheard"]
    {
        assert_eq!(tier(text), 3, "{text}");
    }
    for text in ["python3 --version", "perl -v", "bash --version", "node --version"] {
        assert_eq!(tier(text), 0, "{text}");
    }
}

#[test]
fn text_for_a_shell_is_found_wherever_it_is_given() {
    let text = "terraform destroy";
    let lines: [&[&str]; 9] = [
        &["sh", "-c", text],
        &["bash", "-ec", text],
        &["bash", "-lc", text],
        &["bash", "-c", "-e", text],
        &["bash", "-o", "posix", "-c", text],
        &["bash", "+o", "posix", "-c", text],
        &["su", "-", "ada", "-c", text],
        &["script", "-qec", text, "/dev/null"],
        &["flock", "/tmp/l", "-c", text],
    ];
    for words in lines {
        assert_eq!(judged(words).tier(), Tier::BreakGlass, "{words:?}");
    }
}

#[test]
fn programs_within_programs_end() {
    let mut words = vec!["nice"; 200];
    words.push("terraform");
    words.push("plan");
    assert_eq!(judged(&words).tier(), Tier::BreakGlass);
    let few = [vec!["nice"; 10], vec!["terraform", "plan"]].concat();
    assert_eq!(judged(&few).tier(), Tier::Observe);
}

#[test]
fn iddio_s_own_paths_are_seen_behind_wrappers() {
    let ambient = Ambient { own_paths: vec!["/home/ada/.iddio".into()], ..Ambient::default() };
    let judged =
        judge(&raw(&["sudo", "-u", "x", "kubectl", "get", "-f", "/home/ada/.iddio/x"]), &ambient);
    assert_eq!(judged.tier(), Tier::BreakGlass);
}

#[test]
fn what_needs_prepared_surroundings_is_sensitive_where_nobody_prepares_them() {
    let ambient = Ambient { inner: Inner::Unprepared, ..Default::default() };
    let tier = |words: &[&str], ambient: &Ambient| {
        let argv: Vec<RawText> = words.iter().map(|word| RawText::from(*word)).collect();
        judge(&argv, ambient).tier().number()
    };
    for (words, prepared, unprepared) in [
        (&["git", "status"][..], 0, 0),
        (&["env", "git", "status"], 0, 3),
        (&["sudo", "kubectl", "get", "pods"], 2, 3),
        (&["bash", "-c", "kubectl get pods | sort"], 0, 3),
        (&["timeout", "9", "terraform", "apply"], 2, 3),
        (&["find", ".", "-exec", "git", "log", "{}", ";"], 0, 3),
        // What needs none stays as it is.
        (&["bash", "-c", "ls | sort | head -n 1"], 0, 0),
        (&["bash", "-c", "systemctl status nginx; journalctl -n 5"], 0, 0),
        (&["sudo", "ls"], 2, 2),
        (&["xargs", "-n1", "rm"], 4, 4),
    ] {
        let default = Ambient::default();
        assert_eq!(tier(words, &default), prepared, "{words:?}");
        assert_eq!(tier(words, &ambient), unprepared, "{words:?}");
    }
    let there = ["ssh", "web-1", "git status"];
    assert_eq!(tier(&there, &ambient), tier(&there, &Ambient::default()));
}
