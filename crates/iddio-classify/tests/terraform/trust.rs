//! Which providers may run.

use iddio_classify::terraform::{
    config::{self, Source},
    judge::{self, Trust, TrustedProvider, Use},
};
use iddio_core::tier::Tier;

const CONFIGURATION: &str = r#"
terraform {
  required_providers {
    aws  = { source = "hashicorp/aws" }
    mine = { source = "registry.example.com/team/mine", version = "~> 1.0" }
  }
}
resource "aws_instance" "a" {}
resource "mine_thing" "b" {}
"#;

const LOCK: &str = r#"
provider "registry.terraform.io/hashicorp/aws" {
  version = "5.0.0"
  hashes = [
    "h1:one",
    "zh:two",
  ]
}
"#;

fn untrusted(trusted: &[(&str, &[&str])]) -> Vec<String> {
    let providers = trusted
        .iter()
        .map(|(source, hashes)| TrustedProvider {
            source: (*source).to_owned(),
            hashes: hashes.iter().map(|hash| (*hash).to_owned()).collect(),
        })
        .collect();
    let sources = [
        Source { path: "main.tf", bytes: CONFIGURATION.as_bytes() },
        Source { path: ".terraform.lock.hcl", bytes: LOCK.as_bytes() },
    ];
    let facts = config::scan(&sources, None);
    let judgement = judge::config(&facts, Use::Evaluate, &Trust { providers });
    let untrusted: Vec<_> = judgement.effects.iter().map(|effect| effect.address.clone()).collect();
    let expected = if untrusted.is_empty() { Tier::Observe } else { Tier::Sensitive };
    assert_eq!(judgement.tier, expected);
    untrusted
}

#[test]
fn a_provider_runs_only_if_its_address_and_all_its_hashes_are_trusted() {
    let aws = "registry.terraform.io/hashicorp/aws".to_owned();
    let mine = "registry.example.com/team/mine".to_owned();
    let both: &[(&str, &[&str])] = &[("hashicorp/*", &[]), ("registry.example.com/team/mine", &[])];
    assert_eq!(untrusted(&[]), [mine.clone(), aws.clone()]);
    assert_eq!(untrusted(both), Vec::<String>::new());
    assert_eq!(untrusted(&[("hashicorp/aws", &[])]), std::slice::from_ref(&mine));
    assert_eq!(untrusted(&[("hashicorp/aws", &["h1:one", "zh:two"])]), std::slice::from_ref(&mine));
    assert_eq!(untrusted(&[("hashicorp/aws", &["h1:one"])]), [mine.clone(), aws.clone()]);
    // Pinned, but the lock file pins nothing.
    let pinned: &[(&str, &[&str])] = &[("hashicorp/aws", &[]), ("*/team/mine", &["h1:x"])];
    assert_eq!(untrusted(pinned), std::slice::from_ref(&mine));
    // A star does not cross a slash, and a source without host means the public registries.
    assert_eq!(untrusted(&[("*", &[]), ("team/mine", &[])]), [mine, aws]);
}
