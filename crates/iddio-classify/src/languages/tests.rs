//! The readers of small languages, each by a table: what a program runs, reads and writes.

use super::effect::Effect;

/// Writes effects down in short: `T3`, `sh: text`, `Write /path`.
fn short(effects: &[Effect]) -> String {
    let mut parts: Vec<_> = effects
        .iter()
        .map(|effect| match effect {
            Effect::File(path, usage) => format!("{usage:?} {}", path.as_str().unwrap_or("?")),
            Effect::Raise(tier, ..) => format!("T{}", tier.number()),
            Effect::Shell(text) => format!("sh: {}", String::from_utf8_lossy(text)),
        })
        .collect();
    parts.dedup();
    parts.join(", ")
}

fn check(read: fn(&[u8]) -> Vec<Effect>, table: &[(&str, &str)]) {
    let wrong: Vec<_> = table
        .iter()
        .filter_map(|(program, expected)| {
            let found = short(&read(program.as_bytes()));
            (found != *expected).then(|| format!("`{program}`: `{found}`, not `{expected}`"))
        })
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_sed_script_that_edits_and_prints_does_nothing_else() {
    let table = [
        "",
        "p",
        "s/a/b/",
        "s/a/b/g",
        "s|/etc/e|/w|g;p",
        "1,10p",
        "$d",
        "1!G;h;$!d",
        "/start/,/end/p",
        "/e w x/d",
        "s/e/w/;s/w/e/",
        ":a;N;$!ba;s/\\n/ /g",
        "y/abc/wer/",
        "1~2d",
        "0~3p",
        "/x/I,+3d",
        "s/[/]/x/",
        "s/[^/]*$//",
        "s/\\(.*\\)e/\\1/p",
        "/^#/d;/^$/d",
        "{p;p}",
        "1{p;p;}",
        "/a/!{s/x/y/\np\n}",
        "a hello e id",
        "i\\\nw /etc/passwd\\\ne id",
        "$a\\\ntext",
        "c\\text",
        "# e id\np",
        "s/a/b/2gI",
        "\\,a,p",
        "l 5;p",
        "q5",
        "Q",
        "=",
        "n;d",
        "$!N;P;D",
        "s/x/&\\\ne/",
        "s/a/b/ ; s/c/d/",
        "s/a/b/w /dev/stdout",
        "s,/,_,g",
        "s#a#e#",
        "5q",
        "/foo/{n;s/bar/baz/;}",
        "s/.*\"tag\": \"\\([^\"]*\\)\".*/\\1/p",
        "/[[:space:]]e/d",
        "F;z",
        "s/a/\\n/;ta;:a",
        "2,4 ! d",
        "s/[]e]/w/g",
        "1i header",
        "s/\\//e/g",
        "/a/,/b/{//!d}",
        "x;p;x",
    ];
    check(super::sed::read, &table.map(|script| (script, "")));
}

#[test]
fn a_sed_script_that_runs_reads_or_writes_says_so() {
    let table = [
        ("1e id", "T3, sh: id"),
        ("e", "T4"),
        ("p;e", "T4"),
        ("e rm -rf /", "T3, sh: rm -rf /"),
        ("/x/{e id\n}", "T3, sh: id"),
        ("s/.*/id/e", "T4"),
        ("s/a/b/ge", "T4"),
        ("s/a/b/pe;p", "T4"),
        ("s/a/b/ e", "T4"),
        ("s/x/y/;1e rm -rf /", "T3, sh: rm -rf /"),
        ("w /etc/cron.d/x", "Write /etc/cron.d/x"),
        ("w/etc/cron.d/x", "Write /etc/cron.d/x"),
        ("W out;p", "Write out;p"),
        ("s/a/b/gw /etc/passwd", "Write /etc/passwd"),
        ("$!w f}\np", "Write f}"),
        ("r /etc/shadow", "Read /etc/shadow"),
        ("R f", "Read f"),
        ("1e a\\\nb", "T4"),
        ("a\\\nx\ne id", "T3, sh: id"),
        ("a x\ne id", "T3, sh: id"),
        ("y/a/b/;e id", "T3, sh: id"),
        (":e\ne id", "T3, sh: id"),
        ("be;e id", "T3, sh: id"),
        ("s[a[b[", "T3"),
        ("a\\ x\ne id", "T4"),
        ("{p", "T3"),
        ("}", "T3"),
        ("k", "T3"),
        ("s/a/b", "T3"),
        ("s/a/b/q;e id", "T4"),
    ];
    check(super::sed::read, &table);
}

#[test]
fn an_awk_program_that_looks_and_prints_does_nothing_else() {
    let table = [
        "",
        "1",
        "{print $1}",
        "NR==1{print;exit}",
        "/error/{c++} END{print c+0}",
        "$1 > 5 {print $2}",
        "{s+=$1} END{print s/NR}",
        "BEGIN{FS=\":\"} $3>=1000 && $3<65534 {print $1, $6}",
        "!seen[$0]++",
        "{printf \"%s %5.2f\\n\", $1, $2/1024}",
        "/system\\(|getline/ {print \"system(1) | x\"}",
        "{print ($1 > 5)}",
        "{print $1 > \"/dev/stderr\"}",
        "# system(\"id\")\n{print}",
        "/a\\/b/",
        "$0 ~ /[|>]/ {n++}",
        "{gsub(/\"/,\"\");print}",
        "{a[$1]=a[$1] \" \" $2} END{for(k in a) print k, a[k]}",
        "function f(x){return x*2}{print f($1)}",
        "NF",
        "{$1=\"\";print substr($0,2)}",
        "BEGIN{while((getline line) > 0) n++; print n}",
        "{ if ($1 ~ /x/) print \"y\"; else print \"n\" }",
        "{print (a)/b}",
        "{x=NF/2; y=x/3}",
        "{if (/a/ || /b/) print}",
        "{print $NF/2, $(NF-1)/3}",
        "BEGIN{printf \"a\\tb\\n\"}",
        "{print length($0)}",
        "length > 80",
        "{print a[1]/2}",
        "{print x++ / 2}",
        "{print a,\n b}",
        "$1==\"x\" || $2==\"y\"",
        "{ print $1 == 2 ? \"a\" : \"b\" }",
        "BEGIN{print ENVIRON[\"HOME\"]}",
        "BEGIN { \"-\" }",
        "{print -1; print !x}",
        "{a = a \\\n b}",
        "/=/{print}",
        "{x /= 2}",
        "END{print NR}",
        "{print > \"/dev/stdout\"}",
        "NR%2",
        "{print toupper($1) \"\\033[0m\"}",
        "{while (i<3) i++; do i--; while (i>0)}",
        "{ n = split($0, f, /[ ,]/); print f[n] }",
        "$2 ~ \"^a\\.b\" {print}",
        "{print \"it\\x27s\"}",
        "/start/,/end/",
        "{print > \"/dev/null\"}",
    ];
    check(super::awk::read, &table.map(|program| (program, "")));
}

#[test]
fn an_awk_program_that_runs_reads_or_writes_says_so() {
    let table = [
        ("BEGIN{system(\"id\")}", "T3, sh: id"),
        ("BEGIN{system (\"rm -rf /\")}", "T3, sh: rm -rf /"),
        ("BEGIN{system(\"\\162m -rf /\")}", "T3, sh: rm -rf /"),
        ("BEGIN{system(\"r\\x6d -rf /\")}", "T3, sh: rm -rf /"),
        ("{system($0)}", "T4"),
        ("{system(\"rm \" $1)}", "T4"),
        ("BEGIN{system(\"a\\.b\")}", "T4"),
        ("{print | \"sh\"}", "T3, sh: sh"),
        ("{print $1 | \"sort -u\"; x=1}", "T3, sh: sort -u"),
        ("{print | c}", "T4"),
        ("BEGIN{\"date\" | getline d; print d}", "T3, sh: date"),
        ("BEGIN{while ((\"ls\" | getline f) > 0) print f}", "T3, sh: ls"),
        ("BEGIN{\"rm \" \"-rf /\" | getline}", "T4"),
        ("BEGIN{c=\"id\"; c | getline}", "T4"),
        ("BEGIN{\"id\" |& getline}", "T3, sh: id"),
        ("BEGIN{print \"x\" |& \"id\"}", "T3, sh: id"),
        ("BEGIN{s=\"/inet/tcp/0/h/1\"; s |& getline}", "T4"),
        ("BEGIN{\"/inet/tcp/0/h/1\" |& getline}", "T4"),
        ("{print > \"/etc/cron.d/x\"}", "Write /etc/cron.d/x"),
        ("{print $1, $2 >> \"log\"}", "Append log"),
        ("{printf(\"%s\", $1) > \"out\"}", "Write out"),
        ("{print a,\n b > \"out\"}", "Write out"),
        ("{print > $1\".txt\"}", "T3"),
        ("{print > \"a\" \"b\"}", "T3"),
        ("{print a[x > y] > \"out\"}", "Write out"),
        ("{while ((getline l < \"/etc/shadow\") > 0) print l}", "Read /etc/shadow"),
        ("{getline x < f}", "T3"),
        ("BEGIN{getline < \"f\"}", "Read f"),
        ("@load \"filefuncs\"\n{}", "T3"),
        ("@include \"x\"\n{}", "T3"),
        ("BEGIN{f=\"system\"; @f(\"id\")}", "T4"),
        ("BEGIN{for (k in ENVIRON) print k, ENVIRON[k]}", "T3"),
        ("BEGIN{print ENVIRON[\"AWS_SECRET_ACCESS_KEY\"]}", "T3"),
        ("BEGIN{ARGV[1]=\"/etc/shadow\"; ARGC=2} {print}", "T3"),
        ("if (1) /\"/; {system(\"id\")} /\"/", "T3, sh: id"),
        ("{x = length / 1; system(\"id\") / 1}", "T4"),
        ("{case /1; system(\"id\"); x=1/ 1}", "T4"),
        ("/[/]/; system(\"id\")", "T4"),
        ("{print \"", "T3"),
        ("{system(\"id", "T4"),
        ("{print `id`}", "T3"),
        ("/a/{print}\n#\n{print|\"id\"}", "T3, sh: id"),
    ];
    check(super::awk::read, &table);
}

#[test]
fn commands_of_an_editor_that_edit_do_nothing_else() {
    let table = [
        "",
        "1,$p",
        "%s/a/b/g",
        "g/x/d",
        "/x/d",
        "a\n!rm -rf /\n.\nq",
        "1i\nw /etc/x",
        "q!",
        "wq",
        ":%s/a/b/e",
        "$d\nw",
        "=",
        "1m$",
        "/a/,/b/d",
        "s/!/x/",
    ];
    check(super::ed::read, &table.map(|commands| (commands, "")));
}

#[test]
fn commands_of_an_editor_that_run_read_or_write_say_so() {
    let table = [
        ("!rm -rf /srv/data", "T3, sh: rm -rf /srv/data"),
        (":!id", "T3, sh: id"),
        ("1,$!sort", "T3, sh: sort"),
        ("r !id", "T3, sh: id"),
        ("w !sh", "T3, sh: sh"),
        ("e !id", "T3, sh: id"),
        ("r /etc/shadow", "Read /etc/shadow"),
        ("w /etc/cron.d/x", "Write /etc/cron.d/x"),
        ("a\nx\n.\n!id", "T3, sh: id"),
        ("g/x/!id", "T3, sh: id"),
        ("!", "T4"),
        ("!!", "T4"),
        ("!cat %", "T4"),
        ("call system('id')", "T4"),
        ("s/x/\\=system('id')/", "T4"),
        ("d | !id", "T3, sh: id"),
        ("set nu", "T3"),
        ("py3 import os", "T4"),
        ("a\nx\n.\nfoo", "T3"),
    ];
    check(super::ed::read, &table);
}

#[test]
fn no_bytes_make_a_reader_fail_or_take_long() {
    let parts: [&[u8]; 12] =
        [b"{", b"s/", b"/", b"[", b"\"", b"\\", b"(", b"|", b"\n", b"e", b"\xff", b"a\\\n"];
    for read in [super::sed::read, super::awk::read, super::ed::read] {
        for first in parts {
            for second in parts {
                let _effects = read(&[first, second].concat().repeat(5_000));
            }
        }
    }
}

/// Something that runs or writes, put anywhere between the commands of a harmless program.
#[test]
fn what_runs_is_found_wherever_it_is_put() {
    let sed = ["p", "s/a/b/g", "/x/d", "y/ab/cd/", "1,3{p\n}", "# note", "a text", ":l", "$!N"];
    let awk = ["{print $1}", "/a/{n++}", "$1>2", "END{print n/2}", "# note", "!s[$0]++"];
    let runs = ["e id", "w /etc/cron.d/x", "s/a/b/e", "1!e id", "/x/{e id\n}"];
    let calls = [
        "{system(\"id\")}",
        "{print|\"id\"}",
        "BEGIN{\"id\"|getline}",
        "{print>\"/etc/cron.d/x\"}",
    ];
    let mut seen = 0;
    for (harmless, harmful, read) in [
        (&sed[..], &runs[..], super::sed::read as fn(&[u8]) -> Vec<Effect>),
        (&awk[..], &calls[..], super::awk::read),
    ] {
        for before in harmless {
            for between in harmless {
                let plain = format!("{before}\n{between}");
                assert_eq!(short(&read(plain.as_bytes())), "", "{plain}");
                for run in harmful {
                    for program in [
                        format!("{run}\n{before}\n{between}"),
                        format!("{before}\n{run}\n{between}"),
                        format!("{before}\n{between}\n{run}"),
                    ] {
                        seen += 1;
                        assert_ne!(short(&read(program.as_bytes())), "", "{program}");
                    }
                }
            }
        }
    }
    assert!(1_000 < seen, "only {seen}");
}
