//! AWS: credentials of a role, narrowed to the operation that was decided on; and values in Secrets
//! Manager.
//!
//! The role says what the host lets iddio do at all. The session policy that goes with each request says
//! what this one operation may do of that; AWS grants what both allow.

use std::path::PathBuf;

use hmac::{Hmac, KeyInit, Mac};
use iddio_core::{
    operation::{Names, Operation, Operations, Protocol, ScopeKey},
    tier::{Class, Tier},
};
use serde::Deserialize;
use serde_json::{Value as Json, json};
use sha2::{Digest, Sha256};

use super::{
    MintError, Value,
    endpoint::Credentials,
    http::{Address, Request},
    value,
};

/// A role that runs may have for a while.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Role {
    /// Its name, as AWS writes it.
    pub arn: String,
    /// The region of the service that gives it out.
    pub region: String,
    /// The broker's own keys: a file with the id on its first line, and the secret on its second.
    pub keys_file: PathBuf,
    /// Where that service is, if not at Amazon's.
    pub endpoint: Option<String>,
    /// How long a run may have it.
    #[serde(default = "shortest")]
    pub seconds: u32,
}

/// A value in Secrets Manager.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stored {
    /// Its name.
    pub id: String,
    /// Which member of it, where it is an object.
    pub field: Option<String>,
    /// The region it is in.
    pub region: String,
    /// The broker's own keys.
    pub keys_file: PathBuf,
    /// Where the service is, if not at Amazon's.
    pub endpoint: Option<String>,
}

/// A request to sign.
struct Signed<'a> {
    service: &'a str,
    region: &'a str,
    url: &'a str,
    keys: &'a (Value, Value),
    headers: Vec<(String, String)>,
    body: &'a [u8],
    /// `20150830T123600Z`.
    at: &'a str,
}

// === impl Role ===

impl Role {
    /// Asks for the role, no wider than these operations, for a run of `principal`.
    pub(super) fn assume(
        &self,
        operations: &Operations,
        principal: &str,
    ) -> Result<Credentials, MintError> {
        let name: String =
            principal.chars().filter(|c| c.is_ascii_alphanumeric()).take(48).collect();
        let seconds = self.seconds.max(SECONDS_MIN).to_string();
        let policy = session_policy(operations).to_string();
        let body = form(&[
            ("Action", "AssumeRole"),
            ("Version", "2011-06-15"),
            ("RoleArn", &self.arn),
            ("RoleSessionName", &format!("iddio-{name}")),
            ("DurationSeconds", &seconds),
            ("Policy", &policy),
        ]);
        let usual = format!("https://sts.{}.amazonaws.com/", self.region);
        let url = self.endpoint.as_deref().unwrap_or(&usual);
        let kind = "application/x-www-form-urlencoded; charset=utf-8";
        let headers = vec![("content-type".to_owned(), kind.to_owned())];
        let keys = keys(&self.keys_file)?;
        let answer = ask("sts", &self.region, url, &keys, headers, body.into_bytes())?;
        let answer = String::from_utf8_lossy(&answer);
        let part = |name: &str| {
            let missing = || MintError::Missing { from: url.to_owned(), what: name.to_owned() };
            element(&answer, name).map(str::to_owned).ok_or_else(missing)
        };
        Ok(Credentials {
            id: Value::new(part("AccessKeyId")?),
            secret: Value::new(part("SecretAccessKey")?),
            session: Value::new(part("SessionToken")?),
            expiration: part("Expiration")?,
        })
    }
}

// === impl Stored ===

impl Stored {
    pub(super) fn value(&self) -> Result<Value, MintError> {
        let Self { id, field, region, keys_file, endpoint } = self;
        let usual = format!("https://secretsmanager.{region}.amazonaws.com/");
        let url = endpoint.as_deref().unwrap_or(&usual);
        let headers = [
            ("content-type", "application/x-amz-json-1.1"),
            ("x-amz-target", "secretsmanager.GetSecretValue"),
        ];
        let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
        let body = json!({"SecretId": id}).to_string().into_bytes();
        let keys = keys(keys_file)?;
        let answer = ask("secretsmanager", region, url, &keys, headers, body)?;
        let missing = || MintError::Missing { from: url.to_owned(), what: format!("`{id}`") };
        let answer: Json = serde_json::from_slice(&answer).map_err(|_| missing())?;
        let whole = answer.get("SecretString").and_then(Json::as_str).ok_or_else(missing)?;
        let Some(field) = field else { return Ok(Value::new(whole.to_owned())) };
        let members: Json = serde_json::from_str(whole).map_err(|_| missing())?;
        let found = members.get(field).and_then(Json::as_str);
        found.map(|text| Value::new(text.to_owned())).ok_or_else(missing)
    }
}

