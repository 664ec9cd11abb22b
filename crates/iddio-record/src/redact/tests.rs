//! What is taken out, whatever the borders of frames.

use iddio_core::recording::Channel;

use super::{body::Exchange, json::random, mark, session::Session};
use crate::format::Frame;

const TOKEN: &str = "ghp_16C7e42F292c6912E7710c838347Ae178B4a";

/// Sends frames through a session and returns what comes out.
fn session(frames: &[(Channel, &str)]) -> Vec<(u64, Channel, String)> {
    let mut session = Session::default();
    let mut out = Vec::new();
    let mut each = |frame: Frame<'_>| {
        let text = String::from_utf8(frame.bytes.to_vec()).unwrap();
        out.push((frame.micros, frame.channel, text));
    };
    for (micros, (channel, text)) in (0..).zip(frames) {
        session.frame(Frame { micros, channel: *channel, bytes: text.as_bytes() }, &mut each);
    }
    session.finish(&mut each);
    out
}

fn joined(frames: &[(u64, Channel, String)], channel: Channel) -> String {
    frames.iter().filter(|frame| frame.1 == channel).map(|frame| frame.2.as_str()).collect()
}

/// Sends a body through an exchange in pieces of every size, and returns the one thing that came out.
fn body(resource: &str, kind: &str, body: &str) -> String {
    let mut seen = Vec::new();
    for size in [1, 2, 3, 7, 64, body.len().max(1)] {
        let mut exchange = Exchange::new(resource);
        let mut out = Vec::new();
        let mut each = |frame: Frame<'_>| {
            if frame.channel == Channel::Response {
                out.extend_from_slice(frame.bytes);
            }
        };
        let head = format!("200\ncontent-type: {kind}\n");
        let (micros, channel) = (0, Channel::ResponseHead);
        exchange.frame(Frame { micros, channel, bytes: head.as_bytes() }, &mut each);
        for piece in body.as_bytes().chunks(size) {
            let channel = Channel::Response;
            exchange.frame(Frame { micros, channel, bytes: piece }, &mut each);
        }
        exchange.finish(9, &mut each);
        seen.push(String::from_utf8(out).unwrap());
    }
    assert!(seen.windows(2).all(|pair| pair[0] == pair[1]), "{seen:#?}");
    seen.pop().unwrap()
}

fn json(resource: &str, text: &str) -> String {
    body(resource, "application/json", text)
}

#[test]
fn a_mark_tells_a_class_of_lengths_and_no_more() {
    assert_eq!(mark("token", 3), "[redacted token, under 8 bytes]");
    assert_eq!(mark("token", 8), mark("token", 15));
    assert_eq!(mark("token", 40), "[redacted token, 32 to 63 bytes]");
}

#[test]
fn a_session_without_secrets_comes_out_as_it_went_in() {
    let frames = [
        (Channel::Resize { columns: 80, rows: 24 }, ""),
        (Channel::Stdout, "$ "),
        (Channel::Stdin, "l"),
        (Channel::Stdout, "l"),
        (Channel::Stdin, "s\r"),
        (Channel::Stdout, "s\r\nfile\r\n$ "),
        (Channel::Stderr, "oops\n"),
        (Channel::Stdin, ""),
        (Channel::Exit, "0"),
    ];
    let out = session(&frames);
    let expected: Vec<_> =
        (0..).zip(frames).map(|(at, (channel, text))| (at, channel, text.to_owned())).collect();
    assert_eq!(out, expected);
}

#[test]
fn a_secret_is_found_wherever_the_frames_end() {
    let line = format!("export GITHUB_TOKEN={TOKEN}\nnext\n");
    for size in 1..line.len() {
        let pieces = line.as_bytes().chunks(size);
        let pieces: Vec<_> = pieces.map(|piece| std::str::from_utf8(piece).unwrap()).collect();
        let frames: Vec<_> = pieces.iter().map(|piece| (Channel::Stdout, *piece)).collect();
        let out = joined(&session(&frames), Channel::Stdout);
        assert!(!out.contains(&TOKEN[4..]), "{size}: {out}");
        assert!(out.starts_with("export GITHUB_TOKEN=[redacted "), "{size}: {out}");
        assert!(out.ends_with("]\nnext\n"), "{size}: {out}");
    }
}

#[test]
fn a_private_key_is_found_over_many_lines_and_pieces() {
    let armour = |word: &str| format!("-----{word} RSA {} KEY-----\n", "PRIVATE");
    for lines in [3, 40, 1_000] {
        let inside = "MIIEpAIBAAKCAQEAx1y2z3\n".repeat(lines);
        let text = format!("before\n{}{inside}{}after\n", armour("BEGIN"), armour("END"));
        for size in [7, 64, 5_000] {
            let pieces: Vec<_> = text.as_bytes().chunks(size).collect();
            let frames: Vec<_> = pieces
                .iter()
                .map(|piece| (Channel::Stdout, std::str::from_utf8(piece).unwrap()))
                .collect();
            let out = joined(&session(&frames), Channel::Stdout);
            assert!(!out.contains("MIIEp"), "{lines} {size}: {out}");
            assert!(out.starts_with("before\n"), "{out}");
            assert!(out.contains("after\n"), "{lines} {size}: {out}");
        }
    }
}

