//! The catalog format, by the keys that decide most: `also`, `[[many]]`, `[flags.front]`, files that
//! are copied, what is sent, and values that are known in part.
//!
//! Each test judges lines of a catalog that stands here, so that no change of a real tool's catalog
//! changes what is tested.

use std::sync::Arc;

use iddio_classify::{
    catalog::{Added, Catalog, Weight},
    command::{Ambient, Judged, judge_by, shell_line},
};
use iddio_core::{
    text::RawText,
    tier::{Class, Tier},
};

use crate::kit::raw;

/// Judges a line of words parted by spaces by a catalog alone.
fn by(catalog: &Catalog, text: &str) -> Judged {
    let words: Vec<_> = text.split_whitespace().collect();
    judge_by(catalog, &raw(&words), &Ambient::default())
}

fn tier_by(catalog: &Catalog, text: &str) -> u8 {
    by(catalog, text).tier().number()
}

/// Judges text for a shell where somebody trusts the catalog.
fn in_shell(source: &str, text: &str) -> Judged {
    let added = Added::parse(source, Weight::Replaces).unwrap();
    let ambient = Ambient { catalogs: Arc::new([added]), ..Ambient::default() };
    shell_line(&RawText::from(text), &ambient)
}

/// What every catalog here begins and ends with.
fn catalog(body: &str) -> String {
    format!(
        r#"
name = "valve"
summary = "A valve."
programs = ["valve"]
protocol = "command"
{body}
[[example]]
run = "valve --help"
tier = 0
"#
    )
}

fn valve() -> String {
    catalog(
        r#"
[syntax]
style = "pflag"
bare = { tier = 0, why = "shows help" }

[flags.front]
"--home -c" = { value = "required", tier = 3, why = "takes settings from elsewhere" }
"--version" = { help = true }

[flags.global]
"--help -h" = { help = true }
"--quiet -q" = {}

[flags.looks]
"--colour" = { value = "optional" }

[command.set]
tier = 2
why = "turns it"
args = [{ name = "to", tier = 3, why = "closes it", when = ["closed*"], also = [{ tier = 4, class = "destroy", why = "breaks it", when = ["closed-for-good", "burst"] }] }]
[command.set.flag]
"--method -X" = { value = "required", tier = 2, why = "writes", unless = ["GET", "HEAD"], also = [{ tier = 3, why = "removes", when = ["DELETE"] }, { tier = 4, class = "evasion", why = "goes around", when = ["CONN*"] }] }
"--copies -c" = { value = "required" }
"--loud" = { also = [{ tier = 3, why = "wakes everybody", unless = ["false"] }] }
"--any" = { value = "required", also = [{ tier = 3, why = "whatever it is" }] }

[[many]]
commands = ["status info", "pipe: list show", ": pipe:list pipe:show"]
tier = 0
why = "looks"
flags = ["looks"]

[[many]]
commands = ["pipe: cut", "pipe joint: cut"]
tier = 4
class = "destroy"
why = "cuts it"
"#,
    )
}

fn parsed(source: &str) -> Catalog {
    Catalog::parse(source).unwrap()
}

// --- also ---------------------------------------------------------------------------------------

#[test]
fn an_option_means_several_things_by_its_value_and_the_greatest_counts() {
    let valve = parsed(&valve());
    let table = [
        ("valve set open", 2),
        ("valve set open -X GET", 2),
        ("valve set open -X POST", 2),
        ("valve set open -X DELETE", 3),
        ("valve set open -XDELETE", 3),
        ("valve set open --method=CONNECT", 4),
        ("valve set open -X GET -X CONNECT", 4),
        ("valve set open -X CONNECT -X GET", 4),
        ("valve set open --any x", 3),
        ("valve set open --loud", 3),
        ("valve set open --loud=false", 2),
        ("valve set open --loud=true", 3),
    ];
    for (text, tier) in table {
        assert_eq!(tier_by(&valve, text), tier, "{text}");
    }
    let judged = by(&valve, "valve set open -X CONNECT");
    assert_eq!(judged.operation.native_class(), Class::Evasion);
    let told: Vec<_> = judged.operation.reasons.iter().map(|one| one.text.as_str()).collect();
    assert!(told.contains(&"goes around") && told.contains(&"writes"), "{told:?}");
    assert!(!told.contains(&"removes"), "{told:?}");
}

