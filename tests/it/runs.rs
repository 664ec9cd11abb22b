//! `iddio run` as people use it: shells, editors and pagers in a terminal, what is recorded, how a run is ended.

use std::{fs, process::Command, thread, time::Duration};

use iddio_tests::{Said, person::Person, real};
use rustix::process::Signal;
use tempfile::TempDir;

/// A tmux server of its own, of an ordinary user.
struct Tmux<'a> {
    person: &'a Person,
    socket: TempDir,
}

impl Tmux<'_> {
    fn start<'a>(person: &'a Person, command: &str) -> Tmux<'a> {
        let socket = TempDir::with_prefix_in("iddio-tmux-", person.elsewhere("sockets")).unwrap();
        if rustix::process::geteuid().is_root() {
            std::os::unix::fs::chown(socket.path(), Some(person.uid()), None).unwrap();
        }
        let tmux = Tmux { person, socket };
        let words = ["-f", "/dev/null", "new-session", "-d", "-x", "100", "-y", "30", command];
        let output = tmux.command(&words).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        tmux
    }

    fn command(&self, words: &[&str]) -> Command {
        let socket = self.socket.path().join("s");
        let tmux = real("tmux", "apt-get install tmux").unwrap();
        let mut command = self.person.within([tmux.to_str().unwrap(), "-S"]);
        command.arg(socket).args(words);
        command
    }

    fn keys(&self, keys: &[&str]) {
        let words: Vec<_> = ["send-keys"].into_iter().chain(keys.iter().copied()).collect();
        assert!(self.command(&words).output().unwrap().status.success());
    }

    fn says(&self, words: &[&str]) -> String {
        let output = self.command(words).output().unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Waits until the screen shows `text`. Only a hang takes long.
    #[track_caller]
    fn until(&self, text: &str) -> String {
        for _ in 0..1_200 {
            let screen = self.says(&["capture-pane", "-p"]);
            if screen.contains(text) {
                return screen;
            }
            thread::sleep(Duration::from_millis(50));
        }
        panic!("no `{text}` on\n{}", self.says(&["capture-pane", "-p"]));
    }
}

impl Drop for Tmux<'_> {
    fn drop(&mut self) {
        let _ = self.command(&["kill-server"]).output();
    }
}

/// Waits until the process `sleep WORD` is in this state.
#[track_caller]
fn state_of(word: &str, state: char) {
    let line = format!("sleep\0{word}\0");
    for _ in 0..2_400 {
        let processes = fs::read_dir("/proc").unwrap().filter_map(Result::ok);
        let found = processes.map(|entry| entry.path()).find(|path| {
            fs::read(path.join("cmdline")).is_ok_and(|found| found == line.as_bytes())
        });
        let stat = found.and_then(|path| fs::read_to_string(path.join("stat")).ok());
        let after = stat.and_then(|stat| stat.rsplit(") ").next()?.chars().next());
        if after == Some(state) {
            return;
        }
        thread::sleep(Duration::from_millis(25));
    }
    panic!("`sleep {word}` was never in state {state}");
}

fn iddio(person: &Person) -> String {
    person.home().parent().unwrap().join("iddio").display().to_string()
}

