//! The version people see: CalVer, `vYYYY.MMDD.HHMM` in UTC.
//!
//! A release build sets `IDDIO_CALVER`; anything else says so.

/// The version of this build.
pub(crate) const CALVER: &str = match option_env!("IDDIO_CALVER") {
    Some(version) => version,
    None => concat!("v", env!("CARGO_PKG_VERSION"), "-dev"),
};
