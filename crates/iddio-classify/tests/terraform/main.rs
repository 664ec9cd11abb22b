//! Plans and configurations of real Terraform, and damaged ones.

mod kit;
mod real;
