//! Credentials that exist only for one operation.

use std::fmt;

use crate::{BoxFuture, pipeline::Warrant};

/// Makes the credential an upstream will accept for one warranted operation.
///
/// A gateway holds no standing credential. It can only ask for one, and to ask it must show a
/// [`Warrant`], which exists only after the decision is durable.
pub trait CredentialMinter<A>: Send + Sync {
    /// An SSH certificate, a bound service-account token, a bearer token.
    type Credential: Send;

    /// Mints a credential no wider and no longer-lived than `warrant`.
    fn mint<'a>(
        &'a self,
        warrant: &'a Warrant<A>,
    ) -> BoxFuture<'a, Result<Self::Credential, MintError>>;
}

/// The minter of operations that need no credential: the child runs with the caller's own.
///
/// What that means for the boundary is said in the threat model: in the embedded home the caller
/// already holds its credentials.
#[derive(Debug)]
pub struct NoCredential;

impl<A: Sync> CredentialMinter<A> for NoCredential {
    type Credential = ();

    fn mint<'a>(&'a self, _: &'a Warrant<A>) -> BoxFuture<'a, Result<(), MintError>> {
        Box::pin(std::future::ready(Ok(())))
    }
}

/// A credential could not be made, or may no longer be.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum MintError {
    /// The warrant, or a grant behind it, ran out before it was used.
    Expired,
    /// The caller was frozen before it was used.
    Frozen,
    /// The minter could not make one, for this reason. It names no secret.
    Refused(String),
    /// The minter could not make one.
    Unavailable,
}

impl fmt::Display for MintError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Expired => "the decision expired before it was used",
            Self::Frozen => "the caller was frozen before it could start",
            Self::Refused(reason) => {
                return write!(f, "no credential could be made: {reason}");
            }
            Self::Unavailable => "credential was not minted",
        })
    }
}

impl std::error::Error for MintError {}
