//! Tests of policy files: what loads, what is refused and where, and what is decided.

#[test]
fn the_default_policy_loads_for_any_user() {
    use iddio_policy::{Format, default_policy, load};

    for user in ["ada", "svc_build", "a.b-c", "", "weird name\n{}"] {
        let loaded = load(default_policy(user).as_bytes(), Format::Yaml, "policy.yaml");
        assert!(loaded.is_ok() || user.is_empty(), "{user}: {}", loaded.unwrap_err());
    }
}
