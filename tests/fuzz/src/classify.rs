//! What says how dangerous something is.

use iddio_classify::{
    catalog::Catalog,
    command::{self, Ambient},
    kube,
    shell::{Dialect, TEXT_BYTES_MAX, read_as},
    terraform::{
        config::{self, Source},
        judge::{self, Trust, Use},
        plan,
    },
};
use iddio_core::{text::RawText, tier::Tier};

/// Any argument vector has a tier, twice the same, and an unknown program is at least T3.
pub(crate) fn command(bytes: &[u8]) {
    let argv = super::words(bytes);
    let judged = command::judge(&argv, &Ambient::default());
    let again = command::judge(&argv, &Ambient::default());
    let tier = judged.operation.native_tier();
    assert_eq!(tier, again.operation.native_tier(), "judged twice, differently");
    assert!(!judged.operation.reasons.is_empty(), "a tier without a reason");
    let program = argv.first().and_then(|word| word.as_str()).unwrap_or_default();
    let base = program.rsplit('/').next().unwrap_or_default();
    if Catalog::for_program(base).is_none() {
        assert!(Tier::Sensitive <= tier, "an unknown program is {tier}");
    }
    let text = RawText::new(bytes);
    let line = || command::shell_line(&text, &Ambient::default()).operation.native_tier();
    assert_eq!(line(), line(), "a line judged twice, differently");
}

/// A program for awk is judged, twice the same; nothing behind it lowers what stands in it.
pub(crate) fn awk(bytes: &[u8]) {
    program(&["awk"], bytes, b"\n{ system(\"rm -rf /\") }");
}

/// A script for sed.
pub(crate) fn sed(bytes: &[u8]) {
    program(&["sed"], bytes, b"\ne");
}

/// Commands for an editor.
pub(crate) fn ed(bytes: &[u8]) {
    program(&["ex", "-c"], bytes, b"\n.\n!rm -rf /");
}

/// An expression for find, words parted by zero bytes.
pub(crate) fn find(bytes: &[u8]) {
    let mut argv = vec![RawText::from("find")];
    argv.extend(super::words(bytes));
    let judged = command::judge(&argv, &Ambient::default());
    let again = command::judge(&argv, &Ambient::default());
    assert_eq!(judged.tier(), again.tier(), "judged twice, differently");
}

/// A program in an argument. `harm` behind it is either seen or text of the program's own, but what
/// is a program by itself is never worth less with it.
fn program(words: &[&str], bytes: &[u8], harm: &[u8]) {
    let line = |text: &[u8]| {
        let mut argv: Vec<_> = words.iter().map(|word| RawText::from(*word)).collect();
        argv.push(RawText::new(text));
        command::judge(&argv, &Ambient::default()).tier()
    };
    assert_eq!(line(bytes), line(bytes), "judged twice, differently");
    let plain = bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b';');
    if plain && line(bytes) < Tier::Sensitive {
        assert_eq!(line(&[bytes, harm].concat()), Tier::BreakGlass, "what runs is not seen");
    }
}

/// A catalog is read whole or not at all.
pub(crate) fn catalog(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let _samples = Catalog::samples(text);
    if let Ok(catalog) = Catalog::parse(text) {
        assert!(!catalog.name().is_empty(), "a catalog without a name");
    }
}

/// A method, a space, a target, and on further lines headers, an empty line and a body: what can be
/// read in two ways is break-glass, and a whole request is worth at least its line.
pub(crate) fn kube_request(bytes: &[u8]) {
    let (head, body) = match bytes.windows(2).position(|pair| pair == b"\n\n") {
        Some(end) => (bytes.get(..end), bytes.get(end + 2..)),
        None => (Some(bytes), None),
    };
    let Some(Ok(head)) = head.map(std::str::from_utf8) else { return };
    let mut lines = head.split('\n');
    let line = lines.next().unwrap_or_default();
    let (method, target) = line.split_once(' ').unwrap_or(("GET", line));
    let path = target.split('?').next().unwrap_or_default();
    let verdict = kube::request(method, path);
    let evasive = kube::target(path).is_none() || kube::Method::of(method).is_none();
    if evasive {
        assert_eq!(verdict.tier, Tier::BreakGlass, "{line:?}");
    }
    let lower = path.to_ascii_lowercase();
    let encoded = ["//", "%2f", "%2e"].iter().any(|evasion| lower.contains(evasion));
    if encoded || path.split('/').any(|segment| segment == "..") {
        assert_eq!(verdict.tier, Tier::BreakGlass, "{line:?}");
    }
    let headers: Vec<_> = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name, value.as_bytes()))
        .collect();
    let body = body.unwrap_or_default();
    let raw = kube::Raw { method, target: target.as_bytes(), headers: &headers, body };
    match kube::Call::read(&raw) {
        Ok(call) => {
            assert!(!evasive, "{line:?} has one reading");
            let tier = call.operation("c").tier;
            let node = call.info.resource.as_ref().is_some_and(|about| about.resource == "nodes");
            let lowered = node && tier == Tier::Modify;
            assert!(verdict.tier <= tier || lowered, "{line:?} is lowered to {tier}");
        }
        Err(malformed) => {
            let operation = malformed.operation("c", method, path);
            assert_eq!(operation.tier, Tier::BreakGlass);
        }
    }
}

/// Any body is judged.
pub(crate) fn kube_body(bytes: &[u8]) {
    if let Ok(text) = std::str::from_utf8(bytes) {
        let _verdict = kube::body::judge(text);
    }
}

