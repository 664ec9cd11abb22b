//! A refusal is worded from a recorded one, and a failed record is none.

use iddio_core::{
    operation::Action,
    pipeline::{Pipeline, Rejection, Request},
};

fn refuse(_: &Rejection) {}

async fn serve<A: Action>(pipeline: &Pipeline, request: Request<A>) {
    match pipeline.admit(request).await {
        Ok(_) => {}
        Err(error) => refuse(&error),
    }
}

fn main() {}