#[test]
fn s22_what_is_typed_while_a_terminal_asks_for_a_password_is_not_recorded() {
    let typed = [
        (Channel::Resize { columns: 80, rows: 24 }, ""),
        (Channel::Stdout, "[sudo] password for ada: "),
        (Channel::Stdin, "cor"),
        (Channel::Stdin, "rect horse\r"),
        (Channel::Stdout, "\r\n# "),
        (Channel::Stdin, "id\r"),
    ];
    let out = joined(&session(&typed), Channel::Stdin);
    assert_eq!(out, "[redacted typed password, 8 to 15 bytes]\rid\r");
    // Without a terminal there is no prompt, and whoever prints one hides nothing.
    let out = joined(&session(&typed[1..]), Channel::Stdin);
    assert_eq!(out, "correct horse\rid\r");
}

#[test]
fn a_line_that_is_no_password_is_not_hidden_by_a_question_for_one() {
    let long = "x ".repeat(100);
    let typed = [
        (Channel::Resize { columns: 80, rows: 24 }, ""),
        (Channel::Stdout, "password: "),
        (Channel::Stdin, "rm -rf "),
        (Channel::Stdin, long.as_str()),
    ];
    let out = joined(&session(&typed), Channel::Stdin);
    assert_eq!(out, format!("rm -rf {long}"));
}

#[test]
fn bodies_without_secrets_come_out_as_they_went_in() {
    for text in [
        "{}",
        "[]",
        r#" { "kind" : "Pod", "n": [1, -2.5e3, true, null, "a\u003cb\\\"", {}] } "#,
        r#"{"spec":{"containers":[{"image":"nginx@sha256:3f8a00f137a0d2c8a2163a09901e28e2471999fde4efc2f9570b91f1c30acf94","args":["--port","80"]}]}}"#,
        "{\"type\":\"ADDED\"}\n{\"type\":\"DELETED\"}\n",
        r#""text""#,
        "17",
    ] {
        assert_eq!(json("pods", text), text);
    }
    let map = r#"{"kind":"ConfigMap","data":{"greeting":"hello"}}"#;
    assert_eq!(json("configmaps/app", map), map);
}

