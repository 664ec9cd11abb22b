//! Another reader of the configuration language, to compare with.

use hcl_edit::structure::{Body, Structure};
use iddio_classify::terraform::config::{self, Fact, Source};
use proptest::prelude::*;

/// Left by the comparison below.
#[test]
fn a_provisioner_outside_any_resource_is_found() {
    check("a = EOT\nprovisioner \"x\" {}\nresource \"a\" \"b\" {\n  provisioner \"x\" {}\n}\n")
        .unwrap();
}

/// Returns how many provisioners the other reader finds, or nothing where it cannot read.
fn provisioners(text: &str) -> Option<usize> {
    fn count(body: &Body) -> usize {
        let blocks = body.iter().filter_map(|structure| match structure {
            Structure::Block(block) => Some(block),
            Structure::Attribute(_) => None,
        });
        blocks
            .map(|block| {
                let own = usize::from(block.ident.as_str() == "provisioner");
                own + count(&block.body)
            })
            .sum()
    }
    hcl_edit::parser::parse_body(text).ok().map(|body| count(&body))
}

fn check(text: &str) -> Result<(), TestCaseError> {
    let Some(theirs) = provisioners(text) else { return Ok(()) };
    let facts = config::scan(&[Source { path: "main.tf", bytes: text.as_bytes() }], None);
    let is = |fact: &Fact| fact.provisioning() != config::Provisioning::No;
    let ours = facts.findings.iter().filter(|finding| is(&finding.fact)).count();
    let warned = facts
        .findings
        .iter()
        .any(|finding| matches!(finding.fact, Fact::Unreadable(_) | Fact::Suspect(_)));
    prop_assert!(ours >= theirs || warned, "{ours} of {theirs} in {text:?}");
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_provisioner_another_reader_finds_is_missed(
        parts in proptest::collection::vec(prop::sample::select(PARTS.to_vec()), 0..14),
    ) {
        let text: String = parts.concat();
        check(&text)?;
        check(&format!("resource \"a\" \"b\" {{\n{text}\n  provisioner \"local-exec\" {{}}\n}}\n"))?;
        check(&format!("a = {text}\nresource \"a\" \"b\" {{\n  provisioner \"x\" {{\n}}\n}}\n"))?;
    }
}

const PARTS: [&str; 38] = [
    "provisioner \"local-exec\" {\n",
    "provisioner \"x\" {}\n",
    "resource \"a\" \"b\" {\n",
    "}\n",
    "}",
    "{",
    "a = ",
    "b = 1\n",
    "\"",
    "\"x\"",
    "\\\"",
    "${",
    "$${",
    "%{",
    "%%{",
    "~}",
    "$",
    "%",
    "<<EOT\n",
    "<<-EOT\n",
    "EOT\n",
    "  EOT  \n",
    "EOT",
    "\n",
    "\r\n",
    " ",
    "# ",
    "// ",
    "/*",
    "*/",
    "(",
    ")",
    "[",
    "]",
    "x",
    "1",
    "f(",
    ",",
];
