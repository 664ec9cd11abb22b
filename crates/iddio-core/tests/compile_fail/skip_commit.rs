//! What is not committed is not minted for, and what is not minted for is not exercised.

use iddio_core::{
    credential::NoCredential,
    operation::Action,
    pipeline::{Decided, Pipeline, Settled, Warrant},
    recording::Recorder,
};

async fn forward_unsettled<A: Action>(decided: Decided<A>, pipeline: &Pipeline) {
    decided.commit(pipeline).await;
}

async fn forward_unrecorded<A: Action>(settled: Settled<A>) {
    settled.mint(&NoCredential).await;
}

async fn forward_without_credential<A: Action>(warrant: Warrant<A>, recorder: &dyn Recorder) {
    warrant.exercise(recorder).await;
}

fn main() {}
