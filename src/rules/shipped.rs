//! The shipped rule files, for commands that must work without a folder of rules.

/// Name and text of each.
pub const SHIPPED: &[(&str, &str)] = &[
    ("client-side-use.yml", include_str!("../../rules/client-side-use.yml")),
    ("dormant-awake.yml", include_str!("../../rules/dormant-awake.yml")),
    ("drop.yml", include_str!("../../rules/drop.yml")),
    ("env-mismatch.yml", include_str!("../../rules/env-mismatch.yml")),
    ("error-burst.yml", include_str!("../../rules/error-burst.yml")),
    ("expiring-key.yml", include_str!("../../rules/expiring-key.yml")),
    ("impossible-travel.yml", include_str!("../../rules/impossible-travel.yml")),
    ("ip-fanout.yml", include_str!("../../rules/ip-fanout.yml")),
    ("key-exposed.yml", include_str!("../../rules/key-exposed.yml")),
    ("key-lifecycle.yml", include_str!("../../rules/key-lifecycle.yml")),
    ("key-scan.yml", include_str!("../../rules/key-scan.yml")),
    ("malformed-key.yml", include_str!("../../rules/malformed-key.yml")),
    ("new-endpoint.yml", include_str!("../../rules/new-endpoint.yml")),
    ("new-ip.yml", include_str!("../../rules/new-ip.yml")),
    ("new-user-agent.yml", include_str!("../../rules/new-user-agent.yml")),
    ("off-hours.yml", include_str!("../../rules/off-hours.yml")),
    ("platform-incident.yml", include_str!("../../rules/platform-incident.yml")),
    ("revoked-key-use.yml", include_str!("../../rules/revoked-key-use.yml")),
    ("rotated-key-use.yml", include_str!("../../rules/rotated-key-use.yml")),
    ("rotation-overdue.yml", include_str!("../../rules/rotation-overdue.yml")),
    ("rotation-unproven.yml", include_str!("../../rules/rotation-unproven.yml")),
    ("spike.yml", include_str!("../../rules/spike.yml")),
    ("stale-key.yml", include_str!("../../rules/stale-key.yml")),
    ("suspended-use.yml", include_str!("../../rules/suspended-use.yml")),
];

#[cfg(test)]
mod tests {
    use super::*;

    /// A level is a promise: false alerts in 1,000 key-days, all rules together.
    #[test]
    fn the_budgets_of_the_pack_add_up_to_one() {
        let of = |text: &str| text.lines().find_map(|line| line.trim().strip_prefix("budget: ")?.parse::<f64>().ok());
        let sum: f64 = SHIPPED.iter().filter_map(|(_, text)| of(text)).sum();
        assert!((sum - 1.0).abs() < 1e-9, "{sum}");
    }
}
