//! Texts as long as told that cost a reader the most: the same piece again and again, one thing that
//! never ends, and nesting as deep as it may be.

/// Returns every family's text of about `bytes` bytes, each with its name.
pub(crate) fn families(bytes: usize) -> Vec<(&'static str, Vec<u8>)> {
    let mut texts: Vec<_> = REPEATED
        .iter()
        .map(|(name, piece)| (*name, piece.repeat(bytes / piece.len()).into_bytes()))
        .collect();
    texts.extend(NESTED.iter().map(|(name, open, levels, middle, close)| {
        let outside = (open.len() + close.len()) * levels;
        let times = bytes.saturating_sub(outside) / middle.len();
        let text = [open.repeat(*levels), middle.repeat(times), close.repeat(*levels)].concat();
        (*name, text.into_bytes())
    }));
    texts.extend(NUMBERED.iter().map(|(name, piece)| {
        let pieces = (0..bytes).map(|number| piece.replace('#', &number.to_string()));
        let mut text = String::new();
        for piece in pieces {
            if bytes < text.len() + piece.len() {
                break;
            }
            text.push_str(&piece);
        }
        (*name, text.into_bytes())
    }));
    texts
}

#[rustfmt::skip]
const REPEATED: &[(&str, &str)] = &[
    ("letters", "a"),
    ("words", "a "),
    ("lists", "a;"),
    ("lines", "a\n"),
    ("pipes", "a|"),
    ("closed pipes", ":|:;"),
    ("conjunctions", "a&&"),
    ("continuations", "\\\n"),
    ("continued words", "i\\\nf"),
    ("quotes", "'a'\"b\""),
    ("parameters", "$a"),
    ("braces", "${a}"),
    ("open braces", "${a:-"),
    ("open lengths", "${#a"),
    ("substitutions", "$(a)"),
    ("open substitutions", "$("),
    ("backquotes", "`a`"),
    ("open quotes", "\"$("),
    ("subshells", "(a);"),
    ("open arithmetic", "(("),
    ("arithmetic", "((a));"),
    ("ambiguous arithmetic", "((a) );"),
    ("expanded arithmetic", "$((a))"),
    ("brackets", "a["),
    ("closed brackets", "a[b]"),
    ("subscripts", "a[b]=c "),
    ("array elements", "a=([b] [c]=d);"),
    ("open arrays", "a=("),
    ("redirections", "<a "),
    ("operators", ">"),
    ("descriptors", "{a}>b "),
    ("documents", "a <<E\nE\n"),
    ("documents on a line", "<<E "),
    ("quoted documents", "a <<'E'\nb\nE\n"),
    ("continued documents", "a <<E\nb\\\nc\nE\n"),
    ("open documents", "$(<<E\n"),
    ("process substitutions", "<(a)"),
    ("tests", "[[ a ]];"),
    ("open tests", "[[ "),
    ("conditions", "if a;then b;fi;"),
    ("open conditions", "if "),
    ("functions", "f() { a; };"),
    ("called functions", "f() { f; };f;"),
    ("cases", "case a in b)c;;esac;"),
    ("patterns", "@("),
    ("closed patterns", "@(a)"),
    ("brace expansion", "{a,b}"),
    ("open brace expansion", "{a,"),
    ("comments", "#\n"),
    ("coprocesses", "coproc "),
    ("bangs", "! "),
    ("times", "time "),
    ("decoded quotes", "$'\\x61'"),
    ("assignments", "a=$a$a;"),
    ("appended assignments", "a+=$a;"),
    ("assigned names", "a=b "),
    ("declarations", "declare a=(b);"),
    ("evaluations", "eval a;"),
    ("evaluated parameters", "a='eval $a';eval $a;"),
    ("shells", "sh -c a;"),
    ("traps", "trap a EXIT;"),
    ("directories", "cd a;"),
    ("aliases", "alias a=b;a;"),
    ("loops", "for a in b c;do d;done;"),
    ("removals", "rm -rf a;"),
    ("finds", "find . -exec a {} \\;;"),
    ("stars", "*"),
    ("globs", "* ? [a] "),
    ("slashes", "cat /;"),
    ("dots", "../"),
    ("arguments", "rm a "),
    ("escapes", "\\a"),
    ("dashes", "-"),
    ("options", "ls -a;"),
];