/// Returns what a session for these operations may do: the services they name and no other, only to read
/// where they only read, in their regions, and nothing about identities unless that is what was decided on.
pub fn session_policy(operations: &Operations) -> Json {
    let mut services: Vec<String> = Vec::new();
    let mut regions: Vec<String> = Vec::new();
    let (mut any_service, mut any_region) = (false, false);
    let (mut tier, mut destroys) = (Tier::Observe, false);
    for operation in operations.iter() {
        tier = tier.max(operation.native_tier());
        destroys |= is_destruction(operation);
        let amazon = operation.protocol == Protocol::Aws;
        match operation.scopes.names(ScopeKey::Services).filter(|_| amazon) {
            Some(Names::Known(names)) => services.extend(names.iter().cloned()),
            Some(_) => any_service = true,
            None => any_service |= operation.protocol == Protocol::Terraform || amazon,
        }
        match operation.scopes.names(ScopeKey::Regions).filter(|_| amazon) {
            Some(Names::Known(names)) => regions.extend(names.iter().cloned()),
            Some(_) | None => any_region = true,
        }
    }
    let plain = |text: &String| text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    any_service |= services.is_empty() || !services.iter().all(plain);
    any_region |= regions.is_empty() || !regions.iter().all(plain);
    services.sort();
    services.dedup();
    let reads = tier == Tier::Observe;
    let actions: Vec<String> = match (any_service, reads) {
        (true, _) => vec!["*".to_owned()],
        (false, true) => {
            let of = |service: &String| READS.map(|verb| format!("{}:{verb}*", prefix(service)));
            services.iter().flat_map(of).collect()
        }
        (false, false) => services.iter().map(|of| format!("{}:*", prefix(of))).collect(),
    };
    let global = services.iter().any(|service| GLOBAL.contains(&service.as_str()));
    let condition = match any_region || global {
        true => json!({}),
        false => json!({"StringEquals": {"aws:RequestedRegion": regions}}),
    };
    let allow = json!({
        "Effect": "Allow",
        "Action": actions,
        "Resource": "*",
        "Condition": condition,
    });
    let mut statements = vec![allow];
    let mut deny: Vec<String> = Vec::new();
    if tier < Tier::Sensitive {
        deny.extend(IDENTITY.map(str::to_owned));
    }
    if tier < Tier::BreakGlass && !destroys {
        deny.extend(DESTRUCTION.map(str::to_owned));
        let known = services.iter().filter(|_| !any_service);
        let of = |service: &String| DESTROYS.map(|verb| format!("{}:{verb}*", prefix(service)));
        deny.extend(known.flat_map(of));
    }
    if !deny.is_empty() {
        statements.push(json!({"Effect": "Deny", "Action": deny, "Resource": "*"}));
    }
    json!({"Version": "2012-10-17", "Statement": statements})
}

/// Whether an operation was decided on as one that may delete: by its class, or by its name.
fn is_destruction(operation: &Operation) -> bool {
    let command = operation.description.command.as_deref().unwrap_or_default();
    let says = |word: &str| NAMES_OF_DESTRUCTION.iter().any(|name| word.starts_with(name));
    operation.class == Class::Destroy || command.split([' ', '-']).any(says)
}

/// Asks a service, signed.
fn ask(
    service: &str,
    region: &str,
    url: &str,
    keys: &(Value, Value),
    headers: Vec<(String, String)>,
    body: Vec<u8>,
) -> Result<zeroize::Zeroizing<Vec<u8>>, MintError> {
    let http = |source| MintError::Http { from: url.to_owned(), source };
    let at = now();
    let signed = Signed { service, region, url, keys, headers, body: &body, at: &at };
    let headers = signed.headers().map_err(http)?;
    Request { method: "POST", url, headers, body: body.clone(), ca_file: None }.send().map_err(http)
}

// === impl Signed ===

