//! What a rule file can say beside its detector: conditions, counting, exceptions, hours, holding, status.

use keywatch::engine::detect::SPECS;
use keywatch::rules::compile::compile;
use keywatch::rules::{RuleFile, RuleSet};
use keywatch::yaml::render;

use crate::lab::check_in;

const HEAD: &str = "title: Refunds from strange places
description: Somebody asks for money back.
severity: warning
audience: both
runbook: [Look at it.]
";

fn rules(texts: &[&str]) -> RuleSet {
    let file = |(n, text): (usize, &&str)| RuleFile { name: format!("{n}.yml"), text: (*text).to_owned() };
    compile(texts.iter().enumerate().map(file).collect(), SPECS)
        .unwrap_or_else(|problems| panic!("{}", render(&problems)))
}

/// One rule of a name `r`, with more fields than the usual ones.
#[track_caller]
fn check(more: &str, script: &str, want: &str) {
    check_in(&rules(&[&format!("name: r\n{HEAD}{more}")]), "r", script, want);
}

const REFUNDS: &str = "kind: custom\ncondition: event.path.startsWith(\"/v1/refunds\") && event.outcome == \"ok\"\n";
const MISMATCH: &str = "kind: env_mismatch\n";

#[test]
fn a_condition_alone_is_a_rule() {
    let script = "0d10:00 k ok 203.0.113.1 /v1/refunds
                  0d10:01 k denied 203.0.113.1 /v1/refunds
                  0d10:02 k ok 203.0.113.1 /v1/payments
                  0d10:30 k ok 203.0.113.1 /v1/refunds
                  end 2d";
    check(REFUNDS, script, "k 0d10:00..0d11:30 warning r2");
    check(
        &format!("{REFUNDS}params: {{quiet: 10m}}\n"),
        script,
        "k 0d10:00..0d10:10 warning r2\nk 0d10:30..0d10:40 warning r2",
    );
    check(&format!("{REFUNDS}match: {{except_keys: [k]}}\n"), script, "");
}

#[test]
fn what_is_absent_is_not_true() {
    check("kind: custom\ncondition: event.path != \"/v1/refunds\"\n", "0d10:00 k ok 203.0.113.1\n end 1d", "");
}

#[test]
fn a_threshold_counts_what_its_condition_is_true_of() {
    let rule = "kind: threshold
condition: event.outcome == \"denied\"
params: {count: 10, window: 1h, quiet: 1h}
";
    check(rule, "0d10:00..0d10:09/1m k denied 203.0.113.1\n 0d10:00..0d12:00/1m k ok 203.0.113.1\n end 2d", "");
    check(rule, "0d10:00..0d10:10/1m k denied 203.0.113.1\n end 2d", "k 0d10:09..0d11:09 warning r2");
    check(rule, "0d10:00 k denied 203.0.113.1 x10\n end 2d", "k 0d10:00..0d11:00 warning r2");
    // Nine within any hour, for a day.
    check(rule, "0d10:00..1d10:00/7m k denied 203.0.113.1\n end 3d", "");
    check(rule, "0d10:00..0d10:10/2m a denied 203.0.113.1\n 0d10:00..0d10:10/2m b denied 203.0.113.1\n end 2d", "");
}

#[test]
fn groups_are_counted_apart() {
    let rule = "kind: threshold
condition: event.outcome == \"denied\"
params: {count: 3, window: 1h, quiet: 1h}
group_by: [path]
";
    let script = "0d10:00 k denied 203.0.113.1 /a
                  0d10:01 k denied 203.0.113.1 /b
                  0d10:02 k denied 203.0.113.1
                  0d10:03 k denied 203.0.113.1 /a
                  0d10:04 k denied 203.0.113.1
                  0d10:05 k denied 203.0.113.1 /a
                  0d10:06 k denied 203.0.113.1
                  end 2d";
    check(&format!("{rule}missing: skip\n"), script, "k path /a 0d10:05..0d11:05 warning r2");
    check(
        &format!("{rule}missing: together\n"),
        script,
        "k path /a 0d10:05..0d11:05 warning r2\nk path - 0d10:06..0d11:06 warning r2",
    );
}