#[rustfmt::skip]
const NESTED: &[(&str, &str, usize, &str, &str)] = &[
    ("deep substitutions", "$(", 62, "a ", ")"),
    ("deep quotes", "\"$(", 30, "a ", ")\""),
    ("deep arithmetic", "((", 30, "a ", "))"),
    ("deep ambiguity", "((", 30, "a ", ") )"),
    ("deep defaults", "${a:-", 60, "b", "}"),
    ("deep quoted defaults", "\"${a:-", 30, "b", "}\""),
    ("deep groups", "{ ", 60, "a;", "}; "),
    ("deep functions", "f() { ", 28, "a;", "}; f; "),
    ("deep conditions", "if ", 60, "a;", "then b;fi;"),
    ("deep loops", "for a in b c d; do ", 60, "e;", "done;"),
    ("deep whiles", "while a; do ", 60, "e;", "done;"),
    ("deep cases", "case a in b) ", 60, "c;", ";; esac;"),
    ("deep processes", "cat <(", 60, "a ", ")"),
    ("deep shells", "sh -c ", 60, "a ", ""),
    ("deep evaluations", "eval ", 60, "a;", ""),
    ("deep wrappers", "sudo ", 60, "a ", ""),
    ("an escaped backquote", "`", 1, "\\\\\\\\", "`"),
    ("a document", "cat <<E\n", 1, "$(a)\n", "\nE\n"),
    ("a document of quotes", "cat <<'E'\n", 1, "E \n", "\nE\n"),
    ("a document with tabs", "cat <<-E\n", 1, "\ta\n", "\nE\n"),
    ("a quoted program", "sh -c '", 1, "a;", "'"),
    ("an evaluated program", "eval '", 1, "a;", "'"),
    ("a trapped program", "trap '", 1, "a;", "' EXIT"),
    ("a program from a document", "sh <<E\n", 1, "a;\n", "\nE\n"),
    ("a remote program", "ssh h '", 1, "a;", "'"),
    ("a program of awk", "awk '", 1, "{a}", "'"),
    ("a query", "psql -c '", 1, "a;", "'"),
    ("a long query", "psql -c 'select a", 1, ",a", "'"),
    ("a big input", "cat <<E | while read a; do b; done\n", 1, "aaaaaaa\n", "\nE\n"),
    ("an input for many", "{ ", 1, "a;", "} <<E\nb\nE\n"),
    ("a subscript", "a[", 1, "b+", "]=c"),
    ("an array", "a=(", 1, "b ", ")"),
    ("a loop's words", "for a in ", 1, "b ", "; do rm $a; done"),
    ("a function called often", "f() { rm a; };", 1, "f;", ""),
    ("a long function called twice", "f() { ", 1, "rm a;", "}; f; f"),
];

/// The same with a number in place of `#`: nothing in it stands twice.
#[rustfmt::skip]
const NUMBERED: &[(&str, &str)] = &[
    ("different commands", "a#;"),
    ("different removals", "rm -rf a#;"),
    ("different files", "./a#;"),
    ("different system files", "cat /etc/a#;"),
    ("different variables", "a#=b;"),
    ("different values", "a=#;"),
    ("different routes", "AWS_A#=b;"),
    ("different exports", "export A#=b;"),
    ("different settings", "PATH=# a;"),
    ("different functions", "f#(){ a#;};f#;"),
    ("different aliases", "alias a#=b;a#;"),
    ("different outputs", "a>b#;"),
    ("different inputs", "a<b#;"),
    ("different directories", "cd a#;b;"),
    ("different shells", "sh -c 'a#;b#';"),
    ("different queries", "psql -c 'select #';"),
    ("different programs of awk", "awk '{print $#}';"),
    ("different pods", "kubectl get pod a#;"),
    ("different commits", "git commit -m #;"),
    ("different instances", "aws ec2 describe-instances --instance-ids #;"),
    ("different wrappers", "sudo env a#;"),
    ("different tests", "[ a# -eq # ];"),
    ("different subscripts", "a[#]=#;"),
    ("different appendices", "a+=#;"),
    ("different loops", "for a in #;do $a;done;"),
    ("different substitutions", "a$(b#);"),
    ("different evaluations", "eval a#;"),
    ("different traps", "trap a# EXIT;"),
    ("different documents", "a<<E#\nb\nE#\n"),
];
