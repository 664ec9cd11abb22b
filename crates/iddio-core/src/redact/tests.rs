//! What is taken out, and what stays.
//!
//! In the tables a secret stands in `«…»`, a space inside a word is `␣`, and `{A36}`, `{B40}`,
//! `{H64}` stand for that many made-up letters and digits, base64 characters, hexadecimal digits.

use super::*;

#[test]
fn secrets_on_command_lines_are_taken_out() {
    check_table(include_str!("tests/secrets.txt"), 150);
}

#[test]
fn what_is_no_secret_stays() {
    check_table(include_str!("tests/harmless.txt"), 100);
}

#[test]
fn text_is_redacted_line_by_line() {
    for case in include_str!("tests/texts.txt").split("\n----\n") {
        let marked = expand(case.trim_end());
        let input: String = marked.chars().filter(|char| !"«»".contains(*char)).collect();
        assert_eq!(shown(&text(input.as_bytes())), hidden(&marked), "{case}");
    }
}

#[test]
fn headers_are_redacted_by_name() {
    let cases = [
        ("Authorization", "Bearer «{A36}»"),
        ("authorization", "basic «{A36}»"),
        ("Authorization", "«{A36}»"),
        ("Proxy-Authorization", "Negotiate «{A36}»"),
        ("Cookie", "«session=1; theme=dark»"),
        ("Set-Cookie", "«id=1; Secure»"),
        ("X-Api-Key", "«short»"),
        ("X-Vault-Token", "«{A24}»"),
        ("PRIVATE-TOKEN", "«{A24}»"),
        ("X-Amz-Security-Token", "«{A24}»"),
        ("X-Goog-Api-Key", "«{A24}»"),
        ("X-Auth-Token", "«x»"),
        ("Content-Type", "application/json"),
        ("X-Request-Id", "{H32}"),
        ("ETag", "\"{H40}\""),
        ("Referer", "https://u:«p»@example.com/?access_token=«abc»&page=2"),
    ];
    for (name, value) in cases {
        let marked = expand(value);
        let input: String = marked.chars().filter(|char| !"«»".contains(*char)).collect();
        assert_eq!(shown(&header(name.as_bytes(), input.as_bytes())), hidden(&marked), "{name}");
    }
}

#[test]
fn fields_are_redacted_by_name() {
    assert_eq!(shown(&named(b"password", b"a b c")), "***");
    assert_eq!(shown(&named(b"workspace", b"prod")), "prod");
    assert_eq!(shown(&assignment(b"DB_PASS=a b;c")), "DB_PASS=***");
    assert_eq!(shown(&assignment(b"HOME=/home/ada")), "HOME=/home/ada");
    assert_eq!(shown(&url(b"postgres://ada:pa/ss@db/x")), "postgres://ada:***@db/x");
}

#[test]
fn the_pieces_are_the_input_and_their_debug_is_not() {
    let redacted = text(b"curl -u ada:hunter2 https://h/?token=abc");
    let bytes: Vec<u8> = redacted
        .pieces()
        .iter()
        .flat_map(|piece| match piece {
            Piece::Plain(plain) => plain.as_bytes().to_vec(),
            Piece::Secret(_, secret) => secret.0.clone(),
        })
        .collect();
    assert_eq!(bytes, b"curl -u ada:hunter2 https://h/?token=abc");
    assert_eq!(redacted.secrets(), 2);
    assert_eq!(redacted.masked().as_str(), Some("curl -u ada:[password] https://h/?token=[token]"));
    let debug = format!("{redacted:?}");
    assert!(debug.contains("***") && !debug.contains("hunter2"), "{debug}");
    let Some(Piece::Secret(Kind::Password, secret)) = redacted.pieces().get(1) else { panic!() };
    assert_eq!(format!("{secret:?}"), "***");
}

#[test]
fn the_commitment_is_made_of_the_secret() {
    let mut seen = Vec::new();
    let redacted = argv(&split("mysql -phunter2 --token abc"));
    for word in &redacted {
        let _ = word.render(&mut |kind, bytes| {
            seen.push((kind, bytes.to_vec()));
            String::new()
        });
    }
    assert_eq!(seen, [(Kind::Password, b"hunter2".to_vec()), (Kind::Token, b"abc".to_vec())]);
}

