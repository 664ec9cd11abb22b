//! The invariants of the classifier over generated programs for a shell, and against bash itself.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Command, Stdio},
    sync::atomic::{AtomicUsize, Ordering},
};

use iddio_classify::command::{Ambient, Judged, shell_line};
use iddio_core::{text::RawText, tier::Tier};
use proptest::prelude::*;

fn judged(text: &str) -> Judged {
    shell_line(&RawText::from(text), &Ambient::default())
}

fn tier(text: &str) -> Tier {
    judged(text).tier()
}

/// A command that does nothing by itself.
fn simple() -> impl Strategy<Value = String> {
    prop::sample::select(vec![
        "true",
        ":",
        "echo a",
        "echo \"$x\"",
        "x=1",
        "y=b",
        "z=$x$y",
        "ls",
        "ls -l",
        "test -f x",
        "[ a = b ]",
        "cd .",
        "printf x",
        "export q=1",
        "unset q",
        "set -- a b",
        "shift",
        "echo $((1+1))",
        "echo {a,b}",
        "cat <<< x",
        "echo a > /dev/null",
        "read v",
        "x+=1",
    ])
    .prop_map(str::to_owned)
}

/// Programs of bash, with a hole each.
fn program(hole: &'static str) -> impl Strategy<Value = String> {
    let leaf = prop_oneof![2 => simple(), 1 => Just(hole.to_owned())];
    leaf.prop_recursive(5, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 1..4).prop_map(|all| all.join("; ")),
            prop::collection::vec(inner.clone(), 1..4).prop_map(|all| all.join("\n")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("{{ {a}; }} && {{ {b}; }}")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("{{ {a}; }} || {{ {b}; }}")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("{{ {a}; }} | {{ {b}; }}")),
            (inner.clone(), inner.clone(), inner.clone())
                .prop_map(|(a, b, c)| format!("if {a}; then {b}; else {c}; fi")),
            inner.clone().prop_map(|a| format!("for i in a b; do {a}; done")),
            inner.clone().prop_map(|a| format!("while false; do {a}; done")),
            inner.clone().prop_map(|a| format!("case x in x) {a};; *) :;; esac")),
            inner.clone().prop_map(|a| format!("( {a} )")),
            inner.clone().prop_map(|a| format!("f() {{ {a}; }}; f")),
            inner.clone().prop_map(|a| format!("echo \"$( {a} )\"")),
            inner.clone().prop_map(|a| format!("x=$( {a} )")),
            inner.clone().prop_map(|a| format!("cat <( {a} )")),
            inner.clone().prop_map(|a| format!("cat <<E\n$( {a} )\nE\n")),
            inner.clone().prop_map(|a| format!("trap {} EXIT", quoted(&a))),
            inner.clone().prop_map(|a| format!("eval {}", quoted(&a))),
            inner.prop_map(|a| format!("bash -c {}", quoted(&a))),
        ]
    })
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}

/// Lines whose tier must not change when they are written another way.
fn line() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "rm -rf /",
        "rm -rf /srv/data",
        "rm x",
        "cat /etc/shadow",
        "ls -la",
        "echo hi",
        "kubectl get pods",
        "kubectl delete ns prod",
        "terraform destroy -auto-approve",
        "aws s3 ls",
        "chmod -R 777 /",
        "dd if=/dev/zero of=/dev/sda",
        "git status",
    ])
}

