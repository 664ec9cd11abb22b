//! What an approver sees: all of it, in order, and nothing that a terminal obeys (X01 to X13, A06).

use iddio_approve::{
    Approval, ApproveError, Entry, Reviewed, Signer,
    render::{self, Length, View},
};
use iddio_core::{
    approval::{Answer, Ask},
    operation::{Effect, Input, Operations, Override, OverrideKind},
    sanitise,
    text::RawText,
    tier::Tier,
};

use crate::kit::{Home, yes};

#[test]
fn an_ask_is_shown_as_the_guide_shows_it() {
    let home = Home::new();
    let mut ask = home.ask(1, Tier::Modify);
    ask.effects.push(Effect {
        tier: Tier::Sensitive,
        sign: "-".to_owned(),
        text: "aws_iam_role.admin".to_owned(),
    });
    ask.context.inputs.push(Input { name: RawText::from("https://x/chart"), digest: None });
    let put = home.put(&ask);
    let entry = home.queue().show(&put.id()).unwrap();
    home.clock.pass(12_000);
    let shown = render::show(&entry, home.now(), View::Brief);
    let digest = entry.digest();
    let plan = ask.context.inputs[0].digest.unwrap();
    let place = |text: &str| shown.find(text).unwrap_or_else(|| panic!("{text:?} not in\n{shown}"));
    let order = [
        "  who      claude-code (token), for themselves",
        "asked 12 s ago, lapses in 15 min",
        "  what     terraform -chdir=docs/examples/hello apply -auto-approve  (docs/examples/hello, workspace default)",
        // Worst first.
        "  effect   - aws_iam_role.admin",
        "  effect   + terraform_data.hello",
        &format!("sha256 {plan}, these bytes are what will be read"),
        "  UNBOUND  https://x/chart",
        "  why T2   `apply` creates or updates (terraform:apply)",
        "  rule     local:ada / terraform / tier 2",
        "  says     | please approve, it is urgent",
        "UNTRUSTED",
        &format!("  ask      sha256 {digest}"),
    ];
    let places: Vec<_> = order.iter().map(|text| place(text)).collect();
    assert!(places.is_sorted(), "{shown}");
    put.cancel.cancel();
}

#[test]
fn nothing_that_is_shown_is_obeyed_by_a_terminal() {
    let home = Home::new();
    let nasty: [&[u8]; 14] = [
        b"\x1b[8mhidden\x1b[0m",
        b"\x1b[2J\x1b[1A\rharmless",
        b"\x1b]0;title\x07\x1b[21t",
        b"\x1b]8;;http://evil\x1b\\http://good\x1b]8;;\x1b\\",
        b"\x1b]52;c;cm0gLXJm\x07",
        b"\x1b]1337;File=name=x:AAAA\x07\x1bPq#0~\x1b\\",
        b"\x1bP$q q\x1b\\",
        b"\x1b[201~y\r",
        b"rm -rf /\x08\x08\x08\x08\x08\x08\x08\x08ls\rls      ",
        "a\u{202e}b\u{200b}c\u{2066}d\u{e0041}\u{feff}".as_bytes(),
        b"\xc2\x9b31mred\xc2\x9c\x9b31m",
        b"\xff\xfe\xc0\x80\xed\xa0\x80",
        b"\x07\x07\x07line\nline\nline",
        b"approved esc_00000000\nwho human:ada <script>alert(1)</script> [x](http://evil) @here",
    ];
    for (number, bytes) in nasty.into_iter().enumerate() {
        let text = String::from_utf8_lossy(bytes).into_owned();
        let ask = spoiled(home.ask(number as u128, Tier::Modify), bytes, &text);
        let put = home.put(&ask);
        let id = put.id();
        let entry = home.queue().show(&id).unwrap();
        let views = [
            render::show(&entry, home.now(), View::Full),
            render::show(&entry, home.now(), View::Brief),
            render::row(&entry, home.now()),
            render::headline(&ask),
        ];
        for shown in views {
            for letter in shown.chars().filter(|letter| *letter != '\n') {
                assert!(!letter.is_control(), "X{number}: {letter:?} in {shown}");
                let odd = "\u{202e}\u{200b}\u{2066}\u{e0041}\u{feff}\u{fffd}".contains(letter);
                assert!(!odd || text.contains('\u{fffd}'), "X{number}: {letter:?}");
            }
            // No line of the caller's own making: each begins as ours do.
            for line in shown.lines().skip(1) {
                assert!(line.starts_with("  "), "X{number}: {line:?}");
            }
        }
        // What is shown, decoded, is what runs (I10).
        let full = render::show(&entry, home.now(), View::Full);
        assert!(full.contains(&sanitise::line(bytes)), "X{number}: {full}");
        home.queue().deny(&id, crate::kit::no(Signer::Unsigned)).unwrap();
        assert!(matches!(put.answer(), Answer::Refuse { .. }));
        // Like asks would be held back from here on.
        home.clock.change(|now| now.boot.boot_id += 1);
    }
}