/// Any answer of a server is read or says nothing, and lowers no request.
pub(crate) fn kube_answer(bytes: &[u8]) {
    let target = b"/apis/example.com/v1/widgets";
    let raw = kube::Raw { method: "DELETE", target, headers: &[], body: b"" };
    let Ok(mut call) = kube::Call::read(&raw) else { return };
    let before = call.operation("c").tier;
    call.listed(kube::listing::Listing::read(bytes));
    if let Some(names) = kube::discovery::Discovered::read(bytes, "example.com", "v1") {
        let _ = call.discovered(&names);
    }
    assert_eq!(before, call.operation("c").tier, "an answer lowers");
    assert!(!call.effects().is_empty());
}

/// Any body in CBOR or protobuf is refused or judged, and as the same object in JSON is.
pub(crate) fn kube_binary(bytes: &[u8]) {
    let kinds = ["application/cbor", "application/vnd.kubernetes.protobuf"];
    let target = b"/apis/apps/v1/namespaces/n/deployments/d";
    for kind in kinds {
        let read = |kind: &str, body: &[u8]| {
            let headers = [("content-type", kind.as_bytes())];
            kube::Call::read(&kube::Raw { method: "PUT", target, headers: &headers, body })
        };
        let Ok(call) = read(kind, bytes) else { continue };
        let kube::content::Content::Object(object) = &call.content else { continue };
        let json = read("application/json", object.to_string().as_bytes());
        // Objects within objects may be deeper than JSON is read.
        let Ok(json) = json else { continue };
        assert_eq!(json.operation("c").tier, call.operation("c").tier);
    }
}

/// A look at any object lowers no change of it. The first line is the kind of patch, up to an empty
/// line stands the patch, and the object behind it.
pub(crate) fn kube_change(bytes: &[u8]) {
    let Some(end) = bytes.windows(2).position(|pair| pair == b"\n\n") else { return };
    let (head, object) = (bytes.get(..end).unwrap_or_default(), bytes.get(end + 2..));
    let Some(line) = head.iter().position(|byte| *byte == b'\n') else { return };
    let (kind, body) = (head.get(..line).unwrap_or_default(), head.get(line + 1..));
    let target = b"/apis/apps/v1/namespaces/n/deployments/d";
    let headers = [("content-type", kind)];
    let body = body.unwrap_or_default();
    let raw = kube::Raw { method: "PATCH", target, headers: &headers, body };
    let Ok(mut call) = kube::Call::read(&raw) else { return };
    let before = call.operation("c").tier;
    call.resulting(kube::Current::Object(object.unwrap_or_default()));
    assert!(before <= call.operation("c").tier, "a look lowers");
}

/// Any manifest is read and judged for every use; what cannot be read is break-glass.
pub(crate) fn kube_manifest(bytes: &[u8]) {
    use kube::manifest::{ManifestFacts, Usage};
    for usage in [Usage::Apply, Usage::Delete, Usage::Patch, Usage::Read] {
        let facts = ManifestFacts::of(bytes, &usage);
        let worst = facts.judged(&usage).first().map(|judged| judged.verdict.tier);
        if facts.unreadable.is_some() {
            assert_eq!(worst, Some(Tier::BreakGlass), "what cannot be read is not T4");
        }
    }
}

/// Any text for a database's client is judged alike twice.
pub(crate) fn sql(bytes: &[u8]) {
    use iddio_classify::command;
    use iddio_core::text::RawText;
    for program in [["psql", "-c"], ["mysql", "-e"], ["sqlite3", "a"], ["redis-cli", "-c"]] {
        let [name, flag] = program.map(RawText::from);
        let argv = [name, flag, RawText::new(bytes)];
        let once = command::judge(&argv, &command::Ambient::default()).operation.tier;
        let again = command::judge(&argv, &command::Ambient::default()).operation.tier;
        assert_eq!(once, again);
    }
}

/// A saved plan is read or refused, and what is read is judged.
pub(crate) fn terraform_plan(bytes: &[u8]) {
    let trust = Trust { providers: Vec::new() };
    match plan::read(bytes) {
        Ok(facts) => {
            let _judgement = judge::plan(&facts, &trust);
        }
        Err(error) => {
            let judgement = judge::unreadable(&error);
            assert_eq!(judgement.tier, Tier::UNKNOWN, "what cannot be read is not T4");
        }
    }
}

/// Any configuration is scanned and judged: a file of HCL, of JSON, a lock file, a CLI setting.
pub(crate) fn terraform_config(bytes: &[u8]) {
    let trust = Trust { providers: Vec::new() };
    for path in ["main.tf", "main.tf.json", ".terraform.lock.hcl", "modules/a/main.tf"] {
        let facts = config::scan(&[Source { path, bytes }], Some(bytes));
        for usage in [Use::Apply, Use::Evaluate] {
            let _judgement = judge::config(&facts, usage, &trust);
        }
    }
}

/// A text for a shell is read or refused, and what follows on another line changes nothing: no
/// quote, comment or here-document was left open.
pub(crate) fn shell_read(bytes: &[u8]) {
    for dialect in [Dialect::Bash, Dialect::Posix] {
        let followed = [bytes, b"\n: x"].concat();
        match read_as(bytes, dialect) {
            Ok(script) => {
                let Ok(longer) = read_as(&followed, dialect) else {
                    assert!(TEXT_BYTES_MAX < followed.len(), "a line behind it is refused");
                    continue;
                };
                assert_eq!(longer.lists.len(), script.lists.len() + 1, "a line was swallowed");
                assert!(longer.lists.starts_with(&script.lists), "a line changed those before");
            }
            Err(error) => {
                let end = usize::try_from(error.at.end).unwrap_or(usize::MAX);
                assert!(end <= bytes.len() + 1, "an error outside of the text");
            }
        }
    }
}
