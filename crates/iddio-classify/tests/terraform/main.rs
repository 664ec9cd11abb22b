//! Plans and configurations of real Terraform, and damaged ones.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "helpers of tests fail by panicking, as tests do"
)]

mod address;
mod archive;
mod configuration;
mod damage;
mod judged;
mod kit;
mod oracle;
mod real;
mod trust;
mod vectors;