/// N8: ten thousand made-up secrets, each in a shape and at a place, and none is found afterwards.
#[test]
fn no_planted_canary_survives() {
    let mut dice = Dice(1);
    for round in 0..10_000 {
        let canary = dice.canary();
        let frame = FRAMES[round % FRAMES.len()];
        let line = frame.replace("{}", &canary);
        let words = split(&line);
        let shown = joined(&argv(&words));
        assert!(!shown.contains(&canary), "{line}\n{shown}");
        // The same as one word of a script, and as running text.
        let script = RawText::from(line.replace('␣', " "));
        let nested = joined(&argv(&[raw("sh"), raw("-c"), script.clone()]));
        assert!(!nested.contains(&canary), "sh -c {line}\n{nested}");
        if !line.contains('␣') {
            let text = shown_text(script.as_bytes());
            assert!(!text.contains(&canary), "text {line}\n{text}");
        }
    }
}

#[test]
fn no_token_survives_anywhere() {
    let mut dice = Dice(2);
    let around = [
        ("", ""),
        ("\"", "\""),
        ("x=", ""),
        ("see ", " for more"),
        ("(", ")"),
        ("https://h/", "/x"),
        ("[", ","),
        ("'", "'"),
        ("\n", "\n"),
        ("{\"a\":\"", "\"}"),
        ("echo ", " | base64 -d"),
        ("a,", ",b"),
        ("\u{1b}[8m:", ""),
    ];
    for round in 0..10_000 {
        let body = dice.alphanumeric(40);
        let token = TOKENS[round % TOKENS.len()]
            .replace("{}", &body)
            .replace("{16}", &body.to_uppercase()[..16]);
        let (before, after) = around[round % around.len()];
        let text = shown_text(format!("{before}{token}{after}").as_bytes());
        assert!(!text.contains(&body) && !text.contains(&token), "{before}{token}{after}\n{text}");
    }
}

/// What grows with the square of its input would not end here.
#[test]
fn hostile_input_is_read_in_linear_time() {
    let seeds = [
        "=",
        ":",
        "a=",
        "token=",
        "token: ",
        "token:",
        "\"",
        "\\",
        "\\\"",
        "'",
        "{",
        "[",
        "a://b:c/",
        "-",
        "sk-",
        "eyJ",
        "eyJ-",
        "AKIA",
        "-----BEGIN ",
        "bearer ",
        "sig=",
        "x=token=arn:aws",
        "((",
        "password='",
        "\"password\":\"\\",
        "://",
        "a@",
        "secret ",
        "--password ",
        "sh -c \"",
        "$(",
        ",",
        "token: true, ",
        "token=${a}&",
        "-----BEGIN PRIVATE KEY",
        "\"data\":{",
        " ",
        "A",
        "b/",
        "%41",
    ];
    for seed in seeds {
        let text = seed.repeat(60_000 / seed.len());
        let redacted = self::text(text.as_bytes());
        assert_eq!(
            redacted.render(&mut |_, secret| String::from_utf8_lossy(secret).into()),
            RawText::from(text.clone())
        );
        let _ = argv(&[RawText::from(text)]);
    }
}

#[test]
fn any_bytes_come_back_whole() {
    let mut dice = Dice(3);
    let parts = [
        "password",
        "=",
        ":",
        " ",
        "\"",
        "'",
        "{",
        "}",
        "token",
        "--",
        "-p",
        "mysql ",
        "\n",
        "\\",
        "://",
        "u:p@h",
        "eyJhbGciOi",
        ".",
        "AKIA",
        "sh -c ",
        ";",
        "&",
        "?",
        "é",
        "data",
        "kind: Secret",
        "|",
    ];
    for _ in 0..20_000 {
        let len = dice.below(14);
        let mut bytes: Vec<u8> = Vec::new();
        for _ in 0..len {
            bytes.extend(parts[dice.below(parts.len())].as_bytes());
        }
        if dice.below(4) == 0 {
            bytes.push(0xff);
        }
        let whole = |redacted: Redacted| {
            let pieces = redacted.pieces.iter().flat_map(|piece| match piece {
                Piece::Plain(plain) => plain.as_bytes().to_vec(),
                Piece::Secret(_, secret) => secret.0.clone(),
            });
            assert_eq!(pieces.collect::<Vec<_>>(), bytes);
        };
        whole(text(&bytes));
        whole(assignment(&bytes));
        argv(&[RawText::from("sh"), RawText::new(bytes.clone())])
            .into_iter()
            .skip(1)
            .for_each(whole);
    }
}

