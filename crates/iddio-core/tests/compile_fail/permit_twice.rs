//! A permit is spent once, and a warrant buys one.

use iddio_core::{
    credential::NoCredential,
    pipeline::{Permit, Warrant},
    recording::Recorder,
};

async fn replay<A>(permit: Permit<A, ()>, recorder: &dyn Recorder) {
    let _first = permit.exercise(recorder).await;
    let _second = permit.exercise(recorder).await;
}

async fn two_for_one<A: Send + Sync>(warrant: Warrant<A>) {
    let _first = warrant.mint(&NoCredential).await;
    let _second = warrant.mint(&NoCredential).await;
}

fn main() {}
