//! Asks as they are stored: one JSON text for each ask, and one ask for each text.
//!
//! INVARIANT: what is stored is the whole ask, and reading it back gives an ask with the same
//! digest or none at all. A text that differs from what its own ask would be written as is refused,
//! so there is no byte in it that an approver's signature does not cover.

#[cfg(test)]
mod tests;

use std::sync::Arc;

use base64ct::{Base64, Encoding};
use iddio_core::{
    approval::{Ask, Assurance},
    audit::Durability,
    digest::Digest,
    operation::{
        Context, Description, Effect, Input, KubernetesPattern, Names, Operation, OperationId,
        Operations, Override, OverrideKind, Pattern, Protocol, Reason, ScopeKey, Scopes, Span,
    },
    policy::{
        CredentialReuse, Decision, FourEyes, Obligations, OverrideVerdict, Recorded,
        SharedApproval, Verdict,
    },
    principal::{Principal, PrincipalId, PrincipalKind, Proof},
    text::RawText,
    tier::{Class, Tier},
    time::{BootTime, Moment, Timestamp},
};
use serde::{Deserialize, Serialize};

/// A stored ask was changed, or was never one.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("the stored ask is not what was asked")]
pub struct Damaged;

/// Writes an ask.
pub(crate) fn write(ask: &Ask) -> Result<String, Damaged> {
    serde_json::to_string(&StoredAsk::of(ask)).map_err(|_| Damaged)
}