impl Signed<'_> {
    /// Returns the headers with the signature among them (Signature Version 4).
    fn headers(&self) -> Result<Vec<(String, Value)>, super::HttpError> {
        let address = Address::parse(self.url)?;
        let mut headers = self.headers.clone();
        headers.push(("host".to_owned(), address.authority()));
        headers.push(("x-amz-date".to_owned(), self.at.to_owned()));
        headers.sort();
        let authorization = self.authorization("POST", &address.path, "", &headers);
        headers.retain(|(name, _)| name != "host");
        let mut headers: Vec<_> =
            headers.into_iter().map(|(name, value)| (name, Value::new(value))).collect();
        headers.push(("authorization".to_owned(), Value::new(authorization)));
        Ok(headers)
    }

    fn authorization(
        &self,
        method: &str,
        path: &str,
        query: &str,
        headers: &[(String, String)],
    ) -> String {
        let Self { service, region, keys: (id, secret), body, at, .. } = self;
        let day = at.get(..8).unwrap_or_default();
        let names: Vec<_> = headers.iter().map(|(name, _)| name.as_str()).collect();
        let names = names.join(";");
        let lines: String =
            headers.iter().map(|(name, value)| format!("{name}:{}\n", value.trim())).collect();
        let content = hex(&Sha256::digest(body));
        let canonical = format!("{method}\n{path}\n{query}\n{lines}\n{names}\n{content}");
        let scope = format!("{day}/{region}/{service}/aws4_request");
        let digest = hex(&Sha256::digest(canonical.as_bytes()));
        let text = format!("AWS4-HMAC-SHA256\n{at}\n{scope}\n{digest}");
        let first = zeroize::Zeroizing::new(format!("AWS4{}", secret.expose()));
        let key = [day, region, service, "aws4_request", &text]
            .iter()
            .fold(first.as_bytes().to_vec(), |key, part| mac(&key, part.as_bytes()));
        let (id, signature) = (id.expose(), hex(&key));
        format!(
            "AWS4-HMAC-SHA256 Credential={id}/{scope}, SignedHeaders={names}, Signature={signature}"
        )
    }
}

fn mac(key: &[u8], bytes: &[u8]) -> Vec<u8> {
    // It takes keys of every length.
    Hmac::<Sha256>::new_from_slice(key).map_or_else(
        |_| Vec::new(),
        |mut mac| {
            mac.update(bytes);
            mac.finalize().into_bytes().to_vec()
        },
    )
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Reads the broker's own keys.
fn keys(path: &PathBuf) -> Result<(Value, Value), MintError> {
    let text = value::file(path)?;
    let missing = || MintError::Missing {
        from: path.display().to_string(),
        what: "key id and secret on a line each".to_owned(),
    };
    let (id, secret) = text.expose().split_once('\n').ok_or_else(missing)?;
    Ok((Value::new(id.trim().to_owned()), Value::new(secret.trim().to_owned())))
}

/// Returns the text of the one element of this name.
fn element<'a>(xml: &'a str, name: &str) -> Option<&'a str> {
    let (open, close) = (format!("<{name}>"), format!("</{name}>"));
    let (_, after) = xml.split_once(&open)?;
    let (text, rest) = after.split_once(&close)?;
    (!rest.contains(&open) && !text.contains(['<', '&'])).then(|| text.trim())
}

fn form(fields: &[(&str, &str)]) -> String {
    let encode = |text: &str| -> String {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
        let one = |byte: u8| match plain(byte) {
            true => char::from(byte).to_string(),
            false => format!("%{byte:02X}"),
        };
        text.bytes().map(one).collect()
    };
    let pairs = fields.iter().map(|(name, value)| format!("{name}={}", encode(value)));
    pairs.collect::<Vec<_>>().join("&")
}

/// Returns the time as AWS writes it.
fn now() -> String {
    use iddio_core::time::Clock;
    let wall = iddio_runtime::clock::SystemClock::new().now().wall.to_string();
    let digits: String = wall.chars().filter(char::is_ascii_digit).collect();
    let (day, time) = (digits.get(..8).unwrap_or_default(), digits.get(8..14).unwrap_or_default());
    format!("{day}T{time}Z")
}

/// Returns the prefix that a service's actions have, where it is not the service's name.
fn prefix(service: &str) -> &str {
    match service {
        "s3api" | "s3control" => "s3",
        "elbv2" | "elb" => "elasticloadbalancing",
        "logs" => "logs",
        "stepfunctions" => "states",
        "efs" => "elasticfilesystem",
        "emr" => "elasticmapreduce",
        other => other,
    }
}

fn shortest() -> u32 {
    SECONDS_MIN
}

/// AWS gives no shorter ones.
const SECONDS_MIN: u32 = 900;

/// How actions begin that only read.
const READS: [&str; 8] =
    ["BatchGet", "Describe", "Get", "Head", "List", "Lookup", "Query", "Search"];

/// What only a decision at tier 3 and above lets a run do.
const IDENTITY: [&str; 6] = [
    "iam:*",
    "organizations:*",
    "account:*",
    "sts:AssumeRole*",
    "kms:ScheduleKeyDeletion",
    "secretsmanager:GetSecretValue",
];

