//! What approvers and agents show: statements, keys, tokens.

use iddio_approve::{AskId, Statement};
use iddio_mint::{ApproverPublic, Token, TokenHash};

/// One statement has one text.
pub(crate) fn statement(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Some(statement) = Statement::parse(text) {
        assert_eq!(statement.to_string(), text, "a statement has two texts");
    }
    if let Some(id) = AskId::parse(text) {
        assert_eq!(AskId::parse(id.as_str()).map(|id| id.to_string()), Some(id.to_string()));
    }
}

/// A token that is read is the token that was drawn, and is not shown.
pub(crate) fn token(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Some(token) = Token::parse(text) {
        assert_eq!(token.dangerous_reveal(), text, "a token has two spellings");
        assert!(!format!("{token:?}").contains(text), "a token is shown");
    }
    if let Some(hash) = TokenHash::from_hex(text) {
        assert_eq!(hash.to_hex(), text, "a hash has two spellings");
    }
}

/// A public key that is read is written as a line that is read as the same key.
pub(crate) fn approver_key(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(key) = ApproverPublic::parse(text) {
        let again = ApproverPublic::parse(&key.to_line());
        let print = again.map(|again| again.fingerprint());
        assert_eq!(print.ok(), Some(key.fingerprint()), "a key is another on paper");
    }
}

/// A call of the signer is read as what it is written as.
pub(crate) fn signer_call(bytes: &[u8]) {
    if let Ok(call) = iddio_mint::signer::wire::Call::read(bytes) {
        assert_eq!(call.to_bytes(), bytes, "a call has two texts");
    }
}

/// An answer of the signer is read as what it is written as.
pub(crate) fn signer_reply(bytes: &[u8]) {
    if let Ok(reply) = iddio_mint::signer::wire::Reply::read(bytes) {
        assert_eq!(reply.to_bytes(), bytes, "an answer has two texts");
    }
}
