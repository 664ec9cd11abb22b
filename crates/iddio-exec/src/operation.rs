//! The command as an action: everything that makes it this run and no other, and what it means.
//!
//! INVARIANT: what is digested is what is executed. [`Material`] owns the opened program, the sealed
//! inputs and the private tree; the digest is taken over these, and [`crate::forward`] starts the
//! child from the same value and nothing else.

use std::{ffi::OsStr, os::unix::ffi::OsStrExt, path::PathBuf};

use iddio_classify::command::CatalogIdentity;
use iddio_core::{
    digest::{Canonical, Digest, Encoder},
    operation::{Action, Context, Effect, Input, Operations},
    text::RawText,
};
use iddio_spawn::{
    Arguments, Environment, Limits, Program, RunTime, SealedInput, WorkingDirectory,
};

use crate::{outputs::Outputs, snapshot::Snapshot, watch::Watched};

/// A command, judged and ready to run.
pub struct CommandAction {
    /// What will run.
    pub material: Material,
    /// What it means.
    pub operations: Operations,
    /// What a yes would do, worst first.
    pub effects: Vec<Effect>,
    /// What the caller says about it. Nobody checked it.
    pub explanation: Option<RawText>,
    /// Where in its private tree the root module lies; derived from the directory.
    pub module: PathBuf,
}

/// Everything a run consists of.
#[derive(Debug)]
pub struct Material {
    /// The program, opened once.
    pub program: Program,
    /// The SHA-256 of its content.
    pub program_digest: Digest,
    /// Its arguments, inputs substituted.
    pub arguments: Arguments,
    /// Its whole environment.
    pub environment: Environment,
    /// Where it starts.
    pub directory: WorkingDirectory,
    /// What the caller calls that.
    pub called: PathBuf,
    /// The files it was approved with.
    pub inputs: Vec<BoundInput>,
    /// What it reads that cannot be bound: URLs, charts.
    pub unbound: Vec<RawText>,
    /// Its standard input.
    pub stdin: StdinMaterial,
    /// Private copies of the directories it reads: the tree it works in first.
    pub trees: Vec<Snapshot>,
    /// The copy of the tree that was judged, where the run itself works in the original: it must
    /// still be the same when it starts.
    pub watched: Option<Snapshot>,
    /// The catalogs that judged it: the tool's own, and every one this installation added.
    pub catalogs: Vec<CatalogIdentity>,
    /// Settings and programs it reads from where they lie, as they were when it was judged.
    pub settings: Watched,
    /// What it acts on, as far as that is known: backend, workspace, context, region.
    pub target: Vec<(String, String)>,
    /// What of its caller's tree it declares that it writes.
    pub outputs: Outputs,
    /// How long it may run.
    pub limits: Limits,
}

/// A file that was read once and sealed: the child reads the sealed copy.
#[derive(Debug)]
pub struct BoundInput {
    /// What the caller called it.
    pub name: RawText,
    /// The place among the arguments, the program's own name being 0, that was substituted.
    pub argument: Option<usize>,
    /// The copy.
    pub sealed: SealedInput,
}

/// The standard input of a run.
#[derive(Debug)]
pub enum StdinMaterial {
    /// The caller's, untouched: data, not program.
    Inherit,
    /// Nothing: the run must not read.
    Nothing,
    /// A program or a manifest, spooled and sealed.
    Sealed(SealedInput),
}

// === impl CommandAction ===

impl Action for CommandAction {
    fn operations(&self) -> Operations {
        self.operations.clone()
    }

    fn effects(&self) -> Vec<Effect> {
        self.effects.clone()
    }

    fn context(&self) -> Context {
        let Material { called, inputs, unbound, stdin, .. } = &self.material;
        let bound = inputs.iter().map(|input| Input {
            name: input.name.clone(),
            digest: Some(Digest::from_bytes(input.sealed.sha256())),
        });
        let stdin = match stdin {
            StdinMaterial::Sealed(sealed) => Some(Input {
                name: RawText::from("standard input"),
                digest: Some(Digest::from_bytes(sealed.sha256())),
            }),
            StdinMaterial::Inherit | StdinMaterial::Nothing => None,
        };
        let unbound = unbound.iter().map(|name| Input { name: name.clone(), digest: None });
        Context {
            directory: Some(RawText::new(called.as_os_str().as_bytes())),
            inputs: bound.chain(stdin).chain(unbound).collect(),
            explanation: self.explanation.clone(),
        }
    }
}

impl Canonical for CommandAction {
    fn encode(&self, encoder: &mut Encoder) {
        // The meaning is derived from the material, and the ask's digest covers it besides.
        let Self { material, operations: _, effects: _, explanation, module } = self;
        material.encode(encoder);
        encoder.option(explanation.as_ref());
        text(encoder, module.as_os_str());
    }
}

// === impl Material ===

impl Canonical for Material {
    fn encode(&self, encoder: &mut Encoder) {
        let Self {
            program,
            program_digest,
            arguments,
            environment,
            directory,
            called,
            inputs,
            unbound,
            stdin,
            trees,
            watched,
            catalogs,
            settings,
            target,
            outputs,
            limits,
        } = self;
        text(encoder, program.path().as_os_str());
        encoder.digest(*program_digest);
        let words: Vec<_> = arguments.iter().collect();
        encoder.int(words.len() as u128);
        words.into_iter().for_each(|word| text(encoder, word));
        let environment: Vec<_> = environment.iter().collect();
        encoder.int(environment.len() as u128);
        for (name, value) in environment {
            text(encoder, name);
            text(encoder, value);
        }
        text(encoder, directory.path().as_os_str());
        text(encoder, called.as_os_str());
        encoder.int(u128::from(directory.device()));
        encoder.int(u128::from(directory.inode()));
        encoder.list(inputs);
        encoder.list(unbound);
        stdin.encode(encoder);
        encoder.list(trees);
        encoder.option(watched.as_ref());
        encoder.int(catalogs.len() as u128);
        for CatalogIdentity { name, digest } in catalogs {
            encoder.text(name);
            encoder.digest(*digest);
        }
        settings.encode(encoder);
        encoder.int(target.len() as u128);
        for (key, value) in target {
            encoder.text(key);
            encoder.text(value);
        }
        outputs.encode(encoder);
        encode_limits(encoder, *limits);
    }
}

impl Canonical for BoundInput {
    fn encode(&self, encoder: &mut Encoder) {
        let Self { name, argument, sealed } = self;
        name.encode(encoder);
        encoder.int(argument.map_or(0, |place| place as u128 + 1));
        encoder.digest(Digest::from_bytes(sealed.sha256()));
    }
}

impl Canonical for StdinMaterial {
    fn encode(&self, encoder: &mut Encoder) {
        match self {
            Self::Inherit => encoder.tag(1),
            Self::Nothing => encoder.tag(2),
            Self::Sealed(sealed) => {
                encoder.tag(3);
                encoder.digest(Digest::from_bytes(sealed.sha256()));
            }
        }
    }
}

fn encode_limits(encoder: &mut Encoder, limits: Limits) {
    let Limits { run_time, term_grace, straggler_grace } = limits;
    match run_time {
        RunTime::AtMost(duration) => {
            encoder.tag(1);
            encoder.int(duration.as_millis());
        }
        RunTime::Unlimited => encoder.tag(2),
    }
    encoder.int(term_grace.as_millis());
    encoder.int(straggler_grace.as_millis());
}

fn text(encoder: &mut Encoder, text: &OsStr) {
    encoder.bytes(text.as_bytes());
}
