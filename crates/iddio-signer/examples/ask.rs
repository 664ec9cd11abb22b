//! Asks the signer, to be run as any user. For tests only.
//!
//! `ask SIGNER KEEPER KIND SEQ DIGEST`, where KIND is `ssh`, `x509`, `registry`, `checkpoint`, `last`
//! or `public`, asks for a record; `ask SIGNER KEEPER own LOG LOGKEEPER` states an allowed operation of
//! the user it runs as, named by `IDDIO_TEST_USER`, and asks for that. Prints what it got; what is
//! refused goes to standard error, with its code before it.

use std::{env, path::Path, process::ExitCode, sync::Arc};

use iddio_audit::remote::Remote;
use iddio_core::{
    audit::{AuditSink, Body, DecisionRecord, Durability, checkpoint::Checkpoint},
    digest::Digest,
    operation::Protocol,
    principal::{Principal, PrincipalId, PrincipalKind, Proof},
};
use iddio_mint::signer::{Signer, SignerError, wire::Warranted};

#[path = "../../iddio-audit/tests/it/kit.rs"]
#[expect(dead_code, reason = "the tests use all of it")]
#[expect(clippy::unwrap_used, reason = "a helper of tests")]
mod kit;

fn main() -> ExitCode {
    let words: Vec<String> = env::args().skip(1).collect();
    match ask(&words) {
        Ok(said) => {
            println!("{said}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn ask(words: &[String]) -> Result<String, String> {
    let [signer, keeper, kind, one, two] = words else { return Err("usage".to_owned()) };
    let keeper = keeper.parse().map_err(|_| "no uid")?;
    let connect = || Signer::connect(Path::new(signer), keeper).map_err(said);
    if kind == "own" {
        let record = own(Path::new(one), two.parse().map_err(|_| "no uid")?)?;
        return connect()?.ssh(record, SSH_KEY).map_err(said);
    }
    let mut signer = connect()?;
    let seq = one.parse().map_err(|_| "no number")?;
    let action = Digest::from_hex(two).ok_or("no digest")?;
    let record = Warranted { seq, action };
    match kind.as_str() {
        "checkpoint" => {
            let checkpoint = Checkpoint { log_id: "0".repeat(32), size: seq, root: action };
            signer.checkpoint(&checkpoint, &[]).map(|bytes| format!("{bytes:?}")).map_err(said)
        }
        "last" => signer.last().map(|last| format!("{last:?}")).map_err(said),
        "public" => signer.public().map(|public| format!("{public:?}")).map_err(said),
        "registry" => signer.registry(record).map(|(entry, _)| entry).map_err(said),
        "ssh" => signer.ssh(record, SSH_KEY).map_err(said),
        "x509" => signer.x509(record, &spki()).map_err(said),
        _ => Err("usage".to_owned()),
    }
}

/// States that the user this runs as was allowed a shell as root.
fn own(log: &Path, keeper: u32) -> Result<Warranted, String> {
    let sink = Remote::at(log, keeper);
    let mut entry = kit::allowed(u128::from(std::process::id()));
    let name = format!("local:{}", env::var("IDDIO_TEST_USER").unwrap_or_default());
    let action = Digest::of_bytes(b"own");
    if let (Body::Decided(record), Some(id)) = (&entry.body, PrincipalId::new(&name)) {
        let mut record = DecisionRecord::clone(record);
        let mut operation = kit::operation(&[]);
        operation.protocol = Protocol::Ssh;
        operation.description.method = Some("shell".to_owned());
        operation.description.resource = Some("root@web-1".to_owned());
        record.subject = kit::subject("x", operation);
        record.subject.action_digest = action;
        record.subject.principal = Principal {
            id,
            kind: PrincipalKind::Human,
            delegation: Vec::new(),
            proof: Proof::UnixUser,
            groups: Vec::new(),
            tenant: None,
            task: None,
        };
        entry.body = Body::Decided(Arc::new(record));
    }
    let stored = kit::wait(sink.append(&entry, Durability::Sync));
    let seq = stored.map_err(|error| format!("log: {error}"))?.seq();
    Ok(Warranted { seq, action })
}

fn said(error: SignerError) -> String {
    match error.code() {
        Some(code) => format!("{}: {error}", code.name()),
        None => format!("none: {error}"),
    }
}

/// The generator of P-256, which is a point as good as any.
fn spki() -> Vec<u8> {
    let digits = "3059301306072a8648ce3d020106082a8648ce3d030107034200\
        046b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296\
        4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5";
    let byte = |at: usize| digits.get(at..at + 2).and_then(|two| u8::from_str_radix(two, 16).ok());
    (0..digits.len()).step_by(2).filter_map(byte).collect()
}

/// A public key of nobody.
const SSH_KEY: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJfUkZ6G1kK6Bq8q6bYw0mVhC5b0k0kB1fJp7q1m0k0B";