/// What only a decision on something that deletes lets a run do, whatever else it may.
const DESTRUCTION: [&str; 9] = [
    "ec2:TerminateInstances",
    "rds:DeleteDB*",
    "dynamodb:DeleteTable",
    "s3:DeleteBucket",
    "cloudformation:DeleteStack",
    "eks:DeleteCluster",
    "elasticfilesystem:DeleteFileSystem",
    "backup:Delete*",
    "cloudtrail:StopLogging",
];

/// How actions begin that delete.
const DESTROYS: [&str; 3] = ["Delete", "Purge", "Terminate"];

/// How the words of commands begin that delete.
const NAMES_OF_DESTRUCTION: [&str; 9] =
    ["delete", "deregister", "destroy", "mv", "purge", "rb", "remove", "rm", "terminate"];

/// Services that have no region of their own.
const GLOBAL: [&str; 7] = ["iam", "organizations", "route53", "cloudfront", "sts", "account", "s3"];

/// How a caller would have given credentials of its own.
pub(super) const INSTEAD_OF: [&str; 12] = [
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_SECURITY_TOKEN",
    "AWS_PROFILE",
    "AWS_DEFAULT_PROFILE",
    "AWS_CONFIG_FILE",
    "AWS_SHARED_CREDENTIALS_FILE",
    "AWS_ROLE_ARN",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
];

#[cfg(test)]
mod tests {
    use iddio_core::operation::{Description, Pattern, Scopes};

    use super::*;

    /// An operation on services in regions, as the classifier has it; nothing stands for what nobody knows.
    fn operation(command: &str, tier: Tier, services: &[&str], regions: &[&str]) -> Operation {
        let mut scopes = Scopes::default();
        for (key, names) in [(ScopeKey::Services, services), (ScopeKey::Regions, regions)] {
            let names = names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
            scopes.add(key, if names.is_empty() { Names::Unknown } else { Names::Known(names) });
        }
        Operation {
            protocol: Protocol::Aws,
            tier,
            class: Class::Unknown,
            scopes,
            overrides: Vec::new(),
            pattern: Pattern::Unmatchable,
            reasons: Vec::new(),
            description: Description {
                command: Some(command.to_owned()),
                ..Description::default()
            },
        }
    }

    /// Whether AWS would let a session do something in a region: as its documentation says, denials first,
    /// letters of either case the same.
    fn lets(policy: &Json, action: &str, region: &str) -> bool {
        let fits = |pattern: &str| {
            let (pattern, action) = (pattern.to_lowercase(), action.to_lowercase());
            match pattern.split_once('*') {
                Some((head, "")) => action.starts_with(head),
                Some(_) => panic!("a star within: {pattern}"),
                None => pattern == action,
            }
        };
        let applies = |statement: &Json| {
            let regions = statement.pointer("/Condition/StringEquals/aws:RequestedRegion");
            let there = regions.is_none_or(|all| all.as_array().unwrap().contains(&region.into()));
            let actions = statement["Action"].as_array().unwrap();
            there && actions.iter().any(|one| fits(one.as_str().unwrap()))
        };
        let all = policy["Statement"].as_array().unwrap();
        let of = |effect: &str| all.iter().any(|one| one["Effect"] == effect && applies(one));
        of("Allow") && !of("Deny")
    }

