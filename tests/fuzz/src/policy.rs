//! Policy files and their patterns.

use iddio_core::{
    operation::{Description, Operation, Pattern, Protocol, Scopes},
    policy::{
        PolicyEvaluator as _, Query, Verdict,
        pattern::{Glob, GlobKind},
    },
    tier::{Class, Tier},
    time::Clock as _,
};
use iddio_policy::{Format, Loaded, Surroundings};
use iddio_testkit::{TestClock, block_on, principal};

pub(crate) fn yaml(bytes: &[u8]) {
    check(bytes, Format::Yaml);
}

pub(crate) fn toml(bytes: &[u8]) {
    check(bytes, Format::Toml);
}

/// A file loads or says why not; one that loads denies whom it does not name.
fn check(bytes: &[u8], format: Format) {
    match iddio_policy::load(bytes, format, "fuzz") {
        Err(error) => assert!(!error.diagnostics.is_empty(), "refused without a reason"),
        Ok(loaded) => {
            let surroundings = Surroundings { operators: None, lowered: Vec::new() };
            let _findings = iddio_policy::lint(&loaded, &surroundings);
            denies_strangers(&loaded);
        }
    }
}

fn denies_strangers(loaded: &Loaded) {
    let stranger = principal("stranger-nobody-names", &[]);
    for protocol in Protocol::ALL {
        for tier in Tier::ALL {
            let operation = operation(protocol, tier);
            let now = TestClock::new().now();
            let query = Query { principal: &stranger, operation: &operation, now };
            let decision = match loaded.policy.evaluate(&query) {
                iddio_core::policy::Evaluation::Now(decision) => decision,
                iddio_core::policy::Evaluation::Later(decision) => block_on(decision),
            };
            assert_eq!(decision.verdict, Verdict::Deny, "a stranger got in");
        }
    }
}

fn operation(protocol: Protocol, tier: Tier) -> Operation {
    Operation {
        protocol,
        tier,
        class: Class::Unknown,
        scopes: Scopes::default(),
        overrides: Vec::new(),
        pattern: Pattern::Unmatchable,
        reasons: Vec::new(),
        description: Description::default(),
    }
}

/// A pattern, a zero byte, a name: matching ends, and a pattern without marks covers itself alone.
pub(crate) fn glob(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let (pattern, name) = text.split_once('\0').unwrap_or((text, text));
    use GlobKind::{Endpoint, Host, Path, Plain, Word};
    for kind in [Endpoint, Host, Path, Plain, Word] {
        if let Ok(glob) = Glob::new(kind, pattern) {
            let covers = glob.covers(name);
            if !pattern.contains(['*', '?', '[', '\\']) && kind == Plain {
                assert_eq!(covers, pattern == name, "{pattern:?} {name:?}");
            }
            if glob.is_everything() {
                assert!(covers, "everything is not all");
            }
        }
    }
}
