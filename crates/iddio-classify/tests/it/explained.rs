//! What `iddio classify` prints: reasons that point at the words that caused them.

use iddio_classify::{
    command::{Judged, judge},
    explain::{self, Subject},
};
use iddio_core::{
    operation::{Description, Operation, Pattern, Protocol, Reason, Scopes, Span},
    text::RawText,
    tier::{Class, Tier},
};

use crate::kit::raw;

fn text(line: &str) -> Vec<String> {
    let words = raw(&line.split_whitespace().collect::<Vec<_>>());
    explain::text(&judge(&words, &Default::default()), Subject::Words(&words))
}

/// An operation of one reason, as the walk through a text for a shell leaves it.
fn operation(argv: &[&str], tier: Tier, word: u32, at: Option<Span>) -> Operation {
    Operation {
        protocol: Protocol::Command,
        tier,
        class: Class::Destroy,
        scopes: Scopes::default(),
        overrides: Vec::new(),
        pattern: Pattern::Unmatchable,
        reasons: vec![Reason {
            tier,
            rule: "test:rule".to_owned(),
            text: "says why".to_owned(),
            word: Some(word),
            at,
        }],
        description: Description { argv: raw(argv), ..Description::default() },
    }
}

fn shell(operations: Vec<Operation>) -> Judged {
    let mut judged = judge(&raw(&["true"]), &Default::default());
    let mut operations = operations.into_iter();
    judged.operation = operations.next().unwrap();
    judged.within = operations.collect();
    judged
}

#[test]
fn text_underlines_what_decides() {
    assert_eq!(
        text("kubectl get secret db -o yaml"),
        [
            "T3 SENSITIVE",
            "  kubectl get secret db -o yaml",
            "              ^^^^^^",
            "  T3          kubectl get secret db -o yaml  [kubernetes, clusters ?, namespaces ?]",
            "     T3  reads a Secret (kube:5)  bytes 12..18  <- decides",
            "     T0  reads (kubectl:get)  bytes 8..11",
        ]
    );
    let lines = text("aws s3 ls --profile prod");
    assert_eq!(lines.first().map(String::as_str), Some("T4 BREAK-GLASS (evasion)"));
    assert_eq!(lines.iter().filter(|line| line.ends_with("<- decides")).count(), 1);
    assert_eq!(lines.get(2).map(String::as_str), Some("                      ^^^^"));
}

#[test]
fn operations_come_worst_first_and_point_into_the_outermost_text() {
    let line = RawText::from("ls /srv; rm -rf /srv");
    let at = |start, end| Some(Span { start, end });
    let judged = shell(vec![
        operation(&["ls", "/srv"], Tier::Observe, 0, at(0, 2)),
        operation(&["rm", "-rf", "/srv"], Tier::BreakGlass, 1, at(12, 15)),
    ]);
    assert_eq!(
        explain::text(&judged, Subject::Shell(&line)),
        [
            "T4 BREAK-GLASS (destroy)",
            "  ls /srv; rm -rf /srv",
            "              ^^^",
            "  T4 destroy  rm -rf /srv",
            "     T4  says why (test:rule)  bytes 12..15  <- decides",
            "  T0          ls /srv",
            "     T0  says why (test:rule)  bytes 0..2",
        ]
    );
}

#[test]
fn a_line_is_shown_without_what_steers_a_terminal_and_around_what_decides() {
    let mut line = b"echo \x1b[2J\xe2\x80\xae".to_vec();
    line.extend(vec![b'x'; 500]);
    let start = u32::try_from(line.len()).unwrap();
    line.extend(b"rm -rf /");
    line.extend(vec![b'y'; 500]);
    let judged =
        shell(vec![operation(&["rm"], Tier::BreakGlass, 0, Some(Span { start, end: start + 8 }))]);
    let text = RawText::new(line);
    let lines = explain::text(&judged, Subject::Shell(&text));
    assert!(lines.iter().all(|line| !line.chars().any(char::is_control)), "{lines:?}");
    let (shown, mark) = (lines.get(1).unwrap(), lines.get(2).unwrap());
    assert!(shown.chars().count() < 110 && shown.contains("xrm -rf /y"), "{shown}");
    let place = shown.chars().position(|letter| letter == 'r').unwrap();
    assert_eq!(mark.find('^'), Some(place));
    assert_eq!(mark.trim(), "^^^^^^^^");
}

#[test]
fn a_place_that_cannot_be_told_is_not_pointed_at() {
    let at = |line: &str, operation: Operation| {
        let line = RawText::from(line);
        let judged = shell(vec![operation]);
        let json = serde_json::to_value(explain::explanation(&judged, Subject::Shell(&line)));
        json.unwrap().pointer("/reasons/0/at").cloned()
    };
    let rm = || operation(&["rm", "x"], Tier::Sensitive, 0, None);
    assert_eq!(at("rm x", rm()).unwrap(), serde_json::json!({"start": 0, "end": 2}));
    assert_eq!(at("rm x; rm y", rm()), None, "twice there");
    assert_eq!(at("$CMD x", rm()), None, "not there");
    let beyond = Some(Span { start: 2, end: 99 });
    assert_eq!(at("rm x", operation(&["rm"], Tier::Sensitive, 0, beyond)), None);
}

#[test]
fn words_of_a_wrapped_command_are_pointed_at_where_they_stand() {
    let words = raw(&["sudo", "sh", "-c", "cd /; rm -rf x"]);
    let mut judged = judge(&words, &Default::default());
    judged.operation = operation(&["sudo", "sh", "-c", "cd /; rm -rf x"], Tier::Modify, 0, None);
    let span = Some(Span { start: 6, end: 8 });
    judged.within = vec![
        operation(&["sh", "-c", "cd /; rm -rf x"], Tier::Sensitive, 0, None),
        operation(&["rm", "-rf", "x"], Tier::BreakGlass, 0, span),
    ];
    let explanation = explain::explanation(&judged, Subject::Words(&words));
    let places: Vec<_> =
        explanation.reasons.iter().map(|reason| (reason.tier, reason.at.unwrap().start)).collect();
    assert_eq!(places, [(4, 17), (3, 5), (2, 0)]);
}

#[test]
fn data_holds_the_tier_and_the_reasons() {
    let words = raw(&["terraform", "destroy"]);
    let judged = judge(&words, &Default::default());
    let explanation = explain::explanation(&judged, Subject::Words(&words));
    let json = serde_json::to_value(explanation).unwrap();
    let get = |pointer: &str| json.pointer(pointer).cloned().unwrap_or_default();
    assert_eq!(get("/tier"), 4);
    assert_eq!(get("/class"), "destroy");
    assert_eq!(get("/line"), "terraform destroy");
    assert_eq!(get("/operations/0/protocol"), "terraform");
    assert_eq!(get("/operations/0/scopes/0/key"), "workspaces");
    assert_eq!(get("/operations/0/scopes/0/names/0"), "?");
    assert_eq!(get("/reasons/0/rule"), "terraform:destroy");
    assert_eq!(get("/reasons/0/decides"), true);
    assert_eq!(get("/reasons/0/operation"), 0);
    assert_eq!(get("/reasons/0/word"), 1);
    assert_eq!(get("/reasons/0/at"), serde_json::json!({"start": 10, "end": 17}));
}