    #[test]
    fn a_session_may_do_what_was_decided_on_and_nothing_of_another_kind() {
        let here = "eu-west-1";
        type Case<'a> = (&'a str, Tier, &'a [&'a str], &'a [&'a str], &'a [&'a str], &'a [&'a str]);
        let cases: [Case<'_>; 9] = [
            (
                "aws ec2 describe-instances",
                Tier::Observe,
                &["ec2"],
                &[here],
                &["ec2:DescribeInstances"],
                &["ec2:RunInstances", "ec2:TerminateInstances", "s3:GetObject", "iam:ListUsers"],
            ),
            (
                "aws ec2 run-instances",
                Tier::Modify,
                &["ec2"],
                &[here],
                &["ec2:RunInstances", "ec2:DescribeInstances"],
                &[
                    "ec2:TerminateInstances",
                    "ec2:DeleteVolume",
                    "iam:PassRole",
                    "rds:CreateDBInstance",
                ],
            ),
            (
                "aws ec2 delete-volume",
                Tier::Sensitive,
                &["ec2"],
                &[here],
                &["ec2:DeleteVolume"],
                &["s3:DeleteBucket", "iam:DeleteUser"],
            ),
            (
                "aws ec2 terminate-instances",
                Tier::BreakGlass,
                &["ec2"],
                &[here],
                &["ec2:TerminateInstances"],
                &["rds:DeleteDBInstance"],
            ),
            (
                "aws s3 cp",
                Tier::Modify,
                &["s3"],
                &[],
                &["s3:PutObject", "s3:GetObject"],
                &["s3:DeleteObject", "s3:DeleteBucket", "kms:Decrypt"],
            ),
            (
                "aws elbv2 create-listener",
                Tier::Modify,
                &["elbv2"],
                &[here],
                &["elasticloadbalancing:CreateListener"],
                &["elasticloadbalancing:DeleteListener", "elbv2:CreateListener"],
            ),
            (
                "aws secretsmanager get-secret-value",
                Tier::Sensitive,
                &["secretsmanager"],
                &[here],
                &["secretsmanager:GetSecretValue"],
                &["secretsmanager:DeleteSecret", "ssm:GetParameter"],
            ),
            (
                "aws iam create-role",
                Tier::Sensitive,
                &["iam"],
                &[],
                &["iam:CreateRole"],
                &["iam:DeleteRole", "organizations:LeaveOrganization", "sts:AssumeRole"],
            ),
            // A service that nobody can name: what is worst stays out all the same.
            (
                "aws something",
                Tier::Modify,
                &[],
                &[here],
                &["ec2:RunInstances"],
                &[
                    "ec2:TerminateInstances",
                    "iam:CreateUser",
                    "rds:DeleteDBCluster",
                    "sts:AssumeRole",
                ],
            ),
        ];
        for (command, tier, services, regions, may, may_not) in cases {
            let operations = Operations::one(operation(command, tier, services, regions));
            let policy = session_policy(&operations);
            for action in may {
                assert!(lets(&policy, action, here), "{command}: {action} in {policy}");
            }
            for action in may_not {
                assert!(!lets(&policy, action, here), "{command}: {action} in {policy}");
            }
            let elsewhere = may.iter().all(|action| lets(&policy, action, "us-west-2"));
            assert_eq!(elsewhere, regions.is_empty(), "{command}: in another region: {policy}");
            assert!(policy.to_string().len() < 2048, "AWS takes no longer one: {policy}");
        }
    }

    #[test]
    fn of_several_operations_a_session_may_do_what_each_may_and_what_is_worst_says_how() {
        let read = operation("aws s3 ls", Tier::Observe, &["s3"], &[]);
        let write = operation("aws ec2 run-instances", Tier::Modify, &["ec2"], &["eu-west-1"]);
        let policy = session_policy(&Operations::of(read, vec![write]));
        assert!(
            lets(&policy, "s3:ListBucket", "eu-west-1")
                && lets(&policy, "ec2:RunInstances", "eu-west-1")
        );
        for action in
            ["s3:DeleteObject", "ec2:TerminateInstances", "rds:CreateDBInstance", "iam:PassRole"]
        {
            assert!(!lets(&policy, action, "eu-west-1"), "{action}: {policy}");
        }
        // What cannot be a name is none, and widens to every service rather than into the policy's grammar.
        let odd = operation("aws x", Tier::Observe, &["e*", "c2\",\"*"], &["eu-west-1"]);
        let policy = session_policy(&Operations::one(odd));
        assert!(!lets(&policy, "iam:ListUsers", "eu-west-1"), "{policy}");
    }

    #[test]
    fn a_signature_is_the_one_of_amazons_own_example() {
        let keys = (
            Value::new("AKIDEXAMPLE".into()),
            Value::new("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY".into()),
        );
        let signed = Signed {
            service: "iam",
            region: "us-east-1",
            url: "https://iam.amazonaws.com/",
            keys: &keys,
            headers: Vec::new(),
            body: b"",
            at: "20150830T123600Z",
        };
        let headers = [
            ("content-type", "application/x-www-form-urlencoded; charset=utf-8"),
            ("host", "iam.amazonaws.com"),
            ("x-amz-date", "20150830T123600Z"),
        ];
        let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let query = "Action=ListUsers&Version=2010-05-08";
        let said = signed.authorization("GET", "/", query, &headers);
        let signature = "5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7";
        assert!(said.ends_with(signature), "{said}");
    }

    #[test]
    fn an_element_is_found_once_or_not_at_all() {
        assert_eq!(element("<a><Token> x </Token></a>", "Token"), Some("x"));
        for xml in ["", "<Token>", "<Token>a</Token><Token>b</Token>", "<Token><b></Token>"] {
            assert_eq!(element(xml, "Token"), None, "{xml}");
        }
    }

    #[test]
    fn the_time_is_written_as_amazon_reads_it() {
        let now = now();
        assert_eq!((now.len(), &now[8..9], &now[15..]), (16, "T", "Z"), "{now}");
    }
}
