//! The shipped rule files, for commands that must work without a folder of rules.

/// Name and text of each.
pub const SHIPPED: &[(&str, &str)] = &[
    ("env-mismatch.yml", include_str!("../../rules/env-mismatch.yml")),
    ("new-ip.yml", include_str!("../../rules/new-ip.yml")),
    ("revoked-key-use.yml", include_str!("../../rules/revoked-key-use.yml")),
    ("rotated-key-use.yml", include_str!("../../rules/rotated-key-use.yml")),
    ("spike.yml", include_str!("../../rules/spike.yml")),
    ("stale-key.yml", include_str!("../../rules/stale-key.yml")),
];
