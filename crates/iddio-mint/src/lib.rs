//! Keys: the only keeper of private keys.