/// Secrets with no shape of their own, and where they stand.
const FRAMES: &[&str] = &[
    "tool --password {}",
    "tool --password={}",
    "tool -password {}",
    "tool --db-password={} --verbose",
    "tool --api-key {}",
    "tool --apikey={}",
    "tool --client-secret {} next",
    "tool --token {}",
    "tool --auth-token={}",
    "tool --secret-key {}",
    "tool --docker-password={}",
    "tool --adminPassword {}",
    "mysql -u root -p{} db",
    "mysqldump -p{} db",
    "sshpass -p {} ssh host",
    "sshpass -p{} ssh host",
    "curl -u ada:{} https://h",
    "curl --user ada:{} https://h",
    "curl -uada:{} https://h",
    "curl --user=ada:{} https://h",
    "redis-cli -a {} ping",
    "docker login -u ada -p {} registry",
    "ldapsearch -x -w {} -b dc=x",
    "mongosh -u ada -p {} h",
    "env DB_PASSWORD={} prog",
    "env PGPASSWORD={} psql",
    "terraform apply -var db_password={}",
    "terraform apply -var=db_password={}",
    "terraform plan -var client_secret={}",
    "helm upgrade r c --set db.password={}",
    "helm upgrade r c --set a=1,db.password={},b=2",
    "helm upgrade r c --set-string auth.rootPassword={}",
    "helm upgrade r c --set=auth.token={}",
    "kubectl create secret generic s --from-literal=k={}",
    "kubectl create secret generic s --from-literal k={}",
    "kubectl create secret docker-registry s --docker-password={}",
    "curl https://h/?access_token={}",
    "curl https://h/?a=1&token={}&b=2",
    "curl https://h/?X-Amz-Security-Token={}",
    "psql postgres://ada:{}@db/x",
    "git clone https://ada:{}@h/r.git",
    "curl -H X-Api-Key:␣{} https://h",
    "curl -H Authorization:␣Bearer␣{} https://h",
    "curl -H X-Vault-Token:{} https://h",
    "curl -d {\"password\":\"{}\"} https://h",
    "curl -d {\"user\":\"a\",\"client_secret\":␣\"{}\"} https://h",
    "curl -d user=a&password={} https://h",
    "vault login {}",
    "vault kv put secret/a k={}",
    "aws ssm put-parameter --name n --value {}",
    "aws secretsmanager put-secret-value --secret-id n --secret-string {}",
    "az storage blob list --account-key {}",
    "az login -u a -p {}",
    "sqlcmd -S h -U sa -P {}",
    "openssl enc -k {}",
    "openssl rsa -passin pass:{}",
    "npm config set //r/:_authToken={}",
    "npm config set _authToken {}",
    "gpg --passphrase {} -d f",
    "keytool -storepass {} -list",
    "smbclient -U ada%{} //h/s",
    "rabbitmqctl add_user ada {}",
    "prog Server=h;Password={};Database=d",
    "prog AccountName=a;AccountKey={};EndpointSuffix=s",
    "ansible-playbook -e ansible_password={} p.yml",
    "gh secret set N --body {}",
    "docker run -e API_SECRET={} image",
    "docker build --build-arg NPM_TOKEN={} .",
    "fly secrets set K={}",
    "ssh-keygen -N {} -f k",
    "plink -pw {} host",
];

