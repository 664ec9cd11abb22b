//! Running an agent, as an action of the pipeline.
//!
//! Its tier is that of what it lends: a box takes from the agent what the caller has, and gives it the workspace and
//! what its profile names. That much changes nothing on any infrastructure: tier 0. What is named beyond the profile
//! is tier 2. Letting it do what policy refuses, in order to see, is tier 3.

use std::os::unix::ffi::OsStrExt;

use iddio_core::{
    digest::{Canonical, Digest, Encoder},
    operation::{
        Action, Context, Description, Effect, Operation, Operations, Pattern, Protocol, Reason,
        ScopeKey, Scopes,
    },
    text::RawText,
    tier::{Class, Tier},
};
use iddio_runtime::mode::Mode;

use crate::grant::Grant;

/// An agent to be run, and what it gets.
pub struct RunAction {
    /// What it gets.
    pub grant: Grant,
    /// The SHA-256 of its program.
    pub program_digest: Digest,
    /// What the caller says about it. Nobody checked it.
    pub explanation: Option<RawText>,
}

// === impl RunAction ===

impl RunAction {
    fn tier(&self) -> Tier {
        match self.grant.mode {
            Mode::Observe => Tier::Sensitive,
            Mode::Enforce | Mode::Shadow if self.grant.beyond.is_empty() => Tier::Observe,
            Mode::Enforce | Mode::Shadow => Tier::Modify,
        }
    }

    fn reasons(&self) -> Vec<Reason> {
        let reason = |tier, rule: &str, text: String| Reason {
            tier,
            rule: format!("run:{rule}"),
            text,
            word: None,
            at: None,
        };
        let workspace = self.grant.workspace.display();
        let plain = format!("an agent in a box, which may write {workspace} and decides nothing");
        let mut reasons = vec![reason(Tier::Observe, "box", plain)];
        for beyond in &self.grant.beyond {
            let text = format!("it gets more than its profile names: {beyond}");
            reasons.push(reason(Tier::Modify, "beyond", text));
        }
        if self.grant.mode == Mode::Observe {
            let text =
                "what policy refuses or asks about below tier 4 is let through, and recorded";
            reasons.push(reason(Tier::Sensitive, "observe", text.to_owned()));
        }
        reasons
    }
}

impl Action for RunAction {
    fn operations(&self) -> Operations {
        let argv = self.grant.arguments.iter().map(|word| RawText::new(word.as_bytes()));
        let command = format!("{COMMAND} {}", self.grant.profile);
        let mut scopes = Scopes::default();
        scopes.add_name(ScopeKey::Commands, COMMAND);
        Operations::one(Operation {
            protocol: Protocol::Command,
            tier: self.tier(),
            class: Class::Session,
            scopes,
            overrides: Vec::new(),
            pattern: Pattern::Unmatchable,
            reasons: self.reasons(),
            description: Description {
                command: Some(command),
                argv: argv.collect(),
                resource: Some(self.grant.summary()),
                ..Description::default()
            },
        })
    }

    fn effects(&self) -> Vec<Effect> {
        let effect = |tier, text: String| Effect { tier, sign: "+".to_owned(), text };
        let beyond = self.grant.beyond.iter();
        beyond.map(|beyond| effect(Tier::Modify, beyond.clone())).collect()
    }

    fn context(&self) -> Context {
        Context {
            directory: Some(RawText::new(self.grant.workspace.as_os_str().as_bytes())),
            inputs: Vec::new(),
            explanation: self.explanation.clone(),
        }
    }
}

impl Canonical for RunAction {
    fn encode(&self, encoder: &mut Encoder) {
        let Self { grant, program_digest, explanation } = self;
        encoder.bytes(grant.program.path().as_os_str().as_bytes());
        encoder.digest(*program_digest);
        let words: Vec<_> = grant.arguments.iter().collect();
        encoder.int(words.len() as u128);
        words.into_iter().for_each(|word| encoder.bytes(word.as_bytes()));
        let variables: Vec<_> = grant.environment.iter().collect();
        encoder.int(variables.len() as u128);
        for (name, value) in variables {
            encoder.bytes(name.as_bytes());
            encoder.bytes(value.as_bytes());
        }
        // The names are sorted, the lists in order; so this is one text for one grant.
        encoder.text(&grant.facts().to_string());
        encoder.option(explanation.as_ref());
    }
}

/// The program's name for policy: `commands: ["iddio-run"]`.
pub const COMMAND: &str = "iddio-run";
