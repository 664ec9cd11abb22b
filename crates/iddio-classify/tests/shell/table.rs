//! What the reader makes of texts, and what it refuses: tables.
//!
//! `⏎` stands for a line's end, `⇥` for a tab, `␀` for a zero byte, `␍` and `␛` for what they show.

use iddio_classify::shell::{DEPTH_MAX, Dialect, TEXT_BYTES_MAX, read, read_as};

use crate::show::{Quotes, show};

/// Returns the text that a row of a table means.
pub(crate) fn text(row: &str) -> String {
    row.replace('⏎', "\n")
        .replace('⇥', "\t")
        .replace('␀', "\0")
        .replace('␍', "\r")
        .replace('␛', "\x1b")
}

#[test]
fn bash_is_read_as_bash_means_it() {
    let mut wrong = Vec::new();
    for (row, expected) in READ {
        let shown = match read(text(row).as_bytes()) {
            Ok(script) => show(&script, Quotes::Kept),
            Err(error) => format!("refused: {error}"),
        };
        if shown != *expected {
            wrong.push(format!("{row}\x01{shown}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_plain_shell_finds_other_commands() {
    for (row, expected) in POSIX {
        let shown = match read_as(text(row).as_bytes(), Dialect::Posix) {
            Ok(script) => show(&script, Quotes::Kept),
            Err(error) => format!("refused: {error}"),
        };
        assert_eq!(shown, *expected, "{row}");
    }
}

#[test]
fn what_is_no_program_is_refused_with_its_reason() {
    for (row, reason) in REFUSED {
        let Err(error) = read(text(row).as_bytes()) else { panic!("`{row}` is read") };
        assert!(error.message.contains(reason), "`{row}`: {error}");
    }
}

#[test]
fn depth_and_size_are_bounded_on_a_small_stack() {
    let levels = [
        "$(",
        "( ",
        "{ ",
        "((",
        "\"$(",
        "${x:-",
        "$((",
        "<(",
        "if a; then ",
        "[[ $(",
        "x[$(",
        "a=(<(",
        "f() { ",
        "\"${x:-",
    ];
    let nested = |open: &str, times: usize| open.repeat(times);
    let check = move || {
        for open in levels {
            for times in [DEPTH_MAX - 1, DEPTH_MAX + 1, 4_000] {
                assert!(read(nested(open, times).as_bytes()).is_err(), "{times} times {open}");
            }
        }
        for (open, close) in [
            ("$(", ")"),
            ("( ", ")"),
            ("{ ", "; }"),
            ("\"$(", ")\""),
            ("${x:-", "}"),
            ("if a; then ", "; fi"),
            ("<(", ")"),
        ] {
            let at = DEPTH_MAX / open.matches(['"', '(', '{', 'i']).count().max(1);
            let text = [open.repeat(at), "a".to_owned(), close.repeat(at)].concat();
            let script = read(text.as_bytes()).unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!(script.clone(), script);
            assert!(100 < format!("{script:?}").len());
        }
        let long = "a".repeat(TEXT_BYTES_MAX + 1);
        assert!(read(long.as_bytes()).is_err());
        assert!(read(&long.as_bytes()[1..]).is_ok());
    };
    std::thread::Builder::new().stack_size(SMALL_STACK).spawn(check).unwrap().join().unwrap();
}

#[test]
fn a_plain_word_stands_where_its_span_says() {
    for (row, _) in READ {
        let text = text(row);
        for (word, at) in crate::show::plain_words(&read(text.as_bytes()).unwrap()) {
            let there = text.get(at.start as usize..at.end as usize).unwrap();
            assert_eq!(there.replace("\\\n", "").replace("\\`", "`"), word, "{row}");
        }
    }
}

/// What the reader gets by with, in a debug build.
const SMALL_STACK: usize = 1024 * 1024;

#[rustfmt::skip]
const READ: &[(&str, &str)] = &[
    ("ls -la /var/log", "(run ls -la /var/log);"),
    ("r'm' -rf /", "(run r'm' -rf /);"),
    (r"$'\x72\x6d' -rf /", "(run 'rm' -rf /);"),
    (r#"$'\a\b\e\f\n\r\t\v\\\'\"\?\101\u00e9\U1F600\cA\.' x"#, r#"(run '\x07\x08\x1b\x0c\n\r\t\x0b\\\'\"?A\xc3\xa9\xf0\x9f\x98\x80\x01\\.' x);"#),
    ("cat <<EOF | sort⏎a $x⏎EOF", r"(run cat <<'a '${x}'\n') | (run sort);"),
    ("$(echo rm) -rf /", "(run $( (run echo rm);) -rf /);"),
    ("`echo rm` -rf /", "(run $( (run echo rm);) -rf /);"),
    ("cat < /dev/tcp/198.51.100.7/80 > /dev/tcp/h/1", "(run cat </dev/tcp/198.51.100.7/80 >/dev/tcp/h/1);"),
    (r#"echo "$(cat <<'EOF'⏎a " b⏎EOF⏎)""#, r#"(run echo "$( (run cat <<'a \" b\n');)");"#),
    ("cat <(id) >(sort)", "(run cat <( (run id);) >( (run sort);));"),
    (r#"a=(1 "2 3" [4]=x [b c]+=y) b+=(z) c[$i]=d e= f"#, r#"(run f {a=[ 1 "'2 3'"  <'4'>=x  <'b c'>=y ]} {b+=[ z ]} {c <${i}>=d} {e=});"#),
    ("declare -A m=([k]=v) n=$(id)", "(run declare -A m=[  <'k'>=v ] n=$( (run id);));"),
    ("[[ $x =~ ^(a|b c)[[:space:]]+$ && ! -f y || ( a < b ) ]]", "(test ${x} `=~ ^(a|b c)[[:space:]]+$ `&& `! `-f y `|| `( a `< b `));"),
    ("for ((i=0; i<3; i++)); do echo $i; done", "(count <'i=0'> <' i<3'> <' i++'> do (run echo ${i}););"),
    ("a |& b", "(run a 2>&1) | (run b);"),
    ("echo @(a|$(id)) !(*.o) +([0-9])", "(run echo @(a|$( (run id);)) !(*.o) +([0-9]));"),
    (r"echo `echo \`id\``", "(run echo $( (run echo $( (run id);));));"),
    ("echo ${y:-`whoami`}", "(run echo ${y Use AsNone $( (run whoami);)});"),
    ("coproc NAME { sleep 1; }", "(coproc NAME(group (run sleep 1);));"),
    ("coproc sleep 1", "(coproc (run sleep 1));"),
    ("time -p ! kubectl get pods", "(run kubectl get pods);"),
    ("cat <<-EOF > out⏎⇥a⏎⇥⇥$(id)⏎⇥EOF", r"(run cat <<'a\n'$( (run id);)'\n' >out);"),
    ("cat <<A <<B⏎1⏎A⏎2⏎B⏎ls", r"(run cat <<'1\n' <<'2\n'); (run ls);"),
    ("{rm,-rf,/}", "(run {rm,-rf,/});"),
    ("x=xxrm; ${x:2} -rf /", "(run {x=xxrm}); (run ${x from <'2'>} -rf /);"),
    ("${x/X/} ${x//a/b} ${x/#a/b} ${x/%a} ${x^^} ${x,,[a-z]} ${x~}", "(run ${x / X by } ${x // a by b} ${x /# a by b} ${x /% a by } ${x ^^ } ${x ,, [a-z]} ${x ~ });"),
    ("${!x} ${!x@} ${!x*} ${!x[@]} ${!x@Q} ${#} ${##} ${#x} ${#x[@]} ${@:2} ${x@P} ${x: -1:2} ${!} ${!#} ${#-}", "(run ${!x} ${!x names} ${!x names} ${!x <'@'> keys} ${!x @Q} ${#} ${# length} ${x length} ${x <'@'> length} ${@ from <'2'>} ${x @P} ${x from <' -1'> <'2'>} ${!} ${!#} ${- length});"),
    (r#"${x:=a} ${x=a} ${x:?a} ${x?a} ${x:+a} ${x+a} ${x#a} ${x##a} ${x%a} ${x%%"a"*} ${x:-"a b"'c'}"#, r#"(run ${x Assign AsNone a} ${x Assign AsValue a} ${x Fail AsNone a} ${x Fail AsValue a} ${x Instead AsNone a} ${x Instead AsValue a} ${x # a} ${x ## a} ${x % a} ${x %% "'a'"*} ${x Use AsNone "'a b'"'c'});"#),
    (r#""${x:-a b}" "${x%.*}" "${x:-"y z"}" "${x:-'y'}" "$x[1]" "$" "a$" "\a\$\"\\""#, r#"(run "${x Use AsNone 'a b'}" "${x % .*}" "${x Use AsNone "'y z'"}" "${x Use AsNone '\'y\''}" "${x}'[1]'" "'$'" "'a$'" "'\\a$\"\\'");"#),
    ("$1 $10 ${10} $@ $* $# $? $- $$ $! $ $%", "(run ${1} ${1}0 ${10} ${@} ${*} ${#} ${?} ${-} ${$} ${!} $ $%);"),
    ("echo $((1 + $(id))) $[ x[1] ] $((echo a); (echo b))", "(run echo $ <'1 + '$( (run id);)> $ <' x[1] '> $( (sub (run echo a);); (sub (run echo b););));"),
    ("((echo a); echo b)", "(sub (sub (run echo a);); (run echo b););"),
    ("((i++))", "(let <'i++'>);"),
    ("(( x = y[$(id)] ))", "(let <' x = y['$( (run id);)'] '>);"),
    ("if a; then b; elif c; then d; else e; fi", "(if (run a); then (run b); (run c); then (run d); else (run e););"),
    ("while a; do b; done; until a; do b; done &", "(while (run a); do (run b);); (while (run a); do (run b);) &"),
    (r#"for x in a "b c" $d; do e; done"#, r#"(for x in a "'b c'" ${d} do (run e););"#),
    ("for x do a; done", "(for x do (run a););"),
    ("for x; { a; }", "(for x do (run a););"),
    ("select x in a b; do c; done", "(for x in a b do (run c););"),
    ("case $x in a|b) c;; (d) e;& *) f;;& esac", "(case ${x} [ a b ] (run c); [ d ] (run e); [ * ] (run f););"),
    ("case x in esac", "(case x);"),
    ("case in in in) a;; esac", "(case in [ in ] (run a););"),
    ("f() { a; }", "(function f (group (run a);));"),
    ("function f { a; }", "(function f (group (run a);));"),
    ("function f() ( a )", "(function f (sub (run a);));"),
    ("f () if a; then b; fi > out", "(function f (if (run a); then (run b); >out));"),
    ("my-func.x() { a; }", "(function my-func.x (group (run a);));"),
    ("{ a; } > out 2>&1 < in", "(group (run a); >out 2>&1 <in);"),
    ("(a; b) | c", "(sub (run a); (run b);) | (run c);"),
    ("a && b || c", "(run a) && (run b) || (run c);"),
    ("a & b", "(run a) & (run b);"),
    ("! a", "(run a);"),
    ("echo if then { } ! in [[ done", "(run echo if then { } ! in [[ done);"),
    ("a # b; c⏎d", "(run a); (run d);"),
    ("a#b", "(run a#b);"),
    (r"echo a\⏎b", "(run echo ab);"),
    (r#"e\⏎cho $\⏎(id) "$\⏎x" a &\⏎& b"#, r#"(run echo $( (run id);) "${x}" a) && (run b);"#),
    (r"i\⏎f a; t\⏎hen b; fi", "(if (run a); then (run b););"),
    ("a 2>&1 >&2 >&- <&- 3<&4- {fd}>x {fd}>&- 2> y <>z >|w >>v &>u &>>t <<<s >&r", "(run a 2>&1 >&2 >&- <&- 3<&4- {fd}>x {fd}>&- 2>y <>z >|w >>v &>u &>>t <<<s >&r);"),
    ("2>x a", "(run a 2>x);"),
    (r#"echo 2 >x a2>y "2">z"#, r#"(run echo 2 a2 "'2'" >x >y >z);"#),
    ("x=1 y=$z", "(run {x=1} {y=${z}});"),
    (r#"$"hello $x""#, r#"(run "'hello '${x}");"#),
    (r#"echo 'a'"b"c\d$'e'"#, r#"(run echo 'a'"'b'"c'de');"#),
    ("a <<'E'⏎$(no)⏎E", r"(run a <<'$(no)\n');"),
    (r#"a <<"E"⏎`no`⏎E"#, r"(run a <<'`no`\n');"),
    (r"a <<\E⏎$no⏎E", r"(run a <<'$no\n');"),
    (r#"a <<E⏎\$no $(yes) `yes` \`no\` "q" 'q'⏎E"#, r#"(run a <<'$no '$( (run yes);)' '$( (run yes);)' `no` \"q\" \'q\'\n');"#),
    ("f() { cat <<E⏎x⏎E⏎}", r"(function f (group (run cat <<'x\n');));"),
    ("a <<E && b⏎x⏎E", r"(run a <<'x\n') && (run b);"),
    ("a | b <<E |⏎x⏎E⏎c", r"(run a) | (run b <<'x\n') | (run c);"),
    ("{ { a; } }", "(group (group (run a);););"),
    ("if { a; } then { b; } fi", "(if (group (run a);); then (group (run b);););"),
    ("time", "(run);"),
    ("a | time b", "(run a) | (run time b);"),
    ("a; # c", "(run a);"),
    ("⏎⏎a⏎⏎", "(run a);"),
    ("!x", "(run !x);"),
    ("ls *.[ch] ~/x ?", "(run ls *.[ch] ~/x ?);"),
    ("r[m] a", "(run r[m] a);"),
    (r#"echo "${a[$(id)]}" ${a["x"]} ${a[@]}"#, r#"(run echo "${a <$( (run id);)>}" ${a <'x'>} ${a <'@'>});"#),
    ("echo ${x:-<(id)} ${x:-${y:-$(id)}}", "(run echo ${x Use AsNone <( (run id);)} ${x Use AsNone ${y Use AsNone $( (run id);)}});"),
    (r#"echo "`echo \"hi\"`""#, r#"(run echo "$( (run echo "'hi'");)");"#),
    (r#"echo "it's ${x#'a'}""#, r#"(run echo "'it\'s '${x # 'a'}");"#),
    ("[ a = b ]", "(run [ a = b ]);"),
];

#[rustfmt::skip]
const REFUSED: &[(&str, &str)] = &[
    (r#"echo "a"#, "a double quote that is not closed"),
    ("echo 'a", "a single quote that is not closed"),
    ("if a; then b", "the text ends in the middle"),
    ("echo $(a", "a substitution that is not closed"),
    ("echo `a", "a backquote that is not closed"),
    ("echo ${a", "the text ends in the middle"),
    ("(a", "a subshell that is not closed"),
    ("a )", "not what a shell's grammar has here"),
    ("a; }", "not what a shell's grammar has here"),
    (";", "not what a shell's grammar has here"),
    ("a ;; b", "not what a shell's grammar has here"),
    ("a &&", "the text ends in the middle"),
    ("a | |  b", "not"),
    ("()", "not"),
    ("{ }", "not"),
    ("if ; then a; fi", "not"),
    ("<<E$[⇥⇥", "a here-document's end that looks expanded"),
    ("<<E$(⇥⇥", "a here-document's end that looks expanded"),
    ("cat <<E⏎a", "a here-document that does not end"),
    ("cat <<E", "a here-document without a body"),
    ("$(cat <<E)⏎a⏎E", "a here-document without a body"),
    (r#"cat <<E "$(a⏎b)"⏎c⏎E"#, "a line's end inside a line that a here-document waits for"),
    (r"cat <<E⏎foo\⏎E⏎E", "a here-document's end behind a continued line"),
    (r"cat <<E⏎a⏎E\⏎", "a here-document's end on a continued line"),
    (r"echo a\", "a backslash"),
    ("a␍", "a carriage return"),
    ("a␀", "a zero byte"),
    ("a␛", "an escape"),
    (r"echo $'\0'", "zero"),
    (r"echo $'\x'", "digits"),
    ("f() a", "a body"),
    ("!(a)b", "only a redirection"),
    ("if() { a; }", "not"),
    ("echo x=(a)", "not"),
    ("a (b)", "a parenthesis inside"),
    ("f() g() { a; }", "a body"),
    ("a | ! b", "inside a pipeline"),
    ("for 1x in a; do b; done", "no variable"),
    ("for ((a;b)); do c; done", "three"),
    ("${ a; }", "no parameter"),
    ("${x|y}", "does not have"),
    ("${x@Z}", "transformation"),
    (r#""${x:-it's}""#, "may not quote"),
    (r#""${x:-'}'}""#, "may not quote"),
    ("x[a; rm]", "may be a subscript"),
    ("a[$x] b", "may be a subscript"),
    (">&-foo", "right behind"),
    ("?() { a; }", "an empty pattern"),
    ("done", "not"),
    ("then", "not"),
    ("case x in a b) c;; esac", "does not end"),
    ("[[ a", "ends in the middle"),
    ("[[ ]]", "ends in the middle"),
    ("in x", "out of place"),
    ("<() rm", "an empty process"),
];

#[rustfmt::skip]
const POSIX: &[(&str, &str)] = &[
    ("((rm -rf /))", "(sub (sub (run rm -rf /);););"),
    ("[[ a && rm ]]", "(run [[ a) && (run rm ]]);"),
    (r"a $'x\'; rm #'", r"(run a $'x\\'); (run rm);"),
    ("a &> b", "(run a) & (run >b);"),
    ("a |& b", "refused: byte 3: not what a shell's grammar has here"),
    ("echo $[1; rm ]", "(run echo $[1); (run rm ]);"),
    ("a[1; rm ]=x", "(run a[1); (run rm ]=x);"),
    ("time rm", "(run time rm);"),
    ("function f { rm", "(run function f { rm);"),
    ("{x}>y rm", "(run {x} rm >y);"),
    ("x=(a)", "refused: byte 2: not what a shell's grammar has here"),
    ("cat <(rm)", "refused: byte 5: not what a shell's grammar has here"),
];