/// Reads an ask.
pub(crate) fn read(text: &str) -> Result<Ask, Damaged> {
    let stored: StoredAsk = serde_json::from_str(text).map_err(|_| Damaged)?;
    let ask = stored.ask().ok_or(Damaged)?;
    match write(&ask)? == text {
        true => Ok(ask),
        false => Err(Damaged),
    }
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct StoredAsk {
    format: String,
    operation: String,
    principal: StoredPrincipal,
    action_digest: String,
    operations: Vec<StoredOperation>,
    effects: Vec<StoredEffect>,
    context: StoredContext,
    decision: StoredDecision,
    asked: StoredMoment,
    lapses: StoredMoment,
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct StoredPrincipal {
    id: String,
    #[serde(with = "StoredKind")]
    kind: PrincipalKind,
    delegation: Vec<String>,
    #[serde(with = "StoredProof")]
    proof: Proof,
    groups: Vec<String>,
    tenant: Option<String>,
    task: Option<String>,
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct StoredOperation {
    protocol: String,
    tier: u8,
    class: String,
    scopes: Vec<StoredScope>,
    overrides: Vec<StoredOverride>,
    pattern: StoredPattern,
    reasons: Vec<StoredReason>,
    description: StoredDescription,
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct StoredScope {
    #[serde(with = "StoredScopeKey")]
    key: ScopeKey,
    names: StoredNames,
}

#[derive(Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
enum StoredNames {
    Every,
    Known(Vec<String>),
    Unknown,
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct StoredOverride {
    #[serde(with = "StoredOverrideKind")]
    kind: OverrideKind,
    value: String,
}

#[derive(Deserialize, Serialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum StoredPattern {
    Command(Vec<String>),
    Kubernetes {
        methods: Vec<String>,
        api_groups: Vec<String>,
        resources: Vec<String>,
        fields: Option<Vec<String>>,
    },
    Tool(String, String),
    Unmatchable,
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct StoredReason {
    tier: u8,
    rule: String,
    text: String,
    word: Option<u32>,
    at: Option<(u32, u32)>,
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct StoredDescription {
    command: Option<String>,
    argv: Vec<StoredText>,
    method: Option<String>,
    path: Option<String>,
    namespace: Option<String>,
    resource: Option<String>,
    workspace: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cluster: Option<String>,
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct StoredEffect {
    tier: u8,
    sign: String,
    text: String,
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct StoredContext {
    directory: Option<StoredText>,
    inputs: Vec<StoredInput>,
    explanation: Option<StoredText>,
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct StoredInput {
    name: StoredText,
    digest: Option<String>,
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct StoredDecision {
    #[serde(with = "StoredVerdict")]
    verdict: Verdict,
    effective: u8,
    #[serde(with = "StoredOverrideVerdict")]
    overrides: OverrideVerdict,
    rule: String,
    runbook: Option<String>,
    reason: Option<String>,
    obligations: StoredObligations,
    policy: String,
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct StoredObligations {
    approvers: Vec<String>,
    required_approvers: u8,
    #[serde(with = "StoredFourEyes")]
    four_eyes: FourEyes,
    assurance: String,
    ask_millis: Option<u64>,
    notify: Vec<String>,
    run_millis_max: Option<u64>,
    #[serde(with = "StoredRecorded")]
    record: Recorded,
    durability: Option<StoredDurability>,
    #[serde(with = "StoredCredential")]
    credential: CredentialReuse,
    #[serde(with = "StoredShared")]
    shared_approval: SharedApproval,
    verify: Option<String>,
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct StoredMoment {
    wall: u64,
    boot_id: String,
    boot_millis: u64,
}

/// Text as a string, bytes as tagged base64.
#[derive(Deserialize, Serialize)]
#[serde(untagged)]
enum StoredText {
    Text(String),
    Bytes { base64: String },
}

#[derive(Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
enum StoredDurability {
    Write,
    Sync,
}

// The words of enums that have none of their own. `remote` makes the compiler compare the lists.

#[derive(Deserialize, Serialize)]
#[serde(remote = "PrincipalKind", rename_all = "snake_case")]
enum StoredKind {
    Agent,
    Human,
    Workload,
}

#[derive(Deserialize, Serialize)]
#[serde(remote = "Proof", rename_all = "snake_case")]
enum StoredProof {
    Certificate,
    Claimed,
    Token,
    UnixUser,
}

#[derive(Deserialize, Serialize)]
#[serde(remote = "ScopeKey", rename_all = "snake_case")]
enum StoredScopeKey {
    Accounts,
    Clusters,
    Commands,
    Hosts,
    Methods,
    Namespaces,
    Paths,
    Regions,
    Releases,
    Servers,
    Services,
    SshPrincipals,
    Tools,
    Workspaces,
}

#[derive(Deserialize, Serialize)]
#[serde(remote = "OverrideKind", rename_all = "snake_case")]
enum StoredOverrideKind {
    Endpoint,
    Env,
    Kubeconfig,
    Profile,
}

#[derive(Deserialize, Serialize)]
#[serde(remote = "Verdict", rename_all = "snake_case")]
enum StoredVerdict {
    Allow,
    Deny,
    Escalate,
}

#[derive(Deserialize, Serialize)]
#[serde(remote = "OverrideVerdict", rename_all = "snake_case")]
enum StoredOverrideVerdict {
    Granted,
    Held,
}

#[derive(Deserialize, Serialize)]
#[serde(remote = "FourEyes", rename_all = "snake_case")]
enum StoredFourEyes {
    Waived,
    Required,
}

#[derive(Deserialize, Serialize)]
#[serde(remote = "Recorded", rename_all = "snake_case")]
enum StoredRecorded {
    Metadata,
    Full,
}

#[derive(Deserialize, Serialize)]
#[serde(remote = "CredentialReuse", rename_all = "snake_case")]
enum StoredCredential {
    Default,
    Reuse,
    PerRequest,
}

#[derive(Deserialize, Serialize)]
#[serde(remote = "SharedApproval", rename_all = "snake_case")]
enum StoredShared {
    Permitted,
    Forbidden,
}

// === impl StoredAsk ===

impl StoredAsk {
    fn of(ask: &Ask) -> Self {
        let Ask {
            id,
            principal,
            action_digest,
            operations,
            effects,
            context,
            decision,
            asked,
            lapses,
        } = ask;
        Self {
            format: FORMAT.to_owned(),
            operation: id.to_string(),
            principal: StoredPrincipal::of(principal),
            action_digest: action_digest.to_hex(),
            operations: operations.iter().map(StoredOperation::of).collect(),
            effects: effects.iter().map(StoredEffect::of).collect(),
            context: StoredContext::of(context),
            decision: StoredDecision::of(decision),
            asked: StoredMoment::of(*asked),
            lapses: StoredMoment::of(*lapses),
        }
    }

    fn ask(self) -> Option<Ask> {
        let operations: Option<Vec<_>> =
            self.operations.into_iter().map(StoredOperation::operation).collect();
        let effects: Option<Vec<_>> = self.effects.into_iter().map(StoredEffect::effect).collect();
        (self.format == FORMAT).then_some(())?;
        Some(Ask {
            id: OperationId::from_hex(&self.operation)?,
            principal: self.principal.principal()?,
            action_digest: Digest::from_hex(&self.action_digest)?,
            operations: Operations::many(operations?)?,
            effects: effects?,
            context: self.context.context()?,
            decision: self.decision.decision()?,
            asked: self.asked.moment()?,
            lapses: self.lapses.moment()?,
        })
    }
}

// === impl StoredPrincipal ===

impl StoredPrincipal {
    fn of(principal: &Principal) -> Self {
        let Principal { id, kind, delegation, proof, groups, tenant, task } = principal;
        Self {
            id: id.to_string(),
            kind: *kind,
            delegation: delegation.iter().map(ToString::to_string).collect(),
            proof: *proof,
            groups: groups.clone(),
            tenant: tenant.clone(),
            task: task.clone(),
        }
    }

    fn principal(self) -> Option<Principal> {
        let names: Option<Vec<_>> =
            self.delegation.iter().map(|name| PrincipalId::new(name)).collect();
        Some(Principal {
            id: PrincipalId::new(&self.id)?,
            kind: self.kind,
            delegation: names?,
            proof: self.proof,
            groups: self.groups,
            tenant: self.tenant,
            task: self.task,
        })
    }
}

// === impl StoredOperation ===

impl StoredOperation {
    fn of(operation: &Operation) -> Self {
        let Operation { protocol, tier, class, scopes, overrides, pattern, reasons, description } =
            operation;
        let of_override = |Override { kind, value }: &Override| StoredOverride {
            kind: *kind,
            value: value.clone(),
        };
        let of_reason = |Reason { tier, rule, text, word, at }: &Reason| StoredReason {
            tier: tier.number(),
            rule: rule.clone(),
            text: text.clone(),
            word: *word,
            at: at.map(|Span { start, end }| (start, end)),
        };
        Self {
            protocol: protocol.name().to_owned(),
            tier: tier.number(),
            class: class.name().to_owned(),
            scopes: scopes.iter().map(StoredScope::of).collect(),
            overrides: overrides.iter().map(of_override).collect(),
            pattern: StoredPattern::of(pattern),
            reasons: reasons.iter().map(of_reason).collect(),
            description: StoredDescription::of(description),
        }
    }

    fn operation(self) -> Option<Operation> {
        let mut scopes = Scopes::default();
        for StoredScope { key, names } in self.scopes {
            scopes.add(key, names.names());
        }
        let overrides = self.overrides.into_iter();
        let overrides = overrides.map(|StoredOverride { kind, value }| Override { kind, value });
        let reasons: Option<Vec<_>> = self.reasons.into_iter().map(StoredReason::reason).collect();
        Some(Operation {
            protocol: Protocol::from_name(&self.protocol)?,
            tier: Tier::from_number(self.tier)?,
            class: Class::from_name(&self.class)?,
            scopes,
            overrides: overrides.collect(),
            pattern: self.pattern.pattern(),
            reasons: reasons?,
            description: self.description.description()?,
        })
    }
}

impl StoredScope {
    fn of((key, names): (ScopeKey, &Names)) -> Self {
        let names = match names {
            Names::Every => StoredNames::Every,
            Names::Known(names) => StoredNames::Known(names.clone()),
            Names::Unknown => StoredNames::Unknown,
        };
        Self { key, names }
    }
}

impl StoredNames {
    fn names(self) -> Names {
        match self {
            Self::Every => Names::Every,
            Self::Known(names) => Names::Known(names),
            Self::Unknown => Names::Unknown,
        }
    }
}

impl StoredPattern {
    fn of(pattern: &Pattern) -> Self {
        match pattern.clone() {
            Pattern::Command(words) => Self::Command(words),
            Pattern::Kubernetes(KubernetesPattern { methods, api_groups, resources, fields }) => {
                Self::Kubernetes { methods, api_groups, resources, fields }
            }
            Pattern::Tool(server, tool) => Self::Tool(server, tool),
            Pattern::Unmatchable => Self::Unmatchable,
        }
    }

    fn pattern(self) -> Pattern {
        match self {
            Self::Command(words) => Pattern::Command(words),
            Self::Kubernetes { methods, api_groups, resources, fields } => {
                Pattern::Kubernetes(KubernetesPattern { methods, api_groups, resources, fields })
            }
            Self::Tool(server, tool) => Pattern::Tool(server, tool),
            Self::Unmatchable => Pattern::Unmatchable,
        }
    }
}

impl StoredReason {
    fn reason(self) -> Option<Reason> {
        let Self { tier, rule, text, word, at } = self;
        let at = at.map(|(start, end)| Span { start, end });
        Some(Reason { tier: Tier::from_number(tier)?, rule, text, word, at })
    }
}

impl StoredDescription {
    fn of(description: &Description) -> Self {
        let Description { command, argv, method, path, namespace, resource, workspace, cluster } =
            description.clone();
        let argv = argv.iter().map(StoredText::of).collect();
        Self { command, argv, method, path, namespace, resource, workspace, cluster }
    }

    fn description(self) -> Option<Description> {
        let Self { command, argv, method, path, namespace, resource, workspace, cluster } = self;
        let argv: Option<Vec<_>> = argv.into_iter().map(StoredText::text).collect();
        let argv = argv?;
        Some(Description { command, argv, method, path, namespace, resource, workspace, cluster })
    }
}

// === impl StoredEffect ===

impl StoredEffect {
    fn of(effect: &Effect) -> Self {
        let Effect { tier, sign, text } = effect;
        Self { tier: tier.number(), sign: sign.clone(), text: text.clone() }
    }

    fn effect(self) -> Option<Effect> {
        let Self { tier, sign, text } = self;
        Some(Effect { tier: Tier::from_number(tier)?, sign, text })
    }
}

// === impl StoredContext ===

impl StoredContext {
    fn of(context: &Context) -> Self {
        let Context { directory, inputs, explanation } = context;
        let of_input = |Input { name, digest }: &Input| StoredInput {
            name: StoredText::of(name),
            digest: digest.map(Digest::to_hex),
        };
        Self {
            directory: directory.as_ref().map(StoredText::of),
            inputs: inputs.iter().map(of_input).collect(),
            explanation: explanation.as_ref().map(StoredText::of),
        }
    }

    fn context(self) -> Option<Context> {
        let input = |StoredInput { name, digest }: StoredInput| {
            let digest = optional(digest, |hex| Digest::from_hex(&hex))?;
            Some(Input { name: name.text()?, digest })
        };
        let inputs: Option<Vec<_>> = self.inputs.into_iter().map(input).collect();
        Some(Context {
            directory: optional(self.directory, StoredText::text)?,
            inputs: inputs?,
            explanation: optional(self.explanation, StoredText::text)?,
        })
    }
}

// === impl StoredDecision ===

impl StoredDecision {
    fn of(decision: &Decision) -> Self {
        let Decision { verdict, effective, overrides, rule, runbook, reason, obligations, policy } =
            decision;
        Self {
            verdict: *verdict,
            effective: effective.number(),
            overrides: *overrides,
            rule: rule.to_string(),
            runbook: runbook.as_deref().map(str::to_owned),
            reason: reason.as_deref().map(str::to_owned),
            obligations: StoredObligations::of(obligations),
            policy: policy.to_hex(),
        }
    }

    fn decision(self) -> Option<Decision> {
        Some(Decision {
            verdict: self.verdict,
            effective: Tier::from_number(self.effective)?,
            overrides: self.overrides,
            rule: self.rule.into(),
            runbook: self.runbook.map(Into::into),
            reason: self.reason.map(Into::into),
            obligations: Arc::new(self.obligations.obligations()?),
            policy: Digest::from_hex(&self.policy)?,
        })
    }
}

impl StoredObligations {
    fn of(obligations: &Obligations) -> Self {
        let Obligations {
            approvers,
            required_approvers,
            four_eyes,
            assurance,
            ask_millis,
            notify,
            run_millis_max,
            record,
            durability,
            credential,
            shared_approval,
            verify,
        } = obligations.clone();
        let durability = durability.map(|durability| match durability {
            Durability::Write => StoredDurability::Write,
            Durability::Sync => StoredDurability::Sync,
        });
        Self {
            approvers,
            required_approvers,
            four_eyes,
            assurance: assurance.name().to_owned(),
            ask_millis,
            notify,
            run_millis_max,
            record,
            durability,
            credential,
            shared_approval,
            verify,
        }
    }

    fn obligations(self) -> Option<Obligations> {
        let durability = self.durability.map(|durability| match durability {
            StoredDurability::Write => Durability::Write,
            StoredDurability::Sync => Durability::Sync,
        });
        Some(Obligations {
            approvers: self.approvers,
            required_approvers: self.required_approvers,
            four_eyes: self.four_eyes,
            assurance: Assurance::from_name(&self.assurance)?,
            ask_millis: self.ask_millis,
            notify: self.notify,
            run_millis_max: self.run_millis_max,
            record: self.record,
            durability,
            credential: self.credential,
            shared_approval: self.shared_approval,
            verify: self.verify,
        })
    }
}

// === impl StoredMoment ===

impl StoredMoment {
    fn of(moment: Moment) -> Self {
        let Moment { wall: Timestamp(wall), boot: BootTime { boot_id, millis } } = moment;
        Self { wall, boot_id: format!("{boot_id:032x}"), boot_millis: millis }
    }

    fn moment(self) -> Option<Moment> {
        let boot_id = u128::from_str_radix(&self.boot_id, 16).ok()?;
        let boot = BootTime { boot_id, millis: self.boot_millis };
        Some(Moment { wall: Timestamp(self.wall), boot })
    }
}

// === impl StoredText ===

impl StoredText {
    fn of(text: &RawText) -> Self {
        match text.as_str() {
            Some(text) => Self::Text(text.to_owned()),
            None => Self::Bytes { base64: Base64::encode_string(text.as_bytes()) },
        }
    }

    fn text(self) -> Option<RawText> {
        match self {
            Self::Text(text) => Some(RawText::from(text)),
            Self::Bytes { base64 } => Base64::decode_vec(&base64).ok().map(RawText::new),
        }
    }
}

/// Returns `None` for a value that is there and unsound, `Some(None)` for one that is not there.
fn optional<T, U>(value: Option<T>, read: impl FnOnce(T) -> Option<U>) -> Option<Option<U>> {
    match value {
        Some(value) => read(value).map(Some),
        None => Some(None),
    }
}

/// The first field of every stored ask. A later format has another number.
const FORMAT: &str = "iddio-ask/v1";
