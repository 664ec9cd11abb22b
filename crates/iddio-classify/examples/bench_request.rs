//! Judges request lines as often as told: `bench_request TIMES`.
//!
//! Under callgrind, two runs that differ only in their times tell the instructions of one
//! judgement.

use std::hint::black_box;

use iddio_classify::kube;

fn main() {
    let times = std::env::args().nth(1).and_then(|times| times.parse().ok()).unwrap_or(1u64);
    let mut sum = 0u64;
    for _ in 0..times {
        for (method, path) in LINES {
            sum += u64::from(kube::request(black_box(method), black_box(path)).tier.number());
        }
    }
    println!("{{\"judged\": {}, \"sum\": {sum}}}", times * LINES.len() as u64);
}

/// What a cluster's gateway mostly sees.
const LINES: [(&str, &str); 4] = [
    ("GET", "/api/v1/namespaces/payments/pods"),
    ("GET", "/apis/apps/v1/namespaces/payments/deployments/api"),
    ("PATCH", "/apis/apps/v1/namespaces/payments/deployments/api"),
    ("GET", "/api/v1/namespaces/payments/secrets/database"),
];