/// Writes a word in another way.
fn respelled(word: &str, way: u8) -> String {
    let mut letters = word.chars();
    let first = letters.next().map(String::from).unwrap_or_default();
    let rest: String = letters.collect();
    match way % 8 {
        0 => format!("'{first}'{rest}"),
        1 => format!("\\{first}{rest}"),
        2 => format!("\"{word}\""),
        3 => format!("$'\\x{:02x}'{rest}", first.bytes().next().unwrap_or(b'a')),
        4 => format!("{first}''{rest}"),
        5 => format!("$(printf %s {})", quoted(word)),
        6 => format!("${{IDDIO_UNSET_X+}}{word}"),
        _ => word.to_owned(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    /// I1: a command at the worst is the whole's, wherever it stands.
    #[test]
    fn the_worst_command_decides_wherever_it_stands(text in program("rm -rf /")) {
        if text.contains("rm -rf /") {
            prop_assert_eq!(tier(&text), Tier::BreakGlass, "{}", text);
        }
    }

    /// I6: what is quoted and not evaluated raises nothing.
    #[test]
    fn quoted_text_is_data(text in "[ -~\n]{0,60}") {
        let whole = format!("echo {}", quoted(&text));
        prop_assert_eq!(tier(&whole), Tier::Observe, "{}", whole);
        let whole = format!("printf '%s' {} | cat", quoted(&text));
        prop_assert_eq!(tier(&whole), Tier::Observe, "{}", whole);
    }

    /// I8: what does nothing lowers nothing.
    #[test]
    fn what_does_nothing_lowers_nothing(line in line(), way in 0_usize..9) {
        let more = match way {
            0 => format!("true; {line}"),
            1 => format!("{line}; true"),
            2 => format!("# x\n{line} # y"),
            3 => format!("  {line}  "),
            4 => format!("{line} > /dev/null 2>&1"),
            5 => format!("{}{line}", "true;".repeat(10_000)),
            6 => format!(": && {line}"),
            7 => format!("{line} < /dev/null"),
            _ => format!("{{ {line}; }} 2>/dev/null"),
        };
        prop_assert!(tier(line) <= tier(&more), "{}", more);
    }

    /// Other spellings of the same words are the same command.
    #[test]
    fn spelling_changes_nothing(line in line(), ways in prop::collection::vec(any::<u8>(), 8)) {
        let words: Vec<_> =
            line.split(' ').zip(ways).map(|(word, way)| respelled(word, way)).collect();
        let text = words.join(" ");
        prop_assert_eq!(tier(line), tier(&text), "{}", text);
    }

    /// I2 and I4: texts within texts are as dangerous as they are.
    #[test]
    fn wrapping_never_lowers(line in line(), ways in prop::collection::vec(0_usize..9, 1..4)) {
        let mut text = line.to_owned();
        for way in ways {
            text = match way {
                0 => format!("eval {}", quoted(&text)),
                1 => format!("sh -c {}", quoted(&text)),
                2 => format!("bash <<< {}", quoted(&text)),
                3 => format!("echo {} | sh", quoted(&text)),
                4 => format!("echo \"$( {text} )\""),
                5 => format!("f() {{ {text}\n}}; f"),
                6 => format!("x={}; eval \"$x\"", quoted(&text)),
                7 => format!("sh <<'EOT'\n{text}\nEOT\n"),
                _ => format!("trap {} EXIT", quoted(&text)),
            };
            // The same delimiter inside would end the outer document.
            prop_assume!(text.matches("EOT").count() <= 2);
        }
        prop_assert!(tier(line) <= tier(&text), "{}", text);
    }

    /// Positions stand in the text, and no bytes make it panic.
    #[test]
    fn any_bytes_are_judged(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let judged = shell_line(&RawText::new(bytes.clone()), &Ambient::default());
        let all = std::iter::once(&judged.operation).chain(&judged.within);
        for reason in all.flat_map(|operation| &operation.reasons) {
            if let Some(at) = reason.at {
                prop_assert!(at.start <= at.end, "{:?}", reason);
                prop_assert!(usize::try_from(at.end).unwrap() <= bytes.len(), "{:?}", reason);
            }
        }
    }

    #[test]
    fn letters_of_a_shell_are_judged(text in "[a-c $(){};&|<>'\"`\\\\=*?#\n!~\\[\\]]{0,60}") {
        let _tier = tier(&text);
    }
}

/// Runs a text with bash where nothing is but a marker, and says whether the marker ran.
fn marker_runs(home: &Path, text: &str) -> Ran {
    // One for each run: what an earlier text left behind in the background may end late.
    static RUNS: AtomicUsize = AtomicUsize::new(0);
    let sign = home.join(format!("ran-{}", RUNS.fetch_add(1, Ordering::Relaxed)));
    let bin = home.join("bin");
    let status = Command::new("/usr/bin/timeout")
        .args(["-s", "KILL", "2", "/bin/bash", "--noprofile", "--norc", "-c", text])
        .env_clear()
        .env("PATH", &bin)
        .env("HOME", home)
        .env("SIGN", &sign)
        .current_dir(home.join("work"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .unwrap();
    let _ = status;
    if sign.exists() { Ran::Yes } else { Ran::No }
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Ran {
    No,
    Yes,
}

fn sandbox() -> tempfile::TempDir {
    let home = tempfile::tempdir().unwrap();
    fs::create_dir(home.path().join("bin")).unwrap();
    fs::create_dir(home.path().join("work")).unwrap();
    let marker = home.path().join("bin/marker");
    fs::write(&marker, "#!/bin/sh\n: > \"$SIGN\"\n").unwrap();
    fs::set_permissions(&marker, fs::Permissions::from_mode(0o755)).unwrap();
    home
}

/// Whether the judgement accounts for a run of the marker.
fn accounts(judged: &Judged) -> bool {
    let named = judged.within.iter().any(|operation| {
        let program = operation.description.argv.first().and_then(RawText::as_str);
        let file = program.and_then(|program| program.rsplit('/').next());
        // A pattern stands for whatever file it finds.
        let open = operation.reasons.iter().any(|reason| reason.rule == "shell:program");
        file == Some("marker") || open
    });
    named || judged.tier() == Tier::BreakGlass
}

/// Changes a text at one place.
fn mutated(text: &str, at: usize, with: &str, cut: usize) -> String {
    let letters: Vec<char> = text.chars().collect();
    let at = at % (letters.len() + 1);
    let end = (at + cut).min(letters.len());
    let before: String = letters.get(..at).unwrap_or_default().iter().collect();
    let after: String = letters.get(end..).unwrap_or_default().iter().collect();
    format!("{before}{with}{after}")
}

#[test]
fn what_bash_runs_we_saw() {
    let home = sandbox();
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig {
        cases: 800,
        failure_persistence: None,
        ..ProptestConfig::default()
    });
    let pieces = prop::sample::select(vec![
        "",
        ";",
        "\"",
        "'",
        "\\",
        "$(",
        ")",
        "`",
        "{",
        "}",
        "|",
        "&",
        "\n",
        "#",
        "$x",
        "<<E\n",
        "((",
        "))",
        "[[",
        "]]",
        "=",
        "<",
        "marker",
        "${",
        "$'",
        " ",
        "!",
        "x=marker;",
        "$x;",
    ]);
    let strategy = (program("marker"), any::<usize>(), pieces, 0_usize..3);
    let ran = std::cell::Cell::new(0_usize);
    let result = runner.run(&strategy, |(text, at, piece, cut)| {
        let text = mutated(&text, at, piece, cut);
        if marker_runs(home.path(), &text) == Ran::Yes {
            ran.set(ran.get() + 1);
            let judged = judged(&text);
            prop_assert!(accounts(&judged), "bash ran the marker, and we did not see it: {text:?}");
        }
        Ok(())
    });
    result.unwrap();
    assert!(40 < ran.get(), "the marker ran only {} times", ran.get());
}

#[test]
fn tricks_that_run_the_marker_are_seen() {
    let home = sandbox();
    let mut missed = Vec::new();
    let mut ran = 0;
    for text in TRICKS {
        if marker_runs(home.path(), text) == Ran::Yes {
            ran += 1;
            if !accounts(&judged(text)) {
                missed.push(text);
            }
        }
    }
    assert!(missed.is_empty(), "{missed:#?}");
    assert!(TRICKS.len() * 3 / 4 < ran, "only {ran} of {} ran", TRICKS.len());
}

/// Texts that run the marker in roundabout ways.
const TRICKS: &[&str] = &[
    "marker",
    "m''arker",
    "$'\\155arker'",
    "x=mar; ${x}ker",
    "x=xmarker; ${x:1}",
    "x=marXker; ${x/X}",
    "{marker,a}",
    "$(echo marker)",
    "`echo marker`",
    "eval m{arker,}",
    "IFS=,; c=marker,a; $c",
    "printf -v x marker; $x",
    "f() { marker; }; f",
    "a='x[$(marker)]'; echo $((a))",
    "let 'a=b[$(marker)]'",
    "x='$(marker)'; echo \"${x@P}\"",
    "declare -a 'x=($(marker))'",
    "trap marker EXIT",
    "false || marker",
    "echo marker | while read x; do $x; done",
    "set -- marker; $1",
    "set -- marker; \"$@\"",
    "x=(a marker); ${x[1]}",
    "y=marker; x=y; ${!x}",
    "MARKER=marker; ${MARKER,,}",
    "x=MARKER; ${x,,}",
    "shopt -s expand_aliases\nalias z=marker\nz",
    "[[ -v 'x[$(marker)]' ]]",
    "test -v 'x[$(marker)]'",
    "coproc marker; wait",
    "exec marker",
    "command marker",
    "cat <(marker) 2>/dev/null; read x < <(marker)",
    ": <<E\n$(marker)\nE",
    "source /dev/stdin <<< marker",
    "hash -p \"$PATH/marker\" q; q",
    "case a in a) marker;; esac",
    "((x[$(marker)]=1))",
    "declare -i n; n='q[$(marker)]'",
    "unset 'x[$(marker)]'",
    "echo ${x:=$(marker)}",
    "read -r x y <<< 'marker a'; $x",
    "mapfile -C marker -c 1 q <<< a",
    "PS4='$(marker)'; set -x; :",
    "select x in a; do marker; break; done <<< 1",
    "for ((;;)); do marker; break; done",
    "[[ 'x[$(marker)]' -eq 1 ]]",
    "f() { local x=ls; }; x=marker; f; $x",
    "x=ls; declare -n r=x; r=marker; $x",
    "x=:; for i in 1 2; do $x; x=marker; done",
    "../bin/m*",
    "../bin/[m]arker",
    "../b?n/marker",
    "x='../bin/m*'; $x",
    "exec 3<<< marker; source /dev/fd/3",
    "compgen -W '$(marker)'",
    "x=a; x+=1; [[ $x ]] && marker",
    "time marker",
    "! marker",
    "cd ../bin; ./marker",
    "echo \"${z[$(marker)]}\"",
    "while marker; do break; done",
    "command_not_found_handle() { marker; }; zz",
    "PROMPT_COMMAND=marker; eval \"$PROMPT_COMMAND\"",
    "x=$'mar\\\nker'; marker",
    "mar\\\nker",
    "a=(marker); \"${a[@]}\"",
    "$'mar'\"k\"er",
    "x=marker y=$x; $y",
    "echo a & marker",
    "{ marker; }",
    "(marker)",
    "if marker; then :; fi",
    "${q-marker}",
    "${q:-marker}",
    "${q:=marker}",
    "z=1; ${z:+marker}",
    "x=1marker; ${x#1}",
    "x=marker1; ${x%1}",
    "a=m; b=arker; $a$b",
    "~+/../bin/marker",
    "bind -x '\"q\":marker'; marker",
    "printf marker > s; . ./s",
    "echo marker > s; source s",
    "x=$(<s); $x",
    "echo marker > t; x=$(< t); $x",
    "function g { marker; }; g",
    "x[0]=marker; $x",
    "eval 'eval \"marker\"'",
    "trap 'marker' DEBUG; :",
    "trap marker ERR; false",
    "\\marker",
    "readonly r=marker; $r",
    "export r=marker; $r",
    "typeset r=marker; $r",
    "declare -l y=MARKER; $y /",
    "declare -l y; y=MARKER; $y /",
    "_=ls; : marker; $_ /",
    "REPLY=ls; select r in a; do $REPLY /; break; done <<< marker",
    "echo 'marker /' > e; BASH_ENV=./e bash -c :",
    "shopt -s expand_aliases\nalias a='command '\nalias b=marker\na b /",
    "y=ls; case x in x) y=marker ;;& *) $y /;; esac",
    "y=ls; case x in x) y=marker ;& z) $y /;; esac",
    "x='b[$(marker /)]'; RANDOM=$x; SECONDS=$x",
    "x=ls; f() { local x; x=a; declare -g x=marker; }; f; $x /",
    "x=ls; f() { local x=a; g; }; g() { unset x; x=marker; }; f; $x /",
    "x=marker; readonly x; eval 'x=ls' 2>/dev/null; $x /",
    "x=marker; declare -r x; printf -v x ls; $x /",
    "set -o posix; x=ls; x=marker :; $x /",
    "x=ls; x=marker export x; $x /",
    "x=ls; x=marker readonly x; $x /",
    "a=(ls marker); unset 'a[0]'; ${a[@]} /",
    "a=(ls marker); unset 'a[0]'; b=(\"${a[@]}\"); $b /",
    "x=ls; trap 'x=marker' DEBUG; $x /",
    "x=ls; trap 'x=marker' ERR; false; $x /",
    "x=ls; f() { trap 'x=marker' RETURN; }; f; $x /",
    "f() { if [ $# -gt 2 ]; then shift; f \"$@\"; else \"$@\"; fi; }; f a b c d marker /",
    "f() { [ $# -gt 0 ] || return; x=$1; shift; f \"$@\"; }; f ls ls ls marker; $x /",
    "x=m; f() { [ ${#x} -lt 6 ] && { x+=${1:0:1}; f \"${1:1}\"; }; }; f arker; $x /",
    "x=ls; y=$(printf x); printf -v \"$y\" marker; $x /",
    "x=ls; read y < <(echo x); read \"$y\" <<< marker; $x /",
    "x=ls; read y < <(echo x); declare \"$y=marker\"; $x /",
    "x=ls; read y < <(echo x); export $y=marker; $x /",
    "x=ls; read y < <(echo x); mapfile -t \"$y\" <<< marker; $x /",
    "x=ls; read y < <(echo x); declare -n n=$y; n=marker; $x /",
    "read y < <(echo q); hash -p ../bin/marker $y; q /",
    "IFS=' :'; x='marker : b'; $x",
    "x=; ${x-ls}marker",
    "echo 'marker /' > ../work/f; . f; . ./f",
    "x=ls; set -k; f() { $x /; }; f x=marker",
    "declare -A m=([a]=marker); ${m[a]}",
    "declare -A m; m[x y]=marker; ${m[\"x y\"]}",
    "declare -n a=b; b=marker; $a",
    "f() { local -n r=$1; r=marker; }; f q; $q",
    "f() { declare -g q=marker; }; f; $q",
    "f() { printf -v \"$1\" %s marker; }; f q; $q",
    "f() { eval \"$1=marker\"; }; f q; $q",
    "f() { read \"$1\" <<< marker; }; f q; $q",
    "f() { q=marker; }; x=$(f); f; $q",
    "q=ls; f() ( q=marker; $q ); f",
    "q=ls; (q=marker; $q)",
    "q=ls; { q=marker; } | cat; { q=marker; $q; } | cat",
    "while read -r c; do $c; done <<< marker",
    "while read -r c; do \"$c\"; done < <(echo marker)",
    "for c in $(echo marker); do $c; done",
    "for c in {a..c} marker; do $c 2>/dev/null; done",
    "for c in ls marker; do x=$c; done; $x",
    "for ((i=0;i<2;i++)); do [ $i = 1 ] && marker; done",
    "i=0; until [ $i = 2 ]; do c[$i]=marker; i=$((i+1)); done; ${c[1]}",
    "case ls in l*) x=marker;; esac; $x",
    "case $(echo a) in b) ;; *) marker;; esac",
    "if false; then x=ls; elif true; then x=marker; fi; $x",
    "x=ls; true && x=marker || x=ls; $x",
    "x=ls; ! x=marker; $x",
    "x=ls; [[ a =~ (a) ]] && x=marker; $x",
    "[[ marker =~ (.*) ]]; ${BASH_REMATCH[1]}",
    "x=marker; y=${x@Q}; eval $y",
    "x='marker a'; set -- $x; $1",
    "set -- a b marker; ${3}",
    "set -- a b marker; ${@:3}",
    "set -- a b marker; ${@: -1}",
    "set -- a b marker; \"${!#}\"",
    "set -- marker; f() { $1; }; f \"$@\"",
    "set -- marker; shift 0; $1",
    "IFS=:; x=a:marker; set -- $x; $2",
    "IFS=; x=marker; $x",
    "x=$'marker\\n'; $x",
    "x=\"$(printf 'marker\\n\\n')\"; $x",
    "x=`echo \\`echo marker\\``; $x",
    "$(echo $(echo marker))",
    "$(cat <<< marker)",
    "$(cat <<E\nmarker\nE\n)",
    "cat <<E | sh\nmarker\nE",
    "cat <<-E | bash\n\tmarker\n\tE",
    "bash <<< \"$(echo marker)\"",
    "sh -c \"$(printf %s marker)\"",
    "sh -c 'eval \"$0\"' marker",
    "sh -c '\"$@\"' x marker",
    "sh -c '$0' marker",
    "sh -c 'sh -c \"sh -c marker\"'",
    "bash -c 'x=$1; $x' _ marker",
    "env x=marker sh -c '$x'",
    "x=marker sh -c '$x'",
    "export x=marker; sh -c '$x'",
    "export x=marker; bash -c 'eval $x'",
    "set -a; x=marker; sh -c '$x'",
    "declare -x x=marker; sh -c 'sh -c \"\\$x\"'",
    "f() { marker; }; export -f f; bash -c f",
    "f() { \"$@\"; }; f f f marker",
    "f() { g; }; g() { marker; }; f",
    "g() { marker; }; f() { g; }; unset -f g; g() { marker; }; f",
    "f() { marker; }; f2=f; $f2",
    "f() { marker; } ; trap f EXIT",
    "trap 'x=marker; $x' EXIT",
    "trap \"$(echo marker)\" EXIT",
    "trap - EXIT; trap marker 0",
    "(trap marker EXIT)",
    "bash -c 'trap marker EXIT'",
    "alias q=marker; shopt -s expand_aliases; eval q",
    "shopt -s expand_aliases; alias q='marker;'; eval 'q '",
    "eval \"q() { marker; }\"; q",
    "source <(echo marker)",
    ". <(printf marker)",
    "echo marker > z1; . ./z1",
    "echo marker > z2; bash z2",
    "echo marker > z3; bash < z3",
    "cat > z4 <<< marker; sh ./z4",
    "printf marker | tee z5 > /dev/null; sh z5",
    "echo marker | tee >(sh) > /dev/null; sleep 0.2",
    "echo marker | xargs -I{} sh -c {}",
    "echo marker | xargs sh -c",
    "echo marker | xargs env",
    "echo a | xargs marker",
    "printf 'marker\\0' | xargs -0 -n1 env",
    "find . -maxdepth 0 -exec marker \\;",
    "find . -maxdepth 0 -exec sh -c marker \\;",
    "find . -maxdepth 0 -exec sh -c '$0' marker \\;",
    "find ../bin -name 'mark*' -exec {} \\;",
    "find ../bin -name 'mark*' | sh",
    "ls ../bin/mark* | sh",
    "echo ../bin/mark* | bash",
    "nice marker",
    "nohup marker > /dev/null 2>&1",
    "timeout 5 marker",
    "env -i \"$PWD/../bin/marker\" 2>/dev/null; env marker",
    "setsid marker; sleep 0.1",
    "stdbuf -o0 marker",
    "awk 'BEGIN{system(\"marker\")}'",
    "sed -n '1e marker' /etc/hostname",
    "echo x | sed 's/x/marker/e'",
    "tar cf /dev/null --checkpoint=1 --checkpoint-action=exec=marker /etc/hostname",
    "[ -n \"$(marker)\" ]",
    "test \"$(marker)\" = x",
    "(( $(marker; echo 1) ))",
    "echo $(( $(marker; echo 1) + 1 ))",
    "echo $[ $(marker; echo 1) ]",
    "a[$(marker; echo 0)]=1",
    "a=([$(marker; echo 0)]=1)",
    "a+=($(marker))",
    "x=marker; local x=ls; $x /",
    "declare a=$(marker)",
    "local a=$(marker) 2>/dev/null; readonly b=$(marker)",
    "echo ${a:-$(marker)} ${a:+x}",
    "echo ${a[$(marker; echo 0)]}",
    "a=x; echo ${a/x/$(marker)}",
    "a=x; echo ${a//$(marker)/}",
    "a=x; echo ${a:$(marker; echo 0):1}",
    "a=x; echo ${a#$(marker)}",
    "a=x; echo ${a^$(marker)}",
    "echo \"${a:=$(marker)}\"",
    ": \"$(marker)\"",
    ": $(marker) &",
    "wait $(marker)",
    "exit $(marker)",
    "return $(marker) 2>/dev/null",
    "cat < $(marker; echo /dev/null)",
    "cat <<< $(marker)",
    "exec 3< <(marker); cat <&3",
    "echo > >(marker); sleep 0.2",
    "{ marker; } 2>/dev/null",
    "{ echo marker; } | { read x; $x; }",
    "coproc c { echo marker; }; read x <&${c[0]}; $x",
    "mapfile -t l <<< marker; ${l[0]}",
    "readarray -t l < <(echo marker); \"${l[@]}\"",
    "read -a l <<< 'a marker'; ${l[1]}",
    "IFS=, read -r a b <<< 'x,marker'; $b",
    "read -d: x <<< 'marker:'; $x",
    "printf -v x '%s%s' mar ker; $x",
    "printf -v 'l[1]' marker; ${l[1]}",
    "x=$(printf '\\155arker'); $x",
    "x=$(printf '%b' '\\155arker'); $x",
    "x=$(echo -e '\\155arker'); $x",
    "x=$(tr n-za-m a-z <<< znexre); $x",
    "x=$(rev <<< rekram); $x",
    "x=$(echo marker | base64 | base64 -d); $x",
    "x=ma; x+=rker; $x",
    "x=(ma rker); IFS=; \"${x[*]}\"",
    "x=marker; unset y; ${y-$x}",
    "x=marker; y='$x'; eval $y",
    "x='y'; y=marker; eval \\$$x",
    "x='marker;'; eval $x",
    "getopts a: o -a marker; $OPTARG",
    "let 'x=1' && marker",
    "[[ 1 -eq 1 ]] && marker",
    "[[ -n a && ( -n b || -n c ) ]] && marker",
    "select o in marker; do $o; break; done <<< 1",
    "select o in a; do $REPLY; break; done <<< marker",
    "time { marker; }",
    "! { marker; }",
    "time -p marker",
    "function m2() { marker; } ; m2",
    "function m3 { command marker; }; m3",
    "builtin eval marker",
    "builtin command marker",
    "command eval marker",
    "command -p env marker",
    "exec -c ../bin/marker",
    "exec -a q marker",
    "(exec marker)",
    "exec 1>/dev/null; marker",
    "enable -n echo; marker",
    "hash -p ../bin/marker ls; ls",
    "PATH=../bin marker",
    "PATH=../bin:$PATH; marker",
    "cd ..; bin/marker",
    "cd ../bin && ./marker",
    "pushd ../bin >/dev/null; ./marker",
    "~/../bin/marker 2>/dev/null; marker",
    "../b*/m*r",
    "../bin/mark[a-z]r",
    "../bin/m?????",
    "shopt -s extglob; eval '../bin/@(marker)'",
    "shopt -s globstar; eval '../**/marker'",
    "set -o noglob; set +o noglob; ../bin/m*",
    "{,marker}",
    "{marker,}",
    "m{arker,}",
    "a=mark b=er; $a$b",
    "$'\\x6darker'",
    "$'\\u006darker'",
    "\"mar\"'ker'",
    "m\\arker",
    "\"m\"arker",
    "mar$()ker",
    "mar``ker",
    "mar${x}ker",
    "mar$@ker",
    "mar$*ker",
    "mar\"\"ker",
    "$\"marker\"",
    "echo;marker",
    "echo&&marker",
    "echo|marker",
    "echo &marker",
    "echo||:;marker",
    "false;marker",
    "#c\nmarker",
    ":;#c\n:\n marker",
    "marker#",
    "if :;then marker;fi",
    "while :;do marker;break;done",
    "for x in a;do marker;done",
    "case a in(a)marker;;esac",
    "case a in a)marker;esac",
    "f()(marker);f",
    "f(){ marker;};f",
    "f() if :; then marker; fi; f",
    "f() for x in a; do marker; done; f",
    "f() [[ -n $(marker) ]]; f",
    "f() ((x[$(marker)0])); f",
    "f() { :; } > $(marker; echo /dev/null); f",
];
