//! Bearer tokens.

use iddio_mint::{Token, TokenHash, token::TokenMatch};

#[test]
fn a_token_matches_its_own_hash_and_no_other() {
    let (one, other) = (Token::draw().unwrap(), Token::draw().unwrap());
    let stored = TokenHash::from_hex(&one.hash().to_hex()).unwrap();
    assert_eq!(stored.matches(&one), TokenMatch::Same);
    assert_eq!(stored.matches(&other), TokenMatch::Other);
    let read = Token::parse(one.dangerous_reveal()).unwrap();
    assert_eq!(stored.matches(&read), TokenMatch::Same);
}

#[test]
fn a_token_has_256_bits_and_a_prefix_that_scanners_find() {
    let token = Token::draw().unwrap();
    let text = token.dangerous_reveal();
    assert!(text.starts_with("iddio_"));
    assert!(256 <= (text.len() - "iddio_".len()) * 5);
}

#[test]
fn what_cannot_be_a_token_is_not_read_as_one() {
    let good = Token::draw().unwrap().dangerous_reveal().to_owned();
    let cases = [
        String::new(),
        "iddio_".to_owned(),
        good.to_uppercase(),
        good[1..].to_owned(),
        format!("{good}a"),
        format!("{good}\n"),
        good.replacen("iddio_", "iddio-", 1),
        format!("{}0", &good[..good.len() - 1]),
    ];
    for case in cases {
        assert!(Token::parse(&case).is_none(), "{case:?}");
    }
}

#[test]
fn a_token_shows_nothing_of_itself() {
    let token = Token::draw().unwrap();
    let secret = token.dangerous_reveal()["iddio_".len()..].to_owned();
    let hash = token.hash();
    let shown = format!("{token:?} {hash:?} {:?}", hash.matches(&token));
    assert!(!shown.contains(&secret) && !shown.contains(&hash.to_hex()), "{shown}");
}
