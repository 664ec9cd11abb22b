//! When two asks are alike, in two senses.
//!
//! *Alike* is what a bounded ticket covers: the same caller, under the same rule and obligations,
//! with the same words, scopes and directory. What may differ is what changes from run to run: the
//! environment, the content of inputs, and the effects within the tier. A different target, agent,
//! argument or verb is another ask (A07).
//!
//! *Kin* is what back-off slows down: the same agent, protocol and command. It is coarser, so that
//! an agent that was refused three times does not start afresh by changing an argument.

use iddio_core::{
    approval::Ask,
    digest::{Canonical, Digest, Encoder},
    operation::Operation,
};

/// Returns the digest that alike asks share.
pub(crate) fn likeness(ask: &Ask) -> Digest {
    Digest::of(&Likeness(ask))
}

/// Returns the digest that asks of one kin share.
pub(crate) fn kin(ask: &Ask) -> Digest {
    Digest::of(&Kin(ask))
}

struct Likeness<'a>(&'a Ask);

struct Kin<'a>(&'a Ask);

impl Canonical for Likeness<'_> {
    fn encode(&self, encoder: &mut Encoder) {
        let Ask {
            id: _,
            principal,
            action_digest: _,
            operations,
            effects: _,
            context,
            decision,
            asked: _,
            lapses: _,
        } = self.0;
        encoder.text("iddio-likeness/v1");
        principal.encode(encoder);
        operations.encode(encoder);
        encoder.option(context.directory.as_ref());
        encoder.list(context.inputs.iter().map(|input| &input.name).collect::<Vec<_>>());
        encoder.tag(decision.verdict as u8);
        encoder.tag(decision.effective as u8);
        encoder.tag(decision.overrides as u8);
        encoder.text(&decision.rule);
        encoder.text(decision.runbook.as_deref().unwrap_or_default());
        decision.obligations.encode(encoder);
    }
}

impl Canonical for Kin<'_> {
    fn encode(&self, encoder: &mut Encoder) {
        encoder.text("iddio-kin/v1");
        self.0.principal.id.encode(encoder);
        encoder.int(self.0.operations.iter().len() as u128);
        for Operation { protocol, description, .. } in self.0.operations.iter() {
            encoder.tag(*protocol as u8);
            encoder.option(description.command.as_ref());
            encoder.option(description.method.as_ref());
            encoder.option(description.resource.as_ref());
        }
    }
}
