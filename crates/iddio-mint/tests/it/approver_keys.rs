//! Approver keys, checked with OpenSSH's own tools.

use std::{
    fs,
    io::Write,
    path::Path,
    process::{Command, Stdio},
};

use ed25519_dalek::{Signer, SigningKey};
use iddio_mint::{
    ApproverKey, ApproverPublic, Passphrase,
    approver::{KeyError, KeyKind, PassphraseAgreement, VerifyError},
};
use sha2::{Digest, Sha256};
use ssh_key::{
    Algorithm, HashAlg, LineEnding, PublicKey, Signature, SshSig,
    public::{Ed25519PublicKey, KeyData, SkEd25519},
};

const SPACE: &str = "iddio-approval";
const PHRASE: &str = "correct horse battery";

#[test]
fn a_passphrase_key_is_made_opened_and_verified_by_ssh_keygen() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("ada");
    let made = ApproverKey::create(&path, "human:ada", &phrase(PHRASE)).unwrap();
    let opened = ApproverKey::open(&path, &phrase(PHRASE)).unwrap();
    assert_eq!(made.public().fingerprint(), opened.public().fingerprint());
    assert!(fs::read_to_string(&path).unwrap().starts_with("-----BEGIN OPENSSH PRIVATE KEY-----"));

    let message = b"iddio-grant/v1\nverdict grant\n";
    let signature = opened.sign(SPACE, message).unwrap();
    opened.public().verify(SPACE, message, &signature).unwrap();
    assert!(ssh_keygen_verifies(home.path(), &opened.public(), message, &signature));
    assert!(!ssh_keygen_verifies(home.path(), &opened.public(), b"other", &signature));
}

#[test]
fn ssh_keygen_opens_our_key_and_we_verify_its_signature() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("ada");
    let key = ApproverKey::create(&path, "human:ada", &phrase(PHRASE)).unwrap();
    let status = ssh_keygen()
        .args(["-p", "-P", PHRASE, "-N", "another long phrase", "-q", "-f"])
        .arg(&path)
        .status();
    assert!(status.unwrap().success());
    assert!(matches!(
        ApproverKey::open(&path, &phrase(PHRASE)).unwrap_err(),
        KeyError::Passphrase(_)
    ));
    ApproverKey::open(&path, &phrase("another long phrase")).unwrap();

    let status = ssh_keygen()
        .args(["-p", "-P", "another long phrase", "-N", "", "-q", "-f"])
        .arg(&path)
        .status();
    assert!(status.unwrap().success());
    let message = home.path().join("statement");
    fs::write(&message, "what was seen").unwrap();
    let signed = ssh_keygen()
        .args(["-Y", "sign", "-q", "-n", SPACE, "-f"])
        .args([&path, &message])
        .status()
        .unwrap();
    assert!(signed.success());
    let signature = fs::read_to_string(home.path().join("statement.sig")).unwrap();
    key.public().verify(SPACE, b"what was seen", &signature).unwrap();
}

#[test]
fn a_key_without_a_passphrase_is_never_opened_as_an_approver_key() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("plain");
    let made = ssh_keygen().args(["-t", "ed25519", "-N", "", "-q", "-f"]).arg(&path).status();
    assert!(made.unwrap().success());
    let error = ApproverKey::open(&path, &phrase(PHRASE)).unwrap_err();
    assert!(matches!(error, KeyError::Unprotected(_)), "{error}");
}

#[test]
fn a_signature_is_good_for_one_key_one_message_and_one_purpose() {
    let home = tempfile::tempdir().unwrap();
    let ada = ApproverKey::create(&home.path().join("ada"), "", &phrase(PHRASE)).unwrap();
    let bob = ApproverKey::create(&home.path().join("bob"), "", &phrase(PHRASE)).unwrap();
    let signature = ada.sign(SPACE, b"yes").unwrap();
    let verify = |public: ApproverPublic, space, message: &[u8], signature: &str| {
        public.verify(space, message, signature)
    };
    let cases = [
        (bob.public(), SPACE, &b"yes"[..], signature.clone()),
        (ada.public(), "git", b"yes", signature.clone()),
        (ada.public(), SPACE, b"yes ", signature.clone()),
        (ada.public(), SPACE, b"yes", String::new()),
        (ada.public(), SPACE, b"yes", "x".repeat(100_000)),
    ];
    assert_eq!(verify(ada.public(), SPACE, b"yes", &signature), Ok(()));
    for (place, (public, space, message, signature)) in cases.into_iter().enumerate() {
        assert!(verify(public, space, message, &signature).is_err(), "case {place}");
    }
    for place in 0..signature.len() {
        let mut bytes = signature.clone().into_bytes();
        bytes[place] ^= 1;
        let Ok(changed) = String::from_utf8(bytes) else { continue };
        // Armour has slack (spaces, line ends); what must never verify is another signature.
        if verify(ada.public(), SPACE, b"yes", &changed).is_ok() {
            let same = SshSig::from_pem(&changed).unwrap() == SshSig::from_pem(&signature).unwrap();
            assert!(same, "byte {place}");
        }
    }
}

