//! The invariants of the classifier, over random lines.

use iddio_classify::{
    catalog::Catalog,
    command::{Ambient, judge},
    explain,
};
use iddio_core::{
    digest::{Canonical, Digest, Encoder},
    operation::Operation,
    text::RawText,
    tier::Tier,
};
use proptest::prelude::*;

use crate::kit::judged;

/// Lines of the catalogs' own examples.
fn examples() -> Vec<Vec<String>> {
    Catalog::sources()
        .flat_map(|(_, source)| Catalog::samples(source).unwrap())
        .map(|sample| sample.argv)
        .collect()
}

/// Examples of tools with subcommands, to which an option is an option wherever it stands.
fn example() -> impl Strategy<Value = Vec<String>> {
    let samples = Catalog::sources()
        .filter(|(_, source)| !source.contains("\n[plain]"))
        .flat_map(|(_, source)| Catalog::samples(source).unwrap());
    prop::sample::select(samples.map(|sample| sample.argv).collect::<Vec<_>>())
}

/// Words of all examples: what a fuzzer would take from a dictionary.
fn word() -> impl Strategy<Value = String> {
    let mut words: Vec<_> = examples().into_iter().flatten().collect();
    words.sort();
    words.dedup();
    prop_oneof![
        8 => prop::sample::select(words),
        1 => "-{0,2}[a-z=_.-]{0,12}",
        1 => any::<String>(),
    ]
}

fn digest(operation: &Operation) -> Digest {
    struct Whole<'a>(&'a Operation);
    impl Canonical for Whole<'_> {
        fn encode(&self, encoder: &mut Encoder) {
            self.0.encode(encoder);
        }
    }
    Digest::of(&Whole(operation))
}

/// Whether the word at `at` is an option that may take the next word.
fn open(words: &[String], at: usize) -> bool {
    words.get(at).is_some_and(|word| word.starts_with('-') && !word.contains('='))
}

proptest! {
    #[test]
    fn random_bytes_are_judged_without_a_panic(
        words in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..24), 0..8)
    ) {
        let argv: Vec<_> = words.into_iter().map(RawText::new).collect();
        let judged = judge(&argv, &Ambient::default());
        let _ = explain::text(&judged, explain::Subject::Words(&argv));
        // A single letter may be a program that a catalog knows: `w`.
        let program = argv.first().and_then(RawText::as_str).unwrap_or_default();
        let known = Catalog::for_program(program).is_some();
        prop_assert!(known || judged.operation.native_tier() >= Tier::Sensitive);
        prop_assert!(!judged.operation.reasons.is_empty());
    }

    #[test]
    fn random_words_of_our_tools_are_judged_alike_every_time(
        tool in prop::sample::select(vec!["terraform", "tofu", "kubectl", "helm", "aws"]),
        rest in prop::collection::vec(word(), 0..10),
    ) {
        let words: Vec<_> = std::iter::once(tool.to_owned()).chain(rest).collect();
        let one = judged(&words);
        let other = judged(&words);
        prop_assert_eq!(digest(&one.operation), digest(&other.operation));
        prop_assert_eq!(&one.plan, &other.plan);
        let greatest = one.operation.reasons.iter().map(|reason| reason.tier).max();
        prop_assert_eq!(greatest, Some(one.operation.tier), "the reasons give the tier");
        for input in &one.plan.inputs {
            let raw = words.get(input.word).map(String::as_bytes).unwrap();
            prop_assert_eq!(raw.get(input.start..input.end).unwrap(), input.path.as_bytes());
        }
    }

    #[test]
    fn an_unknown_option_never_lowers_and_is_at_least_a_modification(
        words in example(), place in 1usize..12,
    ) {
        let end = words.iter().position(|word| word == "--").unwrap_or(words.len());
        let place = place.min(end);
        // Between an option and its value it would be the value.
        prop_assume!(!open(&words, place - 1));
        let mut more = words.clone();
        more.insert(place, "--zz-frobnicate=x".to_owned());
        let (before, after) = (judged(&words).operation, judged(&more).operation);
        prop_assert!(after.native_tier() >= before.native_tier(), "{more:?}");
        prop_assert!(after.native_tier() >= Tier::Modify, "{more:?}");
    }

    #[test]
    fn an_option_that_raises_raises_wherever_it_stands(words in example(), place in 1usize..12) {
        let options = match words.first().map(String::as_str) {
            Some("kubectl") => "--insecure-skip-tls-verify",
            Some("aws") => "--no-verify-ssl",
            Some("helm") => "--kube-insecure-skip-tls-verify",
            _ => return Ok(()),
        };
        let end = words.iter().position(|word| word == "--").unwrap_or(words.len());
        let place = place.min(end);
        // Between an option and its value it would be the value.
        prop_assume!(!open(&words, place - 1));
        let mut more = words.clone();
        more.insert(place, options.to_owned());
        prop_assert_eq!(judged(&more).operation.native_tier(), Tier::BreakGlass, "{:?}", more);
    }

    #[test]
    fn arguments_behind_the_terminator_are_no_options(words in prop::collection::vec("[a-z]{1,8}", 0..5)) {
        let mut line: Vec<_> = ["kubectl", "exec", "web", "--"].map(str::to_owned).to_vec();
        line.extend(words);
        line.push("--server=x".to_owned());
        prop_assert!(judged(&line).operation.overrides.is_empty());
    }
}