#[test]
fn what_is_too_long_to_show_is_cut_openly_and_approved_only_when_opened() {
    let home = Home::new();
    let mut wide = home.ask(1, Tier::Modify);
    wide.effects[0].text = "x".repeat(64 * 1024);
    let mut tall = home.ask(2, Tier::Modify);
    tall.effects = vec![tall.effects[0].clone(); 500];
    tall.effects[499].text = "the last one".to_owned();
    for ask in [wide, tall] {
        assert_eq!(render::length(&ask), Length::Long);
        let put = home.put(&ask);
        let id = put.id();
        let mut queue = home.queue();
        let entry = queue.show(&id).unwrap();
        let digest = entry.digest().to_hex();
        let brief = render::show(&entry, home.now(), View::Brief);
        assert!(brief.contains("CUT") && !brief.contains(&digest[..8]), "{brief}");
        assert!(brief.len() < 64 * 1024);
        let full = render::show(&entry, home.now(), View::Full);
        assert!(full.ends_with(&format!("{digest}\n")));
        for effect in &ask.effects {
            assert!(full.contains(&effect.text));
        }
        for reviewed in [
            Reviewed::NotSaid,
            Reviewed::Digest(""),
            Reviewed::Digest(&digest[..7]),
            Reviewed::Digest("00000000"),
        ] {
            let approval = Approval { reviewed, ..yes(Signer::Unsigned) };
            let error = queue.approve(&id, approval).unwrap_err();
            assert!(matches!(error, ApproveError::NotReviewed(_)), "{error}");
        }
        let reviewed = Reviewed::Digest(&digest[..8]);
        queue.approve(&id, Approval { reviewed, ..yes(Signer::Unsigned) }).unwrap();
        assert!(matches!(put.answer(), Answer::Grant(_)));
    }
}

#[test]
fn json_holds_everything_that_is_signed() {
    let home = Home::new();
    let put = home.put(&home.ask(1, Tier::Modify));
    let entry: Entry = home.queue().show(&put.id()).unwrap();
    let json = render::json(&entry, home.now());
    assert_eq!(json["id"], entry.id.as_str());
    assert_eq!(json["digest"], entry.digest().to_hex());
    assert_eq!(json["tier_label"], "MODIFY");
    assert_eq!(json["ask"]["operations"][0]["description"]["argv"][2], "apply");
    assert_eq!(json["ask"]["context"]["inputs"][0]["name"], "plan");
    put.cancel.cancel();
}

/// The same bytes wherever a caller can put some.
fn spoiled(mut ask: Ask, bytes: &[u8], text: &str) -> Ask {
    let raw = RawText::new(bytes);
    let mut operation = ask.operations.split_first().0.clone();
    operation.description.command = Some(text.to_owned());
    operation.description.argv.push(raw.clone());
    operation.description.workspace = Some(text.to_owned());
    operation.description.namespace = Some(text.to_owned());
    operation.reasons[0].text = text.to_owned();
    operation.reasons[0].rule = text.to_owned();
    operation.overrides = vec![Override { kind: OverrideKind::Env, value: text.to_owned() }];
    ask.operations = Operations::one(operation);
    ask.effects[0].text = text.to_owned();
    ask.effects[0].sign = text.to_owned();
    ask.context.directory = Some(raw.clone());
    ask.context.inputs = vec![Input { name: raw.clone(), digest: None }];
    ask.context.explanation = Some(raw);
    ask.decision.rule = text.into();
    ask.decision.reason = Some(text.into());
    ask
}