fn records(person: &Person) -> Vec<serde_json::Value> {
    let said = person.iddio(["audit", "query", "--json"]).ok();
    said.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn a_shell_has_a_terminal_of_its_own_with_jobs_and_sizes() {
    let person = Person::new();
    let program = iddio(&person);
    let tmux = Tmux::start(
        &person,
        &format!(
            "sh -c '{program} -q run -- bash --norc; echo ended $?; stty -a | grep -o .icanon; exec sh'"
        ),
    );
    tmux.keys(&["PS1='box> '; echo at $(tty) $(stty size)", "Enter"]);
    tmux.until("at /dev/pts/0 30 100");
    // A key that is typed before the job has the terminal would be the shell's, and take typed words along.
    tmux.keys(&["sh -c 'echo started; exec sleep 60077'", "Enter"]);
    tmux.until("\nstarted");
    state_of("60077", 'S');
    tmux.keys(&["C-z"]);
    tmux.until("Stopped");
    state_of("60077", 'T');
    tmux.keys(&["fg", "Enter"]);
    state_of("60077", 'S');
    tmux.keys(&["C-c"]);
    tmux.keys(&["echo interrupted $?", "Enter"]);
    tmux.until("interrupted 130");
    tmux.says(&["resize-window", "-x", "90", "-y", "25"]);
    tmux.keys(&["clear; until stty size | grep -q 90; do :; done; echo now $(stty size)", "Enter"]);
    tmux.until("now 25 90");
    tmux.keys(&["exit 7", "Enter"]);
    tmux.until("ended 7");
    // The caller's terminal is as it was: lines are edited by it again.
    tmux.until(" icanon");
}

#[test]
fn vim_edits_a_file_of_the_workspace_in_a_box() {
    let Some(vim) = real("vim", "apt-get install vim") else { return };
    let person = Person::new();
    let run = format!("{} -q run -- {} -u NONE note.txt", iddio(&person), vim.display());
    let tmux = Tmux::start(&person, &format!("sh -c '{run}; echo ended $?; exec sh'"));
    tmux.until("note.txt");
    tmux.keys(&["i", "written in a box", "Escape"]);
    tmux.until("written in a box");
    tmux.keys(&[":wq", "Enter"]);
    tmux.until("ended 0");
    let note = person.shop().join("note.txt");
    assert_eq!(fs::read_to_string(note).unwrap(), "written in a box\n");
}

#[test]
fn less_pages_a_file_in_a_box() {
    let person = Person::new();
    let lines: String = (1..=200).map(|number| format!("line {number}\n")).collect();
    person.file("shop/long", lines);
    let run = format!("{} -q run -- less long", iddio(&person));
    let tmux = Tmux::start(&person, &format!("sh -c '{run}; echo ended $?; exec sh'"));
    tmux.until("line 29");
    tmux.keys(&["G"]);
    tmux.until("line 200");
    tmux.keys(&["q"]);
    tmux.until("ended 0");
}

#[test]
fn an_agent_that_dies_leaves_the_terminal_as_it_was() {
    let person = Person::new();
    person.file("shop/die", "printf '\\033[?1049h\\033[?25l\\033[?1000hgone'; kill -9 $$\n");
    let run = format!("{} -q run -- sh die", iddio(&person));
    let tmux = Tmux::start(&person, &format!("sh -c '{run}; echo ended $?; exec sh'"));
    tmux.until("ended 137");
    let state = "#{alternate_on} #{cursor_flag} #{mouse_standard_flag}";
    assert_eq!(tmux.says(&["display-message", "-p", state]).trim(), "0 1 0");
}

#[test]
fn b38_what_a_terminal_answers_to_an_agents_last_words_is_typed_to_nobody() {
    let person = Person::new();
    // Who it is, where its cursor is, whether it is well: each is answered as if it were typed.
    person.file("shop/ask", "printf '\\033[c\\033[6n\\033[5n\\033[>c\\033[c'\n");
    let shell = "PS1='ready> ' exec sh";
    let type_a_line = |tmux: &Tmux<'_>| {
        tmux.until("ready>");
        tmux.keys(&["echo nothing-$((1+1)) typed", "Enter"]);
    };
    // The line that is typed next has the answers in front of it, as commands of somebody else's.
    let control = Tmux::start(&person, &format!("sh -c \"sh ask; {shell}\""));
    type_a_line(&control);
    control.until("not found");
    let run = format!("{} -q run -- sh ask", iddio(&person));
    let tmux = Tmux::start(&person, &format!("sh -c \"{run}; {shell}\""));
    type_a_line(&tmux);
    let screen = tmux.until("\nnothing-2 typed");
    assert!(!screen.contains("not found"), "{screen}");
}

#[test]
fn streams_that_are_no_terminal_pass_through_and_so_does_the_exit_code() {
    let person = Person::new();
    let script = "cat; echo wrong >&2; exit 9";
    let words = ["-q", "run", "--", "sh", "-c", script];
    let mut command = person.command(words);
    command.stdin(fs::File::open(person.file("shop/in", "line\n")).unwrap());
    let said = Said::of(command.output().unwrap());
    assert!(
        said.stderr.contains("wrong") && said.stdout == "line\n" && said.code == 9,
        "{said:#?}"
    );
}