#[test]
fn a_condition_narrows_a_detector() {
    let script = "0d10:00 k denied 203.0.113.1 test>live\n 0d10:00 t denied 198.51.100.1 test>live\n end 2d";
    check(
        &format!("{MISMATCH}condition: event.source_ip.inCidr(\"203.0.113.0/24\")\n"),
        script,
        "k test_key_at_live 0d10:00..1d10:00 warning r2",
    );
}

#[test]
fn severity_follows_the_content() {
    let when = "severity_when:
  - {condition: event.source_ip.inCidr(\"203.0.113.0/24\"), severity: lower}
  - {condition: event.endpoint_env == \"live\", severity: critical}
";
    check(
        &format!("{MISMATCH}{when}"),
        "0d10:00 k denied 203.0.113.1 test>live\n 0d10:00 t denied 198.51.100.1 test>live\n end 2d",
        "k test_key_at_live 0d10:00..1d10:00 info r2\nt test_key_at_live 0d10:00..1d10:00 critical r2",
    );
}

#[test]
fn exceptions_spare_until_they_end() {
    let exceptions = "exceptions:
  - name: known-agency
    fields: [event.source_ip, merchant.id]
    operators: [in, ==]
    values:
      - {of: [[203.0.113.0/24, 192.0.2.1], m1], reason: Their agency, owner: support, expires: 2024-10-05}
";
    let rule = format!("{MISMATCH}{exceptions}");
    // The lab begins on 4 October 2024.
    check(&rule, "0d10:00 k denied 203.0.113.1 test>live\n 1d23:59 k denied 192.0.2.1 test>live\n end 4d", "");
    check(&rule, "2d00:00 k denied 203.0.113.1 test>live\n end 4d", "k test_key_at_live 2d00:00..3d00:00 warning r2");
    check(
        &rule,
        "0d10:00 m2/k denied 203.0.113.1 test>live\n end 4d",
        "k test_key_at_live 0d10:00..1d10:00 warning r2",
    );
}

#[test]
fn others_add_values_to_a_shape() {
    let shape = "exceptions: [{name: known, fields: [event.source_ip]}]\n";
    let rule = format!("name: r\n{HEAD}{MISMATCH}{shape}");
    let more = "overrides:
  - rule: r
    severity: high
    exceptions:
      known: [{of: 203.0.113.1, reason: Ours, owner: ops, expires: never}]
";
    let script = "0d10:00 k denied 203.0.113.1 test>live\n 0d11:00 k denied 203.0.113.2 test>live\n end 4d";
    check_in(&rules(&[&rule, more]), "r", script, "k test_key_at_live 0d11:00..1d11:00 high r2");
    check_in(&rules(&[more, &rule]), "r", script, "k test_key_at_live 0d11:00..1d11:00 high r2");
}

#[test]
fn alerts_open_in_their_hours_only() {
    // Zurich is two hours ahead of UTC on 4 October 2024, a Friday.
    let active = "active: {zone: Europe/Zurich, days: [mon-fri], hours: [\"08:00-18:00\"]}\n";
    let rule = format!("{MISMATCH}{active}params: {{quiet: 1h}}\n");
    check(
        &rule,
        "0d05:59 a denied 203.0.113.1 test>live
         0d06:00 b denied 203.0.113.1 test>live
         0d15:59 c denied 203.0.113.1 test>live
         0d16:30 c denied 203.0.113.1 test>live
         1d10:00 d denied 203.0.113.1 test>live
         end 4d",
        "b test_key_at_live 0d06:00..0d07:00 warning r2\nc test_key_at_live 0d15:59..0d17:30 warning r2",
    );
}

#[test]
fn signs_must_go_on_before_an_alert_opens() {
    let rule = format!("{MISMATCH}params: {{quiet: 1h}}\nfor: 30m\n");
    // Over before it opened; the second goes on.
    check(&rule, "0d10:00..0d10:30/10m k denied 203.0.113.1 test>live\n end 2d", "");
    check(
        &rule,
        "0d10:00..0d10:31/10m k denied 203.0.113.1 test>live\n end 2d",
        "k test_key_at_live 0d10:00..0d11:30 warning r2",
    );
    check(&rule, "0d10:00 k denied 203.0.113.1 test>live\n 0d11:01 k denied 203.0.113.1 test>live\n end 2d", "");
}

#[test]
fn an_alert_stays_open_for_a_while() {
    let rule = format!("{MISMATCH}params: {{quiet: 1h}}\nkeep_firing_for: 5h\n");
    check(
        &rule,
        "0d10:00 k denied 203.0.113.1 test>live\n 0d14:00 k denied 203.0.113.1 test>live\n end 2d",
        "k test_key_at_live 0d10:00..0d19:00 warning r2",
    );
}

#[test]
fn a_detectors_end_waits_too() {
    let rule = "kind: stale_key\nparams: {unused_for: 7d}\n";
    let script = "0d00:00 k ok 203.0.113.1\n 9d00:00 k ok 203.0.113.1\n 9d01:00 k ok 203.0.113.1\n end 12d";
    check(rule, script, "k 7d00:00..9d00:00 warning r2");
    check(&format!("{rule}keep_firing_for: 1d\n"), script, "k 7d00:00..10d00:00 warning r2");
}

#[test]
fn defaults_stand_for_what_rules_leave_out() {
    let defaults = "defaults: {severity: high, audience: support, runbook: [Ask.], owner: ops}\n";
    let rule = "name: r\ntitle: T\ndescription: D\nkind: env_mismatch\n";
    let set = rules(&[rule, defaults]);
    assert_eq!((set.rules[0].severity.as_str(), set.rules[0].audience.as_str()), ("high", "support"));
    assert_eq!(
        (set.rules[0].runbook.as_slice(), set.rules[0].owner.as_deref()),
        (&["Ask.".to_owned()][..], Some("ops"))
    );
    let own = format!("{rule}severity: info\n");
    assert_eq!(rules(&[&own, defaults]).rules[0].severity.as_str(), "info");
}

#[test]
fn lists_and_macros_are_named_in_conditions() {
    let names = "lists:
  office: {type: cidr, values: [203.0.113.0/24]}
macros:
  is_refused: event.outcome == \"denied\"
";
    let rule = format!("name: r\n{HEAD}kind: custom\ncondition: is_refused && event.source_ip in lists.office\n");
    let set = rules(&[names, &rule]);
    assert!(set.warnings.is_empty(), "{}", render(&set.warnings));
    let script = "0d10:00 k denied 203.0.113.1\n 0d10:00 t denied 198.51.100.1\n 0d10:00 u ok 203.0.113.1\n end 2d";
    check_in(&set, "r", script, "k 0d10:00..0d11:00 warning r2");
}

#[test]
fn a_list_may_lie_in_a_text_file() {
    let file = |name: &str, text: &str| RuleFile { name: name.into(), text: text.into() };
    let rule = format!(
        "rules:\n  - name: r\n    {}    kind: custom\n    condition: event.source_ip in lists.office\nlists:\n  office: {{type: cidr, file: office.txt}}\n",
        HEAD.replace('\n', "\n    ").trim_end_matches(' ').to_owned()
    );
    let list = "# Our offices\n203.0.113.0/24  # Zurich\n\n";
    let set = compile(vec![file("local/r.yml", &rule), file("local/office.txt", list)], SPECS);
    let set = set.unwrap_or_else(|problems| panic!("{}", render(&problems)));
    check_in(&set, "r", "0d10:00 k ok 203.0.113.1\n end 2d", "k 0d10:00..0d11:00 warning r2");
    let problems =
        compile(vec![file("local/r.yml", &rule), file("local/office.txt", "203.0.113.0/24\noffice\n")], SPECS);
    assert!(render(&problems.unwrap_err()).contains("error: local/office.txt:2:1: expected a network"));
}
