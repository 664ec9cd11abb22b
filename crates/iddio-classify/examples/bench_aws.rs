//! Judges lines of the AWS CLI as often as told: `bench_aws TIMES`, and says how long the first took
//! and how long the others.
//!
//! The first reads the catalog, as every run of the program does.

use std::{hint::black_box, time::Instant};

use iddio_classify::command::{Ambient, judge};
use iddio_core::text::RawText;

fn main() {
    let times = std::env::args().nth(1).and_then(|times| times.parse().ok()).unwrap_or(1_000_u64);
    let ambient = Ambient::default();
    let words = |line: &str| line.split(' ').map(RawText::from).collect::<Vec<_>>();
    let lines: Vec<_> = LINES.iter().map(|line| words(line)).collect();
    let start = Instant::now();
    let mut sum = 0;
    for line in lines.iter().take(1) {
        sum += u64::from(judge(black_box(line), &ambient).operation.tier.number());
    }
    let first = start.elapsed();
    let start = Instant::now();
    for _ in 0..times {
        for line in &lines {
            sum += u64::from(judge(black_box(line), &ambient).operation.tier.number());
        }
    }
    let each = start.elapsed().as_nanos() / u128::from(times * LINES.len() as u64).max(1);
    println!("{{\"first_us\": {}, \"each_ns\": {each}, \"sum\": {sum}}}", first.as_micros());
}

const LINES: [&str; 3] = [
    "aws ec2 describe-instances --region eu-west-1",
    "aws s3 ls",
    "aws secretsmanager get-secret-value --secret-id db",
];