#[test]
fn a_hardware_key_counts_only_when_touched() {
    let key = SigningKey::from_bytes(&[7; 32]);
    let data = SkEd25519::new(Ed25519PublicKey(key.verifying_key().to_bytes()), "ssh:");
    let data = KeyData::SkEd25519(data);
    let line = PublicKey::new(data.clone(), "token").to_openssh().unwrap();
    let public = ApproverPublic::parse(&line).unwrap();
    assert_eq!(public.kind(), KeyKind::Hardware);
    let armoured = |flags: u8| {
        let signed = SshSig::signed_data(SPACE, HashAlg::Sha512, b"yes").unwrap();
        let trailer = [flags, 0, 0, 0, 9];
        let blob = [&Sha256::digest(b"ssh:")[..], &trailer, &Sha256::digest(signed)].concat();
        let bytes = [&key.sign(&blob).to_bytes()[..], &trailer].concat();
        let signature = Signature::new(Algorithm::SkEd25519, bytes).unwrap();
        let sig = SshSig::new(data.clone(), SPACE, HashAlg::Sha512, signature).unwrap();
        sig.to_pem(LineEnding::LF).unwrap()
    };
    assert_eq!(public.verify(SPACE, b"yes", &armoured(1)), Ok(()));
    assert_eq!(public.verify(SPACE, b"yes", &armoured(5)), Ok(()));
    assert_eq!(public.verify(SPACE, b"yes", &armoured(0)), Err(VerifyError::NotPresent));
    assert_eq!(public.verify(SPACE, b"no", &armoured(1)), Err(VerifyError::Invalid));
}

#[test]
fn keys_of_other_types_are_refused_by_name() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("ec");
    let made = ssh_keygen().args(["-t", "ecdsa", "-N", "", "-q", "-f"]).arg(&path).status();
    assert!(made.unwrap().success());
    let line = fs::read_to_string(home.path().join("ec.pub")).unwrap();
    let error = ApproverPublic::parse(&line).unwrap_err().to_string();
    assert!(error.contains("ecdsa-sha2-nistp256"), "{error}");
    for bad in ["", "hello", "ssh-ed25519 AAAA", "ssh-ed25519 \u{7}", &"x".repeat(10_000)] {
        ApproverPublic::parse(bad).unwrap_err();
    }
}

#[test]
fn a_short_passphrase_is_refused() {
    Passphrase::new(b"short".to_vec()).unwrap_err();
    Passphrase::new(vec![b'a'; 5_000]).unwrap_err();
    assert_eq!(phrase(PHRASE).agrees_with(&phrase(PHRASE)), PassphraseAgreement::Same);
    let other = phrase("correct horse batterz");
    assert_eq!(phrase(PHRASE).agrees_with(&other), PassphraseAgreement::Different);
}

#[test]
fn neither_key_nor_passphrase_is_ever_shown() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("ada");
    let key = ApproverKey::create(&path, "human:ada", &phrase(PHRASE)).unwrap();
    let body = fs::read_to_string(&path).unwrap();
    let wrong = ApproverKey::open(&path, &phrase("planted canary phrase")).unwrap_err();
    fs::write(home.path().join("half"), &body[..body.len() / 2]).unwrap();
    let private = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    fs::set_permissions(home.path().join("half"), private).unwrap();
    let half = ApproverKey::open(&home.path().join("half"), &phrase(PHRASE)).unwrap_err();
    let shown = format!("{key:?} {:?} {wrong} {wrong:?} {half} {half:?}", phrase(PHRASE));
    assert!(!shown.contains(PHRASE) && !shown.contains("planted"), "{shown}");
    for line in body.lines().filter(|line| !line.starts_with('-')) {
        assert!(!shown.contains(line), "{shown}");
    }
}

fn phrase(text: &str) -> Passphrase {
    Passphrase::new(text.as_bytes().to_vec()).unwrap()
}

/// OpenSSH's own tool. Without it these tests fail, and say how to get it.
fn ssh_keygen() -> Command {
    let found = Command::new("ssh-keygen").arg("-?").stderr(Stdio::null()).status();
    assert!(found.is_ok(), "ssh-keygen is missing: apt-get install openssh-client");
    let mut command = Command::new("ssh-keygen");
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

fn ssh_keygen_verifies(home: &Path, key: &ApproverPublic, message: &[u8], armoured: &str) -> bool {
    fs::write(home.join("signers"), format!("human:ada {}\n", key.to_line())).unwrap();
    fs::write(home.join("sig"), armoured).unwrap();
    let mut command = ssh_keygen();
    command.args(["-Y", "verify", "-n", SPACE, "-I", "human:ada", "-f"]);
    command.arg(home.join("signers")).arg("-s").arg(home.join("sig")).stdin(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(message).unwrap();
    child.wait().unwrap().success()
}
