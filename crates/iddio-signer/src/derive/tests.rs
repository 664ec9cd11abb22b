//! What a record warrants, and what none does.

use super::*;

/// Members of a record, replaced, added, or taken out.
type Changes<'a> = Vec<(&'a str, Option<Value>)>;

const NOW: Timestamp = Timestamp(1_795_186_987_000_000);

fn action() -> Digest {
    Digest::of_bytes(b"action")
}

fn wanted() -> Warranted {
    Warranted { seq: 7, action: action() }
}

/// A record of an allowed SSH command by uid 42, with members replaced, added, or taken out.
fn line(changes: &[(&str, Option<Value>)]) -> Vec<u8> {
    let text = |text: &str| Value::text(text);
    let mut members: Vec<(String, Value)> = [
        ("action_digest", Value::Text(action().to_hex())),
        ("agent", text("claude-code")),
        ("argv", Value::Array(vec![text("systemctl"), text("restart"), text("it's")])),
        ("command", text("systemctl restart")),
        ("decision", text("allow")),
        ("event", text("decided")),
        ("id", text("00000000000000000000000000000002")),
        ("method", text("exec")),
        ("peer", Value::Object(vec![("uid".to_owned(), Value::Int(42))])),
        ("prev_hash", text("genesis")),
        ("proof", text("token")),
        ("protocol", text("ssh")),
        ("resource", text("deploy@web-1")),
        ("seq", Value::Int(7)),
        ("timestamp", text(&NOW.to_string())),
        ("writer", text("b-1-2")),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into();
    for (name, value) in changes {
        members.retain(|(own, _)| own != name);
        members.extend(value.iter().map(|value| ((*name).to_owned(), value.clone())));
    }
    let hash = Digest::of_bytes(&Value::Object(members.clone()).to_canonical());
    members.push(("hash".to_owned(), Value::Text(hash.to_hex())));
    Value::Object(members).to_canonical()
}

fn read(changes: &[(&str, Option<Value>)]) -> Result<Allowed, Unwarranted> {
    Allowed::read(&line(changes), wanted(), 42, NOW)
}

fn texts(changes: &[(&'static str, &str)]) -> Vec<(&'static str, Option<Value>)> {
    changes.iter().map(|(name, text)| (*name, Some(Value::text(*text)))).collect()
}

fn words(words: &[&str]) -> Option<Value> {
    Some(Value::Array(words.iter().map(|word| Value::text(*word)).collect()))
}

#[test]
fn an_allowed_command_is_forced_word_by_word_on_its_one_user() {
    let constraints = read(&[]).unwrap().ssh().unwrap();
    let command = r"'systemctl' 'restart' 'it'\''s'";
    assert_eq!(
        constraints,
        SshConstraints {
            key_id: "iddio:claude-code:web-1".to_owned(),
            principal: "deploy".to_owned(),
            force_command: Some(command.to_owned()),
            extensions: &[],
        }
    );
}

#[test]
fn what_a_session_may_do_is_what_the_record_is_of() {
    for (method, command, extensions) in [
        ("shell", None, &["permit-pty"][..]),
        ("sftp", Some("internal-sftp"), &[]),
        ("forward", Some("false"), &["permit-port-forwarding"]),
    ] {
        let constraints = read(&texts(&[("method", method)])).unwrap().ssh().unwrap();
        assert_eq!(constraints.force_command.as_deref(), command, "{method}");
        assert_eq!(constraints.extensions, extensions, "{method}");
    }
}

#[test]
fn a_record_that_does_not_allow_just_this_to_just_this_user_now_warrants_nothing() {
    let old = Timestamp(NOW.0 - RECORD_AGE_MICROS_MAX - 1).to_string();
    let later = Timestamp(NOW.0 + CLOCK_SKEW_MICROS_MAX + 1).to_string();
    let peer = |uid| Some(Value::Object(vec![("uid".to_owned(), Value::Int(uid))]));
    let cases: Vec<(Changes<'_>, &str)> = vec![
        (texts(&[("refusal", "policy"), ("decision", "deny")]), "allows nothing"),
        (texts(&[("refusal", "refused"), ("decision", "escalate")]), "allows nothing"),
        (texts(&[("event", "asked")]), "allows nothing"),
        (texts(&[("event", "closed"), ("outcome", "forwarded")]), "allows nothing"),
        (texts(&[("event", "agent.added")]), "allows nothing"),
        (texts(&[("action_digest", &"0".repeat(64))]), "another action"),
        (vec![("seq", Some(Value::Int(8)))], "another record"),
        (vec![("peer", peer(43))], "not stated by who asks"),
        (vec![("peer", None)], "not stated by who asks"),
        (texts(&[("proof", "claimed")]), "nobody proved"),
        (texts(&[("timestamp", &old)]), "too old"),
        (texts(&[("timestamp", &later)]), "later time"),
        (vec![("operations", Some(Value::Array(Vec::new())))], "several operations"),
    ];
    for (changes, why) in cases {
        let refused = read(&changes).unwrap_err().to_string();
        assert!(refused.contains(why), "`{refused}` is not `{why}`");
    }
    let mut forged = line(&[]);
    let at = forged.iter().position(|byte| *byte == b'w').unwrap();
    forged[at] = b'v';
    let refused = Allowed::read(&forged, wanted(), 42, NOW).unwrap_err().to_string();
    assert!(refused.contains("not a record"), "{refused}");
}

#[test]
fn no_principal_host_or_command_is_wider_than_it_says() {
    let wide = "a".repeat(33);
    let long = "a".repeat(COMMAND_BYTES_MAX);
    for resource in [
        "web-1",
        "@web-1",
        "deploy@",
        "deploy,root@web-1",
        "deploy root@web-1",
        "*@web-1",
        "Deploy@web-1",
        "-x@web-1",
        "1x@web-1",
        "deploy@web 1",
        "deploy@a@b",
        "deploy@-x",
        "deploy@web\u{6d}\n",
        "d\u{435}ploy@web-1",
        &format!("{wide}@web-1"),
    ] {
        assert!(read(&texts(&[("resource", resource)])).unwrap().ssh().is_err(), "{resource}");
    }
    for method in ["", "Shell", "exec,shell", "x11"] {
        assert!(read(&texts(&[("method", method)])).unwrap().ssh().is_err(), "{method}");
    }
    let base64 = Value::Object(vec![("base64".to_owned(), Value::text("/w=="))]);
    for argv in [
        words(&[]),
        words(&["a\nb"]),
        words(&["a\u{7f}"]),
        words(&[&long]),
        Some(Value::Array(vec![base64])),
        None,
    ] {
        assert!(read(&[("argv", argv.clone())]).unwrap().ssh().is_err(), "{argv:?}");
    }
    let taken = Value::Array(vec![Value::text("argv/1")]);
    assert!(read(&[("commitments", Some(taken))]).unwrap().ssh().is_err());
    assert!(read(&texts(&[("protocol", "command")])).unwrap().ssh().is_err());
}

#[test]
fn a_client_certificate_names_the_agent_of_the_record_and_nobody_else() {
    let record = |protocol, agent| read(&texts(&[("protocol", protocol), ("agent", agent)]));
    for protocol in ["kubernetes", "https", "mcp"] {
        let constraints = record(protocol, "worker-7f3a").unwrap().x509("iddio.local").unwrap();
        assert_eq!(constraints.uri, "spiffe://iddio.local/agent/worker-7f3a");
    }
    for agent in ["local:ada", "a/b", "A", "", ".", "..", "a..b", "system:masters", "a@b"] {
        assert!(record("kubernetes", agent).unwrap().x509("iddio.local").is_err(), "{agent}");
    }
    for protocol in ["ssh", "command", "terraform"] {
        assert!(record(protocol, "a").unwrap().x509("iddio.local").is_err(), "{protocol}");
    }
}

#[test]
fn an_approver_is_registered_as_the_record_says_and_never_by_itself() {
    let key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJfUkZ6G1kK6Bq8q6bYw0mVhC5b0k0kB1fJp7q1m0k0B";
    let enrol = ["iddio", "operator", "enroll", "ada", "--key", key];
    let record = |argv: &[&str], more: &[(&'static str, &str)]| {
        let mut changes = texts(&[("protocol", "command")]);
        changes.push(("argv", words(argv)));
        changes.extend(texts(more));
        read(&changes).unwrap().registry()
    };
    let by_bob = [("approved_by", "human:bob"), ("approval_assurance", "hardware")];
    let (enrolment, vouched) =
        record(&[&enrol[..], &["--group", "sre"]].concat(), &by_bob).unwrap();
    assert_eq!((enrolment.operator.as_str(), vouched), ("ada", Vouched::ByKey));
    assert_eq!((enrolment.key.as_str(), enrolment.groups), (key, vec!["sre".to_owned()]));
    for weak in ["none", "uid"] {
        let by_bob = [("approved_by", "human:bob"), ("approval_assurance", weak)];
        assert_eq!(record(&enrol, &by_bob).unwrap().1, Vouched::ByNobody);
    }
    assert_eq!(record(&enrol, &[]).unwrap().1, Vouched::ByNobody);
    for own in ["ada", "human:ada", "local:ada"] {
        let by_ada = [("approved_by", own), ("approval_assurance", "hardware")];
        assert!(record(&enrol, &by_ada).is_err(), "{own}");
    }
    for argv in [
        &enrol[..5],
        &["iddio", "operator", "enroll", "Ada", "--key", key],
        &["iddio", "operator", "enroll", "ada", "--key", "ssh-rsa AAAA"],
        &["iddio", "operator", "enroll", "ada", "--key", key, "--group"],
        &["iddio", "operator", "enroll", "ada", "--key", key, "--admin", "yes"],
        &["other", "operator", "enroll", "ada", "--key", key],
    ] {
        assert!(record(argv, &by_bob).is_err(), "{argv:?}");
    }
}