#[test]
fn an_argument_means_several_things_by_its_value_and_the_greatest_counts() {
    let valve = parsed(&valve());
    let table = [
        ("valve set open", 2),
        ("valve set closed", 3),
        ("valve set closed-today", 3),
        ("valve set closed-for-good", 4),
        ("valve set burst", 4),
        // Only a value that a pattern covers whole.
        ("valve set bursting", 2),
    ];
    for (text, tier) in table {
        assert_eq!(tier_by(&valve, text), tier, "{text}");
    }
    assert_eq!(by(&valve, "valve set burst").operation.native_class(), Class::Destroy);
}

#[test]
fn a_mistake_in_also_is_named() {
    let sound = valve();
    let table = [
        (r#"{ tier = 3, why = "removes","#, r#"{ tier = 4, why = "removes","#, "needs a `class`"),
        (
            r#"{ tier = 3, why = "removes","#,
            r#"{ tier = 3, class = "destroy", why = "removes","#,
            "only tier 4 has a `class`",
        ),
        (r#"{ tier = 3, why = "removes","#, r#"{ tier = 3, why = "","#, "needs a `why`"),
        (r#"{ tier = 3, why = "removes","#, r#"{ tier = 3,"#, "missing field `why`"),
        (r#"{ tier = 3, why = "removes","#, r#"{ why = "removes","#, "missing field `tier`"),
        (r#"when = ["DELETE"]"#, r#"if = ["DELETE"]"#, "unknown field `if`"),
        (
            r#"{ tier = 4, class = "destroy", why = "breaks it","#,
            r#"{ tier = 4, why = "breaks it","#,
            "class",
        ),
    ];
    for (from, to, message) in table {
        assert!(sound.contains(from), "{from}");
        let error = Catalog::parse(&sound.replacen(from, to, 1)).unwrap_err();
        assert!(error.message.contains(message), "{to}: {error}");
        assert!(1 < error.line, "{to}: {error}");
    }
}

// --- many ---------------------------------------------------------------------------------------

#[test]
fn many_commands_mean_the_same_and_take_any_arguments() {
    let valve = parsed(&valve());
    let table = [
        ("valve status", 0),
        ("valve info these three words", 0),
        ("valve pipe list", 0),
        ("valve pipe show 7 --colour=red", 0),
        // Behind a colon, names may hold one.
        ("valve pipe:list", 0),
        ("valve pipe:show 7", 0),
        ("valve pipe cut 7", 4),
        ("valve pipe joint cut 7", 4),
        // Neither their groups nor their neighbours are known by that.
        ("valve pipe bend", 3),
        ("valve pipe joint bend", 3),
        ("valve list", 3),
        ("valve pipe:cut", 3),
        ("valve statu", 3),
        // Their options are those of their set, and of all.
        ("valve status -q", 0),
        ("valve status --color=red", 2),
    ];
    for (text, tier) in table {
        assert_eq!(tier_by(&valve, text), tier, "{text}");
    }
    let judged = by(&valve, "valve pipe joint cut");
    assert_eq!(judged.operation.native_class(), Class::Destroy);
    assert!(judged.operation.reasons.iter().any(|one| one.rule == "valve:pipe joint cut"));
}

#[test]
fn a_mistake_in_many_is_named() {
    let sound = valve();
    let table = [
        (r#"flags = ["looks"]"#, r#"flags = ["sees"]"#, "flag set that is not there"),
        (
            r#"": pipe:list pipe:show""#,
            r#"": pipe:list status""#,
            "`status` has a name that is taken",
        ),
        (r#"["pipe: cut","#, r#"["pipe: cut list","#, "`pipe list` has a name that is taken"),
        (r#"["pipe: cut","#, r#"["pipe: cut", ": set","#, "`set` has a name that is taken"),
        ("class = \"destroy\"\nwhy = \"cuts it\"", "why = \"cuts it\"", "tier 4 needs a `class`"),
        ("tier = 0\nwhy = \"looks\"", "tier = 0\nwhy = \"\"", "needs a `why`"),
        (
            "tier = 0\nwhy = \"looks\"",
            "tier = 0\nargs = []\nwhy = \"looks\"",
            "unknown field `args`",
        ),
    ];
    for (from, to, message) in table {
        assert!(sound.contains(from), "{from}");
        let error = Catalog::parse(&sound.replacen(from, to, 1)).unwrap_err();
        assert!(error.message.contains(message), "{to}: {error}");
    }
}

#[test]
fn lint_knows_which_flag_sets_are_used() {
    let remarks = Catalog::lint(&valve()).unwrap();
    let unused: Vec<_> = remarks.iter().filter(|one| one.message.contains("flag set")).collect();
    assert!(unused.is_empty(), "{unused:?}");
    let remarks = Catalog::lint(&valve().replace("[flags.front]", "[flags.back]")).unwrap();
    assert!(remarks.iter().any(|one| one.message.contains("the flag set `back`")), "{remarks:?}");
}

// --- front --------------------------------------------------------------------------------------

#[test]
fn an_option_before_the_command_is_not_the_one_behind_it() {
    let valve = parsed(&valve());
    let table = [
        ("valve -c home set open", 3),
        ("valve --home=home set open", 3),
        ("valve set open -c 3", 2),
        ("valve -c home set open -c 3", 3),
        // Its value is no command: what stands behind it is.
        ("valve -c status pipe cut", 4),
        ("valve -c pipe cut", 3),
        ("valve -q -c home status", 3),
        // Behind a command that does not know it, it is unknown.
        ("valve status -c home", 2),
        ("valve set open --home x", 2),
        // Before the command, nobody knows whether it takes the next word.
        ("valve --copies 3 set open", 4),
        ("valve --colour red status", 4),
        ("valve --version", 0),
        // With anything else it is no question for help.
        ("valve --version set open", 2),
    ];
    for (text, tier) in table {
        assert_eq!(tier_by(&valve, text), tier, "{text}");
    }
}

// --- files that are copied or sent --------------------------------------------------------------

fn hose() -> String {
    catalog(
        r#"
[syntax]
style = "getopt"

[plain]
tier = 2
why = "copies"
args = [{ name = "from", rest = true, is = "copy" }, { name = "to", is = "copy-to" }]

[plain.flag]
"--help" = { help = true }
"#,
    )
}

#[test]
fn a_secret_is_given_away_where_it_is_copied_to_another_machine_and_only_there() {
    let hose = parsed(&hose());
    let table = [
        ("valve a.txt b.txt", 2),
        ("valve a.txt web:b.txt", 2),
        ("valve web:a.txt b.txt", 2),
        // A secret here, kept here.
        ("valve /etc/shadow ./copy", 3),
        ("valve ~/.ssh/id_ed25519 key", 3),
        // A secret from here, there.
        ("valve /etc/shadow web:copy", 4),
        ("valve ~/.ssh/id_ed25519 ada@web:", 4),
        ("valve a.txt /etc/shadow b.txt web:copies/", 4),
        ("valve /etc/shadow scp://web/copy", 4),
        // A secret from there is read, wherever it goes.
        ("valve web:/etc/shadow copy", 3),
        // A colon behind a slash is part of a name.
        ("valve /etc/shadow ./odd:name", 3),
        // Where it is written counts on every machine.
        ("valve x web:/etc/cron.d/x", 3),
        ("valve x /etc/cron.d/x", 3),
        ("valve keys web:/root/.ssh/authorized_keys", 4),
        // A file keeps its name below a directory.
        ("valve authorized_keys web:.ssh/", 4),
        ("valve notes web:.ssh/", 3),
    ];
    for (text, tier) in table {
        assert_eq!(tier_by(&hose, text), tier, "{text}");
    }
    let judged = by(&hose, "valve /etc/shadow web:copy");
    assert_eq!(judged.operation.native_class(), Class::Identity);
}

#[test]
fn what_standard_input_sends_away_counts() {
    let source = catalog(
        r#"
[syntax]
style = "getopt"

[plain]
tier = 0
why = "talks to a host"
stdin = "sent"
args = [{ name = "host" }]

[plain.flag]
"--help" = { help = true }
"#,
    );
    let table = [
        ("valve web < /dev/null", 0),
        ("echo | valve web", 0),
        ("echo Q | valve web", 0),
        ("valve web <<< ''", 0),
        ("valve web", 2),
        ("echo DELETE / | valve web", 2),
        ("valve web <<< 'GET /'", 2),
        ("date | valve web", 2),
        ("valve web < notes.txt", 3),
        ("valve web < /etc/shadow", 4),
        ("valve web < ~/.ssh/id_ed25519", 4),
        ("valve web < \"$1\"", 3),
    ];
    for (text, tier) in table {
        let judged = in_shell(&source, text);
        let reasons = judged.operations();
        assert_eq!(judged.tier().number(), tier, "{text}: {:?}", reasons.worst().reasons);
    }
    let judged = in_shell(&source, "valve web < /etc/shadow");
    assert_eq!(judged.operations().worst().native_class(), Class::Identity);
}

// --- values that are known in part --------------------------------------------------------------

fn dial() -> String {
    catalog(
        r#"
[syntax]
style = "getopt"

[plain]
tier = 0
why = "looks"
args = [{ name = "word", rest = true }]

[plain.flag]
"--help" = { help = true }
"--to" = { value = "required", tier = 4, class = "destroy", why = "opens it", when = ["open*", "a|*", "exact"] }
"--from" = { value = "required", tier = 4, class = "evasion", why = "from elsewhere", unless = ["here/*", "this"] }
"--end" = { value = "required", tier = 3, why = "ends badly", when = ["*.bad", "*!*"] }
"--host" = { value = "required", tier = 3, why = "another machine", when = ["*web:*"] }
"--set" = { value = "required", tier = 2, why = "sets", also = [{ tier = 3, why = "sets a secret", when = ["secret=*"] }] }
"#,
    )
}

#[test]
fn a_value_known_in_part_may_be_what_a_pattern_covers() {
    let source = dial();
    let table = [
        // Known whole.
        ("valve --to shut", 0),
        ("valve --to open", 4),
        ("valve --to exact", 4),
        ("valve --end x.good", 0),
        ("valve --end x.bad", 3),
        // What may raise to tier 4 raises to tier 3.
        ("valve --to=\"$X\"", 3),
        ("valve --to=\"open$X\"", 3),
        ("valve --to=\"op$X\"", 3),
        ("valve --to=\"exa$X\"", 3),
        ("valve --to=\"a|$X\"", 3),
        // What is known rules patterns out that begin otherwise.
        ("valve --to=\"shut$X\"", 0),
        ("valve --to=\"exactly$X\"", 0),
        ("valve --to=\"ob$X\"", 0),
        // A pattern that says nothing of the start may cover any end.
        ("valve --end=\"$X\"", 3),
        ("valve --end=\"x$X\"", 3),
        ("valve --end=\"x.good$X\"", 3),
        // Behind the first colon nothing makes another name.
        ("valve --host=\"$X\"", 3),
        ("valve --host=\"we$X\"", 3),
        ("valve --host=\"web:$X\"", 3),
        ("valve --host=\"db:$X\"", 0),
        // `also` is no different.
        ("valve --set=\"colour=$X\"", 2),
        ("valve --set=\"secret=$X\"", 3),
        ("valve --set=\"sec$X\"", 3),
    ];
    for (text, tier) in table {
        let judged = in_shell(&source, text);
        let operations = judged.operations();
        assert_eq!(judged.tier().number(), tier, "{text}: {:?}", operations.worst().reasons);
    }
}

#[test]
fn an_exception_holds_for_a_value_known_in_part_only_where_it_covers_every_end() {
    let source = dial();
    let table = [
        ("valve --from here/x", 0),
        ("valve --from this", 0),
        ("valve --from there", 4),
        ("valve --from=\"here/$X\"", 0),
        // Without a `when` the tier is not softened.
        ("valve --from=\"here$X\"", 4),
        ("valve --from=\"this$X\"", 4),
        ("valve --from=\"$X\"", 4),
    ];
    for (text, tier) in table {
        let judged = in_shell(&source, text);
        let operations = judged.operations();
        assert_eq!(judged.tier().number(), tier, "{text}: {:?}", operations.worst().reasons);
    }
}

#[test]
fn a_trusted_catalog_stands_in_for_an_unknown_program_and_an_untrusted_one_only_raises() {
    let text = RawText::from("valve --to shut");
    let trusted = in_shell(&dial(), "valve --to shut").tier();
    assert_eq!(trusted, Tier::Observe);
    let added = Added::parse(&dial(), Weight::Raises).unwrap();
    let ambient = Ambient { catalogs: Arc::new([added]), ..Ambient::default() };
    assert_eq!(shell_line(&text, &ambient).tier(), Tier::Sensitive);
    let open = RawText::from("valve --to open");
    assert_eq!(shell_line(&open, &ambient).tier(), Tier::BreakGlass);
}