/// Tokens that their shape gives away.
const TOKENS: &[&str] = &[
    "ghp_{}",
    "gho_{}",
    "ghs_{}",
    "github_pat_{}",
    "glpat-{}",
    "xoxb-{}",
    "xoxp-{}",
    "xapp-{}",
    "sk_live_{}",
    "rk_test_{}",
    "whsec_{}",
    "npm_{}",
    "hvs.{}",
    "AIza{}",
    "ya29.{}",
    "GOCSPX-{}",
    "dckr_pat_{}",
    "sk-{}",
    "sk-ant-{}",
    "sk-proj-{}",
    "AKIA{16}",
    "ASIA{16}",
    "glsa_{}",
    "shpat_{}",
    "iddio_{}",
    "tskey-auth-{}",
    "eyJhbGciOiJIUzI1NiJ9.{}.{}",
    "lin_api_{}",
    "hf_{}",
    "SG.{}.{}",
    "dop_v1_{}{}",
    "-----BEGIN RSA PRIVATE KEY-----\n{}\n-----END RSA PRIVATE KEY-----",
    "-----BEGIN OPENSSH PRIVATE KEY-----\\n{}\\n-----END OPENSSH PRIVATE KEY-----",
    "hooks.slack.com/services/T0/B0/{}",
    "https://a:{}@h",
    "Bearer {}",
];

struct Dice(u64);

impl Dice {
    fn below(&mut self, n: usize) -> usize {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % n
    }

    fn of(&mut self, alphabet: &[u8], len: usize) -> String {
        (0..len).map(|_| char::from(alphabet[self.below(alphabet.len())])).collect()
    }

    fn alphanumeric(&mut self, len: usize) -> String {
        self.of(b"ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz0123456789", len)
    }

    /// A secret of some alphabet: words, digits, base64, and the punctuation no frame ends at.
    fn canary(&mut self) -> String {
        let len = 8 + self.below(40);
        match self.below(5) {
            0 => self.of(b"abcdefghijklmnopqrstuvwxyz", len),
            1 => self.of(b"0123456789abcdef", len),
            2 => self.alphanumeric(len),
            3 => self.of(b"ABCabc019+/_-", len) + "=",
            _ => String::from("c") + &self.of(b"abcXYZ019.!*~^-_", len),
        }
    }
}

#[track_caller]
fn check_table(table: &str, least: usize) {
    let cases = table.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    let mut count = 0;
    let mut wrong = Vec::new();
    for case in cases {
        count += 1;
        let marked = expand(case);
        let input: String = marked.chars().filter(|char| !"«»".contains(*char)).collect();
        let got = joined(&argv(&split(&input)));
        if got != hidden(&marked) {
            wrong.push(format!("{case}\n    {got}"));
        }
    }
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
    assert!(least <= count, "only {count} cases");
}

/// Puts made-up characters for `{A36}` and the like.
fn expand(marked: &str) -> String {
    let mut dice = Dice(7);
    let mut out = String::new();
    let mut rest = marked;
    while let Some((head, tail)) = rest.split_once('{') {
        out.push_str(head);
        let filler = tail.split_once('}').and_then(|(name, after)| {
            let len: usize = name.get(1..)?.parse().ok()?;
            let text = match name.as_bytes()[0] {
                b'A' => dice.alphanumeric(len),
                b'B' => dice
                    .of(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/", len),
                b'H' => dice.of(b"0123456789abcdef", len),
                b'U' => dice.of(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", len),
                _ => return None,
            };
            Some((text, after))
        });
        match filler {
            Some((text, after)) => {
                out.push_str(&text);
                rest = after;
            }
            None => {
                out.push('{');
                rest = tail;
            }
        }
    }
    out + rest
}

/// Returns `marked` with `***` for every marked part.
fn hidden(marked: &str) -> String {
    let mut out = String::new();
    let mut rest = marked;
    while let Some((head, tail)) = rest.split_once('«') {
        out.push_str(head);
        out.push_str("***");
        rest = tail.split_once('»').unwrap().1;
    }
    out + rest
}

fn raw(word: &str) -> RawText {
    RawText::from(word)
}

fn split(line: &str) -> Vec<RawText> {
    line.split(' ').map(|word| RawText::from(word.replace('␣', " "))).collect()
}

fn shown(redacted: &Redacted) -> String {
    let shown = redacted.render(&mut |_, _| "***".into());
    String::from_utf8_lossy(shown.as_bytes()).into_owned()
}

fn shown_text(bytes: &[u8]) -> String {
    shown(&text(bytes))
}

fn joined(words: &[Redacted]) -> String {
    words.iter().map(|word| shown(word).replace(' ', "␣")).collect::<Vec<_>>().join(" ")
}
