//! The invariants I0, I3, I4, I5 and I7 over every example of every catalog: what a tool obeys besides
//! its arguments, what nobody knows, what is computed, what hides, and what variables bend.
//!
//! I1, I2, I6 and I8 are held by `shell_properties.rs`; I9 and I10 are about what is run and shown, and
//! are held where that is done, by the tests of the core's digests and of the approvers' views.

use std::sync::LazyLock;

use iddio_classify::{
    catalog::Catalog,
    command::{Ambient, Inner, judge, shell_line},
};
use iddio_core::{text::RawText, tier::Tier};
use proptest::prelude::*;

/// Examples whose words mean themselves to a shell.
static EXAMPLES: LazyLock<Vec<Vec<String>>> = LazyLock::new(|| {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./:@%+,".contains(&byte);
    let means_itself = |word: &String| !word.is_empty() && word.bytes().all(plain);
    Catalog::sources()
        .flat_map(|(_, source)| Catalog::samples(source).unwrap())
        .map(|sample| sample.argv)
        .filter(|argv| argv.iter().all(means_itself))
        .collect()
});

/// Those of tools that find more by themselves, or read files that a run of them binds.
static PREPARED: LazyLock<Vec<Vec<String>>> = LazyLock::new(|| {
    let is_prepared = |words: &&Vec<String>| {
        let plan = judge(&raw(words), &Ambient::default()).plan;
        !plan.neutralise.is_empty() || !plan.inputs.is_empty()
    };
    EXAMPLES.iter().filter(is_prepared).cloned().collect()
});

fn raw(words: &[String]) -> Vec<RawText> {
    words.iter().map(|word| RawText::from(word.as_str())).collect()
}

fn example() -> impl Strategy<Value = Vec<String>> {
    prop::sample::select(EXAMPLES.as_slice())
}

fn of_line(line: &str) -> Tier {
    shell_line(&RawText::from(line), &Ambient::default()).tier()
}

fn of_words(words: &[String], inner: Inner) -> Tier {
    judge(&raw(words), &Ambient { inner, ..Ambient::default() }).tier()
}

proptest! {
    // I0.
    #[test]
    fn a_tool_that_obeys_more_than_its_words_is_sensitive_where_nobody_prepares_it(
        words in prop::sample::select(PREPARED.as_slice()),
        wrapper in prop::sample::select(vec!["env", "nice", "timeout 5"]),
    ) {
        let wrapper = wrapper.split(' ').map(str::to_owned);
        let wrapped: Vec<_> = wrapper.chain(words).collect();
        prop_assert!(of_words(&wrapped, Inner::Unprepared) >= Tier::Sensitive, "{wrapped:?}");
    }

    // I3.
    #[test]
    fn a_program_that_nobody_knows_is_sensitive_whatever_its_words(
        name in "zq[a-z]{6,12}",
        rest in example(),
        way in 0_usize..3,
    ) {
        prop_assume!(Catalog::for_program(&name).is_none());
        let rest = rest.get(1..).unwrap_or_default().join(" ");
        let line = match way {
            0 => format!("{name} {rest}"),
            1 => format!("/opt/{name} {rest}"),
            _ => format!("./{name} --help {rest}"),
        };
        prop_assert!(of_line(&line) >= Tier::Sensitive, "{line}");
    }

    // I4.
    #[test]
    fn a_program_whose_name_is_computed_is_sensitive_and_one_that_folds_is_what_it_is(
        words in example(),
        way in 0_usize..6,
    ) {
        let (name, rest) = words.split_first().unwrap();
        let rest = rest.join(" ");
        let open = match way {
            0 => format!("$TOOL {rest}"),
            1 => format!("\"${{TOOL:-{name}}}\" {rest}"),
            2 => format!("$(cat tool.txt) {rest}"),
            3 => format!("`cat tool.txt` {rest}"),
            4 => format!("{name}$SUFFIX {rest}"),
            _ => format!("\"$1\" {rest}"),
        };
        prop_assert!(of_line(&open) >= Tier::Sensitive, "{open}");
        // Written out it is a word of the shell's own, and no program.
        prop_assume!(name != "time");
        let line = words.join(" ");
        let folds = format!("t={name}; $t {rest}");
        prop_assert!(of_line(&folds) >= of_line(&line), "{folds}");
    }

    // I5.
    #[test]
    fn a_character_that_hides_is_break_glass_wherever_it_stands(
        words in example(),
        place in 0_usize..200,
        hidden in prop::sample::select(HIDDEN),
    ) {
        let mut line = words.join(" ");
        // Every byte of it is a character.
        line.insert(place % (line.len() + 1), hidden);
        prop_assert_eq!(of_line(&line), Tier::BreakGlass, "{:?}", line);
    }

    // I7.
    #[test]
    fn a_variable_that_shapes_what_runs_is_sensitive_before_every_command(
        words in example(),
        name in prop::sample::select(SHAPING),
    ) {
        let line = words.join(" ");
        for line in [format!("{name}=x {line}"), format!("env {name}=x {line}"), format!("export {name}=x; {line}")] {
            prop_assert!(of_line(&line) >= Tier::Sensitive, "{line}");
        }
    }
}

/// Control characters, blanks that are none of a shell's, and what changes the order of what is shown.
const HIDDEN: &[char] = &[
    '\0',
    '\u{1}',
    '\u{7}',
    '\u{8}',
    '\u{b}',
    '\u{c}',
    '\u{1b}',
    '\u{7f}',
    '\u{85}',
    '\u{9b}',
    '\u{a0}',
    '\u{2003}',
    '\u{200b}',
    '\u{200d}',
    '\u{2028}',
    '\u{202e}',
    '\u{2066}',
    '\u{3000}',
    '\u{feff}',
    '\u{e0041}',
];

/// Variables that make a program run or load something else.
const SHAPING: &[&str] = &[
    "LD_PRELOAD",
    "LD_LIBRARY_PATH",
    "LD_AUDIT",
    "PATH",
    "BASH_ENV",
    "ENV",
    "GIT_SSH_COMMAND",
    "GIT_PAGER",
    "PAGER",
    "MANPAGER",
    "EDITOR",
    "VISUAL",
    "LESSOPEN",
    "PYTHONPATH",
    "PYTHONSTARTUP",
    "PERL5OPT",
    "PERL5LIB",
    "NODE_OPTIONS",
    "KUBECTL_EXTERNAL_DIFF",
    "TF_CLI_ARGS",
    "TF_REATTACH_PROVIDERS",
    "HELM_PLUGINS",
    "AWS_DATA_PATH",
    "GCONV_PATH",
];