#[test]
fn a_run_is_decided_before_it_starts_and_closed_after_its_end() {
    let person = Person::new();
    person.boxed("echo here; exit 3").exits(3).prints("here");
    let records = records(&person);
    let of = |event: &str| records.iter().find(|record| record["event"] == event).unwrap();
    let (decided, closed) = (of("decided"), of("closed"));
    assert_eq!(decided["command"], "iddio-run shell");
    assert_eq!(decided["tier"], 0);
    let shop = person.shop().display().to_string();
    assert!(decided["resource"].as_str().unwrap().contains(&format!("writes {shop}")), "{decided}");
    assert_eq!((&closed["exit_code"], &closed["outcome"]), (&3.into(), &"forwarded".into()));
    person.iddio(["audit", "verify"]).ok();
}

#[test]
fn policy_says_who_may_run_agents_and_with_what() {
    let person = Person::new();
    person.set_policy(
        "agents:\n  local:ada:\n    rules:\n      - {protocol: command, commands: [iddio-run], tiers: {0: allow, 2: deny, 3: deny}}\n",
    );
    person.boxed("true").ok();
    for options in
        [["--allow-net", "example.com:443"], ["--write", "/var/tmp"], ["--observe", "-q"]]
    {
        let said = person.boxed_with(&options, "true").exits(77);
        assert!(said.stderr.contains("refused"), "{said:#?}");
    }
    person.set_policy("agents: {}\n");
    person.boxed("true").exits(77);
}

#[test]
fn what_an_agent_gets_is_said_before_it_gets_it() {
    let person = Person::new();
    let words = ["run", "--explain", "--json", "--allow-net", "example.com:443", "--", "bash"];
    let said = person.iddio(words).ok();
    let facts: serde_json::Value = serde_json::from_str(&said.stdout).unwrap();
    let shop = person.shop().display().to_string();
    assert_eq!(facts["workspace"], shop);
    assert_eq!(facts["write"], serde_json::json!([shop]));
    assert_eq!(facts["network"], serde_json::json!(["example.com:443"]));
    assert_eq!(facts["beyond_profile"], serde_json::json!(["network example.com:443"]));
    let hidden = facts["hidden"].as_array().unwrap();
    for name in [".ssh", ".aws", ".kube", ".netrc", ".iddio"] {
        let path = person.home().join(name).display().to_string();
        assert!(hidden.iter().any(|hidden| *hidden == path), "{name} {facts}");
    }
    person.iddio(["run", "--explain", "--", "bash"]).ok().prints("writes").prints("tools");
    let records = records(&person);
    assert!(!records.iter().any(|record| record["event"] == "decided"), "nothing was run");
}

#[test]
fn a_freeze_ends_the_whole_run() {
    let person = Person::new();
    let mut run =
        person.start_boxed(&[], "trap '' TERM; setsid -f sleep 654321; echo up >&2; sleep 600");
    run.until("up");
    person.iddio(["freeze", "--all", "--reason", "enough"]).ok();
    let said = run.end();
    assert_eq!(said.code, 77, "{said:#?}");
    assert!(said.stderr.contains("the agent was ended"), "{said:#?}");
    let records = records(&person);
    let closed = records.iter().find(|record| record["event"] == "closed").unwrap();
    assert_eq!(closed["outcome"], "frozen", "{closed}");
    // And nobody starts one.
    person.boxed("true").exits(77);
}

#[test]
fn a_request_to_end_reaches_the_agent() {
    let person = Person::new();
    let mut run =
        person.start_boxed(&[], "trap 'echo asked; exit 5' TERM; echo up >&2; sleep 600 & wait");
    run.until("up");
    run.signal(Signal::TERM);
    assert_eq!(run.end().exits(5).stdout, "asked\n");
}