#[test]
fn the_values_of_a_secret_are_taken_out_whatever_holds_it() {
    let value = "aHVudGVyMg==";
    let secret = format!(
        r#"{{"apiVersion":"v1","data":{{"a":"{value}"}},"stringData":{{"b":"{value}"}},"kind":"Secret","metadata":{{"name":"db"}}}}"#
    );
    let list = format!(r#"{{"kind":"SecretList","items":[{secret}]}}"#);
    let event = format!(r#"{{"type":"ADDED","object":{secret}}}"#);
    let patch = format!(r#"[{{"op":"add","path":"/data/a","value":"{value}"}}]"#);
    let patch_of_all = format!(r#"[{{"value":{{"a":"{value}"}},"op":"add","path":"/data"}}]"#);
    for resource in ["secrets", "secrets/db", "anything"] {
        for text in [&secret, &list, &event, &patch] {
            let out = json(resource, text);
            assert!(!out.contains(value), "{resource}: {out}");
            assert!(out.contains("[redacted value, 8 to 15 bytes]"), "{out}");
        }
    }
    assert!(!json("secrets/db", &patch_of_all).contains(value));
    let out = json("secrets", &list);
    assert!(out.contains(r#""kind":"Secret""#) && out.contains(r#""name":"db""#), "{out}");
}

#[test]
fn what_was_applied_last_is_looked_into() {
    let value = "aHVudGVyMg==";
    let inner = format!(r#"{{\"kind\":\"Secret\",\"data\":{{\"a\":\"{value}\"}}}}"#);
    let text = format!(
        r#"{{"metadata":{{"annotations":{{"kubectl.kubernetes.io/last-applied-configuration":"{inner}"}}}}}}"#
    );
    for resource in ["secrets", "pods"] {
        let out = json(resource, &text);
        assert!(!out.contains(value), "{out}");
        assert!(out.contains(r#"\"data\":{\"a\":\"[redacted value"#), "{out}");
    }
}

#[test]
fn tokens_and_environment_values_that_look_secret_are_taken_out() {
    let cases = [
        ("serviceaccounts/token", r#"{"status":{"token":"abcdefgh"}}"#, "abcdefgh"),
        ("pods", r#"{"env":[{"name":"DB_PASSWORD","value":"hunter2x"}]}"#, "hunter2x"),
        ("pods", r#"{"env":[{"value":"zX9kLm2Qp7Rt4Vw8","name":"X"}]}"#, "zX9kLm2Qp7Rt4Vw8"),
        ("pods", r#"{"env":[{"name":"PLAIN","value":"zX9kLm2Qp7Rt4Vw8"}]}"#, "zX9kLm2Qp7Rt4Vw8"),
        ("pods", r#"{"args":["--password","hunter2x"]}"#, "hunter2x"),
        ("pods", r#"{"args":["--password=hunter2x"]}"#, "hunter2x"),
        ("pods", r#"{"password":12345678}"#, "12345678"),
        ("pods", r#"{"a":"eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJ4In0.c2lnbmF0dXJl"}"#, "eyJzdWIiOiJ4In0"),
        ("x", r#"{"users":[{"user":{"client-key-data":"TFMwdExTMUNSVWRK"}}]}"#, "TFMwdExTMUNSVWRK"),
        ("x", r#"{"p\u0061ssword":"hunter2x"}"#, "hunter2x"),
    ];
    for (resource, text, secret) in cases {
        let out = json(resource, text);
        assert!(!out.contains(secret), "{text} gave {out}");
        assert!(out.contains("[redacted "), "{out}");
    }
    let kept =
        r#"{"env":[{"name":"LOG_LEVEL","value":"debug"},{"name":"PATH","value":"/usr/bin"}]}"#;
    assert_eq!(json("pods", kept), kept);
}

#[test]
fn chance_is_told_from_words() {
    for made in ["zX9kLm2Qp7Rt4Vw8", "3f8a00f137a0d2c8a2163a09901e28e2", "Tr0ub4dor&3xyzq81"] {
        assert!(random(made), "{made}");
    }
    for plain in [
        "production",
        "/var/lib/data/a1b2c3d4e5f6",
        "https://a.example/x1y2z3",
        "us-east-1",
        "true",
    ] {
        assert!(!random(plain), "{plain}");
    }
}

#[test]
fn what_no_reader_of_json_would_read_is_left_out() {
    for (text, kept) in [
        (r#"{"a":"b",,"password":"hunter2x"}"#, r#"{"a":"b","#),
        (r#"{"a" "password":"hunter2x"}"#, r#"{"a" "#),
        (r#"{"a":tru,"password":"hunter2x"}"#, r#"{"a":"#),
        ("{\"a\":\"\n\",\"password\":\"hunter2x\"}", r#"{"a":"#),
        (r#"{"a":"\x","password":"hunter2x"}"#, r#"{"a":"#),
        (r#"[1}"#, "[1"),
    ] {
        let out = json("pods", text);
        assert!(out.starts_with(kept) && out.contains("not JSON]"), "{text}: {out}");
        assert!(!out.contains("hunter2x"), "{out}");
    }
    assert_eq!(json("pods", r#"{"a":"hunt"#), r#"{"a":[omitted 4 bytes: a text without an end]"#);
}

#[test]
fn bodies_that_nobody_can_look_into_are_counted() {
    let out = body("pods", "application/vnd.kubernetes.protobuf", "k8s\0hunter2x");
    assert_eq!(out, "[omitted 12 bytes: application/vnd.kubernetes.protobuf is not looked into]");
    assert_eq!(
        body("secrets/a", "application/yaml", "data: {a: hunter2x}"),
        "[omitted 19 bytes: YAML of a secret is not looked into]"
    );
    let out = body("pods", "application/apply-patch+yaml", r#"{"password":"hunter2x"}"#);
    assert!(out.contains("[redacted"), "{out}");
    let out = body("pods", "text/plain", &format!("a line\ntoken={TOKEN}\n"));
    assert!(out.starts_with("a line\n") && !out.contains(TOKEN), "{out}");
}

#[test]
fn heads_keep_their_names_and_lose_their_secrets() {
    let mut exchange = Exchange::new("pods");
    let mut out = Vec::new();
    let head =
        format!("GET /api/v1/pods?token={TOKEN}\nauthorization: Bearer {TOKEN}\naccept: */*\n");
    let frame = Frame { micros: 0, channel: Channel::RequestHead, bytes: head.as_bytes() };
    exchange.frame(frame, &mut |frame| out.extend_from_slice(frame.bytes));
    let out = String::from_utf8(out).unwrap();
    assert!(!out.contains(TOKEN), "{out}");
    assert!(out.starts_with("GET /api/v1/pods?token=[redacted "), "{out}");
    assert!(out.contains("\nauthorization: Bearer [redacted "), "{out}");
    assert!(out.ends_with("\naccept: */*\n"), "{out}");
}
