//! The version people see: CalVer, `vYYYY.MMDD.HHMM` in UTC.
//!
//! A release build names itself through `IDDIO_CALVER`. Any other build is of the line below and says
//! so with `-dev`; the Cargo version stays 0.y.z and is shown to nobody.

/// The version of this build.
pub(crate) const CALVER: &str = match option_env!("IDDIO_CALVER") {
    Some(version) => version,
    None => "v2026.1120.1840-dev",
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_a_date_and_a_time() {
        let digits = |text: &str, count| {
            text.len() == count && text.bytes().all(|byte| byte.is_ascii_digit())
        };
        let plain = CALVER.trim_end_matches("-dev").strip_prefix('v').unwrap();
        let parts: Vec<&str> = plain.split('.').collect();
        assert_eq!(parts.len(), 3, "{CALVER}");
        assert!(digits(parts[0], 4) && digits(parts[1], 4) && digits(parts[2], 4), "{CALVER}");
    }
}