#[test]
fn an_agent_that_lives_in_the_home_is_found_and_sees_its_own() {
    let person = Person::new();
    let agent = person.file(".local/share/claude/cli", "#!/bin/sh\necho \"$0\" \"$CLAUDE_CONFIG_DIR\"; touch ~/.claude/state; cat ~/.claude/settings.json\n");
    fs::set_permissions(&agent, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    person.file(".local/bin/.keep", "");
    person.file(".claude/settings.json", "{}");
    std::os::unix::fs::symlink(&agent, person.home().join(".local/bin/claude")).unwrap();
    let mut command = person.command(["run", "--", "claude"]);
    let path = format!("{}:/usr/bin:/bin", person.home().join(".local/bin").display());
    let said = Said::of(command.env("PATH", path).output().unwrap());
    let own = format!("{} {}", agent.display(), person.home().join(".claude").display());
    assert_eq!(said.code, 0, "{said:#?}");
    assert_eq!(said.stdout, format!("{own}\n{{}}"), "{said:#?}");
    assert!(person.home().join(".claude/state").exists());
    assert!(said.stderr.contains("profile claude"), "{said:#?}");
}

#[test]
fn a_box_within_a_box_and_an_agent_that_would_not_be_seen_are_refused() {
    let person = Person::new();
    person.boxed("iddio run -- true").exits(64);
    let program = person.elsewhere("far").join("agent");
    fs::copy("/bin/true", &program).unwrap();
    let said = person.iddio(["run", "--", program.to_str().unwrap()]);
    assert!(said.code == 69 && said.stderr.contains("--read"), "{said:#?}");
}

/// Reads run, changes ask, and somebody else may answer.
const ASKING: &str = "\
agents:
  local:ada:
    rules:
      - {protocol: command, tiers: {0: allow, 1: escalate, 2: escalate, 3: escalate, 4: deny}}
      - {protocol: terraform, tiers: {0: allow, 1: escalate, 2: escalate, 3: escalate, 4: deny}}
";

#[test]
fn terraform_plans_and_applies_through_the_tools_of_a_box() {
    if real("terraform", crate::kit::TERRAFORM).is_none() {
        return;
    }
    let person = Person::new();
    person.set_policy(ASKING);
    person
        .file("shop/main.tf", "resource \"terraform_data\" \"hello\" {\n  input = \"hello\"\n}\n");
    let script = "terraform init && terraform plan -no-color && terraform apply -auto-approve -no-color; \
        echo applied $?; terraform destroy -auto-approve; echo destroyed $?; ls terraform.tfstate";
    let mut run = person.start_boxed(&[], script);
    let ask = run.until_asked();
    person.iddio(["approvals", "approve", &ask]).ok();
    let said = run.end();
    assert!(said.stdout.contains("1 to add, 0 to change"), "{said:#?}");
    assert!(said.stdout.contains("applied 0") && said.stdout.contains("destroyed 77"), "{said:#?}");
    assert!(
        said.stdout.contains("terraform.tfstate"),
        "what it made is in the workspace: {said:#?}"
    );
    let records = records(&person);
    let run = records.iter().find(|record| record["command"] == "iddio-run shell").unwrap();
    let of = |command: &str| {
        let found = |record: &&serde_json::Value| {
            record["event"] == "decided" && record["command"] == command
        };
        records.iter().find(found).unwrap()
    };
    for command in ["terraform init", "terraform plan", "terraform destroy"] {
        assert_eq!(of(command)["parent"], run["id"], "{command} happened within the run");
    }
    person.iddio(["audit", "verify"]).ok();
}

#[test]
fn observing_lets_through_what_policy_refuses_and_says_so_in_the_record() {
    let person = Person::new();
    person.set_policy(
        "agents:\n  local:ada:\n    rules:\n      - {protocol: command, commands: [iddio-run], tiers: {0: allow, 2: allow, 3: allow}}\n",
    );
    let script = "iddio exec -- cat /etc/hostname; echo $?; iddio exec -- rm -rf /; echo $?";
    let said = person.boxed(script);
    assert!(said.stdout.ends_with("77\n77\n"), "{said:#?}");
    let said = person.boxed_with(&["--observe"], script);
    assert!(said.stderr.contains("LET THROUGH"), "{said:#?}");
    assert!(said.stdout.contains("\n0\n") && said.stdout.ends_with("77\n"), "{said:#?}");
    let records = records(&person);
    let seen = records.iter().rfind(|r| r["event"] == "decided" && r["command"] == "cat").unwrap();
    assert_eq!(seen["decision"], "allow");
    let words = format!("{} {}", seen["rule"], seen["reason"]);
    assert!(words.contains("observe") && words.contains("would deny"), "{seen}");
}

#[test]
fn a_shadow_runs_no_tool_and_records_what_policy_says() {
    let person = Person::new();
    person.set_policy(ASKING);
    let script = "iddio exec -- cat /etc/hostname; echo $?; iddio exec -- touch x; echo $?; ls x";
    let said = person.boxed_with(&["--shadow"], script);
    assert!(said.stdout.contains("77\n77\n") && said.code != 0, "{said:#?}");
    let records = records(&person);
    for (command, verdict) in [("cat", "would allow"), ("touch", "would escalate")] {
        let decided = |r: &&serde_json::Value| r["event"] == "decided" && r["command"] == command;
        let seen = records.iter().find(decided).unwrap();
        assert_eq!(seen["decision"], "deny");
        assert!(format!("{}", seen["reason"]).contains(verdict), "{seen}");
    }
}

#[test]
fn b39_another_socket_is_told_nothing_and_variables_reach_no_tool() {
    let person = Person::new();
    person.set_policy(
        &ASKING.replace("1: escalate, 2: escalate, 3: escalate", "1: allow, 2: allow, 3: allow"),
    );
    // The variable that names a broker elsewhere names none here.
    let script = "export IDDIO_RUN_SOCKET=/tmp/mine IDDIO_HOME=/tmp/home; \
        python3 -c 'import socket, sys
s = socket.socket(socket.AF_UNIX); s.bind(\"/tmp/mine\"); s.listen()
s.settimeout(3)
try: s.accept(); print(\"spoken to\")
except TimeoutError: print(\"left alone\")' & until test -S /tmp/mine; do :; done
        iddio exec -- cat /etc/hostname >/dev/null && echo served; wait; ls /tmp/home";
    let said = person.boxed(script);
    assert!(said.stdout.contains("served") && said.stdout.contains("left alone"), "{said:#?}");
    // What is preloaded into the caller is preloaded into nothing that has a credential.
    person.file("shop/show", "#!/bin/sh\nenv\n");
    let script = "LD_PRELOAD=/tmp/evil.so PATH=/tmp/evil:$PATH TF_LOG=trace BASH_ENV=/tmp/evil PYTHONPATH=/tmp/evil \
        iddio exec -- env 2>/dev/null";
    let said = person.boxed(script);
    assert!(!said.stdout.contains("evil") && !said.stdout.contains("trace"), "{said:#?}");
}

#[test]
fn a_profile_of_ones_own_adds_to_the_base_and_takes_nothing_from_it() {
    let person = Person::new();
    person.iddio(["init"]).ok();
    person.file(".iddio/run/mine.toml", "summary = 'mine'\n[home]\nread = ['notes', '.ssh']\n[environment]\npass = ['MINE']\n[environment.set]\nWHERE = '~/x'\n");
    person.file("notes/one", "a note\n");
    let script = "cat ~/notes/one; echo x > ~/notes/one; cat ~/.ssh/id_ed25519; echo $MINE $WHERE";
    let words = ["run", "--profile", "mine", "--", "sh", "-c", script];
    let said = Said::of(person.command(words).env("MINE", "own").output().unwrap());
    let own = format!("a note\nown {}\n", person.home().join("x").display());
    assert_eq!(said.stdout, own, "{said:#?}");
    assert!(said.stderr.contains("left out"), "{said:#?}");
    for (text, why) in [
        ("summary = 'x'\n[home]\nread = ['../..']\n", "leads elsewhere"),
        ("summary = 'x'\nhidden = []\n", "unknown field"),
    ] {
        person.file(".iddio/run/mine.toml", text);
        person.iddio(["run", "--profile", "mine", "--", "true"]).exits(64).says(why);
    }
    person.iddio(["run", "--profile", "none", "--", "true"]).exits(64).says("there is no profile");
}

#[test]
fn an_agent_with_a_name_runs_as_that_agent_with_everything_in_it() {
    let person = Person::new();
    person.set_policy(
        "agents:\n  builder:\n    rules:\n      - {protocol: command, tiers: {0: allow}}\n",
    );
    person.iddio(["agent", "add", "builder"]).ok();
    let script = "iddio exec -- cat /etc/hostname && echo ran; env; ls ~/.iddio";
    let said = person.boxed_with(&["--agent", "builder"], script);
    assert!(said.stdout.contains("ran") && !said.stdout.contains("iddio_"), "{said:#?}");
    let records = records(&person);
    let decided: Vec<_> = records.iter().filter(|record| record["event"] == "decided").collect();
    assert_eq!(decided.len(), 2);
    assert!(decided.iter().all(|record| record["agent"] == "builder"), "{decided:#?}");
    // Its caller may do nothing, so neither may an agent that nobody named.
    person.boxed("true").exits(77);
    // Frozen, it is ended with all that it runs.
    let mut run = person.start_boxed(&["--agent", "builder"], "echo up >&2; sleep 600");
    run.until("up");
    person.iddio(["freeze", "--agent", "builder"]).ok();
    run.end().exits(77);
}

#[test]
fn an_agent_cannot_answer_for_a_human_through_its_tools() {
    let person = Person::new();
    person.set_policy(ASKING);
    let script = "iddio approvals list; echo $?; iddio exec -- iddio approvals list; echo $?; \
        iddio thaw --all; echo $?; iddio init; iddio exec -- iddio policy check; echo $?";
    let said = person.boxed(script);
    assert!(!said.stdout.contains("\n0\n"), "{said:#?}");
    assert!(!said.stdout.starts_with("0\n"), "{said:#?}");
}

#[test]
fn a_workspace_may_be_called_anything() {
    let person = Person::new();
    for name in ["two words", "b\\ack\\040slash", "line\nbreak", "q'uote\"s", "\u{fc}ml\u{e4}ut"] {
        let directory = person.elsewhere("odd").join(name);
        fs::create_dir(&directory).unwrap();
        let uid = person.uid();
        std::os::unix::fs::chown(&directory, Some(uid), Some(uid)).unwrap();
        fs::create_dir(directory.join(".git")).unwrap();
        fs::create_dir(directory.join(".git/hooks")).unwrap();
        let script = "echo x > made; echo y > .git/hooks/made; pwd; iddio exec -- pwd";
        let mut command = person.command(["-q", "run", "--", "sh", "-c", script]);
        let said = Said::of(command.current_dir(&directory).output().unwrap());
        let shown = directory.to_str().unwrap();
        assert_eq!(said.stdout, format!("{shown}\n{shown}\n"), "{said:#?}");
        assert!(directory.join("made").exists() && !directory.join(".git/hooks/made").exists());
    }
}

#[test]
fn a_directory_that_holds_secrets_among_others_is_shown_without_them() {
    let person = Person::new();
    person.set_policy(&ASKING.replace("2: escalate", "2: allow"));
    person.file(".config/gh/hosts.yml", "canary-5d1e7a90c4");
    person.file(".config/other/settings", "plain\n");
    let config = person.home().join(".config");
    let script = format!(
        "cat {0}/other/settings; cat {0}/gh/*; ls -A {0}/gh; mv {0}/gh {0}/x",
        config.display()
    );
    let said = person.boxed_with(&["--write", config.to_str().unwrap()], &script);
    assert_eq!(said.stdout, "plain\n", "{said:#?}");
    assert!(config.join("gh/hosts.yml").exists());
}

#[test]
fn root_runs_an_agent_as_somebody_else_and_never_as_root() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let world = iddio_tests::World::with_policy(crate::kit::OPEN);
    fs::set_permissions(world.work(), std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
    world.iddio(["run", "--", "id"]).exits(64).says("root runs no agent as root");
    let script =
        "id -u; id -G; touch made; iddio exec -- cat /etc/hostname >/dev/null && echo served";
    let said = world.iddio(["run", "--user", "nobody", "--", "sh", "-c", script]);
    assert_eq!(said.stdout, "65534\n65534\nserved\n", "{said:#?}");
    assert!(world.work().join("made").exists());
}
