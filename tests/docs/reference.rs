//! Writes pages of `docs/reference` from the code.

use std::fmt::Write as _;

use clap::CommandFactory as _;

use keywatch::cli::Cli;
use keywatch::doctor::Check;
use keywatch::engine::detect::SPECS;
use keywatch::engine::params::ParamType;
use keywatch::metrics::catalogue::{CATALOGUE, Described, PROCESS, Type, Values};
use keywatch::time::duration_text;

const MADE: &str =
    "<!-- Made by `KEYWATCH_WRITE=1 cargo test --test docs`: edit tests/docs/reference.rs or the code. -->\n";

const RULES: &str = r#"A rule is a YAML file in the folder that `rules.directory` names; `*.test.yml` and names that begin with a dot are left
alone. A file has one rule, or several under `rules:`. All files are one version: it is validated whole, and adopted or
refused whole. `keywatch rules check DIR` reports every problem with file, line and column;
`keywatch rules test DIR` runs the [tests](rule-tests.md) beside the rules. A running service adopts
a change of the folder for all instances when nothing in it has moved for `rules.settle`, or at SIGHUP; an invalid folder
changes nothing. `keywatch rules check DIR --running URL` says whether the rules are in force there.

```yaml
name: stale-key-live
kind: stale_key
title: Live key not used for a long time
description: A live key that nobody needs can still be stolen.
severity: warning
audience: both
match:
  key_env: live
  except_merchants: [m_1042]
params:
  unused_for: 30d
runbook:
  - Ask the merchant whether the key is still needed.
  - Revoke it in the Control Panel if not.
```

| field | required | meaning |
| --- | --- | --- |
| `name` | yes | Unique. Lower-case letters, digits and single dashes, at most 60. With subject and start it makes an alert's reference: a renamed rule is another rule. |
| `kind` | yes | The detector, one of those below. |
| `title` | yes | At most 60 characters. |
| `description` | yes | What it means, for a support agent; at most 1,000 characters. |
| `severity` | yes | `info`, `warning`, `high` or `critical`. `high` and `critical` are told at once, others after `alerts.group_wait`. A detector may raise it by content. |
| `audience` | yes | `merchant`, `support` or `both`: who gets the mail. |
| `runbook` | yes | 1 to 5 steps, in order, at most 300 characters each. |
| `params` | no | The detector's parameters, below. |
| `match.key_env` | no | Only `live` or only `test` keys. |
| `match.merchants` | no | Only these merchants. |
| `match.except_merchants` | no | Never these merchants. |
| `match.except_keys` | no | Never these keys. |
| `condition` | `custom`, `threshold`: yes | What must be true of an event ([conditions](conditions.md)). Beside a detector it narrows what the detector sees. |
| `severity_when` | no | A list of `condition` and `severity` (a word, or `lower`, `higher`): the first that is true changes the severity. |
| `exceptions` | no | [What is spared](#exceptions). |
| `group_by`, `missing` | no | For `custom` and `threshold`: what a key's events are grouped by (`network`, `address`, `method`, `path`, `user_agent`, `reason`), and whether those without it are left out (`skip`) or counted as one group (`together`). |
| `active` | no | [The hours](#hours) in which alerts open. |
| `for` | no | How long signs must go on, each within the quiet time of the one before, until the alert opens. At most 7 days. |
| `keep_firing_for` | no | How long an alert stays open, at least, after its last sign, or after its detector says that it is over. At most 7 days. |
| `status` | no | `stable` (default), `test` or `off`. In `test` everything is computed, stored and counted, and nobody is told: `alerts list --all` and `replay --all` show it. |
| `owner`, `references` | no | For people; changes nothing. |

In `title`, `description` and `runbook`, `{{gateway}}`, `{{support}}` and `{{key_page}}` stand for the words of the
configuration's [`brand`](config.md#brand). Any other `{{…}}` is an error.

## More than one file

A file may have these sections instead of one rule. All files of the folder are read together, in any order.

```yaml
# rules/local/ours.yml
defaults:            # what rules may leave out; once in a folder
  audience: support
  owner: operations
lists:               # what conditions look into, as `lists.NAME`
  office: {type: cidr, values: [203.0.113.0/24, "2001:db8::/32"]}
  scanners: {type: string, values: [probe/1.0, pinger]}
macros:              # names for conditions
  is_refund: event.path.startsWith("/v1/refunds")
rules:
  - name: refund-from-outside
    kind: custom
    title: Refund from outside the office
    description: A refund was asked for from a network that is not ours.
    severity: high
    condition: is_refund && event.outcome == "ok" && !(event.source_ip in lists.office)
    params: {quiet: 1h}
    runbook: [Ask who did it.]
overrides:           # changes of rules in other files, so that an upgrade of the shipped ones keeps them
  - rule: spike
    severity: high
    reason: We want these at once.
    params: {min_extra: 100}
    match: {except_merchants: [m_1042]}
```

A list has the type `cidr`, `string`, `int` or `asn`, and `values`, or a `file` beside it (`.txt`, one value a line, `#` for
people). Text files are a part of the version like every other file. A list or macro that nobody names, and a text file
that no list names, is a warning.

An override may set `severity`, `audience`, `status`, `active` and `params`, and adds to `match.except_merchants`,
`match.except_keys` and to the values of `exceptions`.

## Exceptions

The author of a rule fixes the shape: which fields, and how each is compared. Others add values, here or in `overrides`; each
needs a reason, an owner, and a last day (UTC) or `never`. So an exception is never broader than its author allowed.

```yaml
name: mismatch-but-for-agencies
kind: env_mismatch
title: Key at the wrong endpoint
description: A key was used at the endpoint of the other environment.
severity: warning
audience: both
runbook: [Ask the merchant.]
exceptions:
  - name: known-agency
    fields: [event.source_ip, merchant.id]
    operators: [in, ==]
    values:
      - of: [[198.51.100.0/24, 192.0.2.7], m_1042]
        reason: Their agency tests with both keys.
        owner: support
        expires: 2027-06-30
```

Operators are `==` (default), `in` (of an address: within a network), `startsWith`, `endsWith`, `contains`. A list in a field's
place means any of these. `keywatch_findings_spared_total` counts what each exception spared.

## Hours

```yaml
name: refund-at-night
kind: custom
title: Refund at night
description: A refund was asked for while the office was closed.
severity: warning
audience: support
condition: event.path.startsWith("/v1/refunds")
active: {zone: Europe/Zurich, days: [mon-fri], hours: ["20:00-06:00"]}
runbook: [Ask who did it.]
```

`zone` is a name of the IANA database and must be given; `days` and `hours` are all where they are left out. A span over midnight
belongs to the day on which it began. Event time counts. Kinds that fire once, by time or by facts (`stale_key`,
`key_exposed`, `key_lifecycle`, `expiring_key`, `rotation_overdue`, `rotation_unproven`), have no hours: those of `defaults` leave them alone. `keywatch rules check` prints the next three times.

## In your editor

An editor that speaks to `yaml-language-server` (VS Code with the YAML extension, Neovim, Emacs, Helix, Zed) completes fields,
words and the parameters of the rule's kind, shows what each means and its default, and marks what is unknown, missing or of
the wrong type. The schema is [rules.schema.json](rules.schema.json), for tests
[rules.tests.schema.json](rules.tests.schema.json). The shipped files name it in their first line, relative to themselves.

In a folder of your own, write the schemas beside the rules and name them in the first line of each file:

```sh
keywatch rules schema > rules.schema.json
keywatch rules schema --for tests > rules.tests.schema.json
```

```text
# yaml-language-server: $schema=rules.schema.json
```

Or let the editor's settings name them once, here for VS Code; the narrower pattern is for the tests:

```json
"yaml.schemas": {
  "/etc/keywatch/rules.schema.json": ["/etc/keywatch/rules/**/!(*.test).yml"],
  "/etc/keywatch/rules.tests.schema.json": ["/etc/keywatch/rules/**/*.test.yml"]
}
```

After an upgrade write them again. The editor does not see what a condition says, other files, or the range of a duration:
`keywatch rules check` does. It also marks a field whose value is still to be written, and a bare `true` where a text is meant.

## Formatting

`keywatch rules fmt` sets rule files and their tests anew: fields of a rule in the order of the table above, two spaces of
indentation, single spaces, no quotes that are not needed. `--check` writes nothing and exits with 1 where a file is not formatted;
`--diff` shows what would change.

Comments stay with what they stand above or beside; those at the top of a file stay there. Where a comment cannot be kept, or
there is something else that the formatter does not understand, it names the line and leaves the file as it is. What it
writes has the same values, so no rule's hash changes, though the folder's version does. A file is replaced whole, or not at all.

At most 1,000 files and 10,000 rules. What a detector has learned is independent of the rules: an edited rule needs no
relearning. An open alert of a rule that is removed or turned off is resolved.

`keywatch replay --set RULE.PARAM=VALUE` changes a parameter for one replay.
"#;

/// `docs/reference/rules.md`
pub fn rules() -> String {
    let mut page = format!(
        "{MADE}# Rules\n\n{RULES}\n## Kinds\n\nWhat each sees, needs and misses: [kinds of alerts](../kinds.md).\n"
    );
    for spec in SPECS {
        let _ = write!(page, "\n### {}\n\n{}\n\n", spec.kind.as_str(), one_line(spec.doc));
        page.push_str("| parameter | type | default | range | meaning |\n| --- | --- | --- | --- | --- |\n");
        for param in spec.params {
            let (ty, default, min, max) = match param.ty {
                ParamType::Duration { min, max, default } => {
                    ("duration", duration_text(default), duration_text(min), duration_text(max))
                }
                ParamType::Count { min, max, default } => {
                    ("count", default.to_string(), min.to_string(), max.to_string())
                }
                ParamType::Number { min, max, default } => {
                    ("number", default.to_string(), min.to_string(), max.to_string())
                }
            };
            let doc = one_line(param.doc);
            let _ = writeln!(page, "| `{}` | {ty} | `{default}` | `{min}` to `{max}` | {doc} |", param.name);
        }
    }
    page
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// `docs/reference/metrics.md`
pub fn metrics() -> String {
    let mut page =
        format!("{MADE}# Metrics\n\nServed at `http://ADDRESS/metrics` (`http.listen`), in Prometheus' text form. ");
    page.push_str(
        "No label can grow with traffic:\nnone names a key, a merchant, an address, a path or a user agent.\n\n",
    );
    page.push_str("| metric | type | labels | meaning | normal |\n| --- | --- | --- | --- | --- |\n");
    for Described { name, ty, labels, help, normal } in CATALOGUE {
        let ty = match ty {
            Type::Counter => "counter",
            Type::Gauge => "gauge",
            Type::Histogram(_) => "histogram",
        };
        let labels: Vec<String> = labels.iter().map(|label| format!("`{}`", label.name)).collect();
        let normal = link(normal);
        let _ = writeln!(page, "| `{name}` | {ty} | {} | {help} | {normal} |", labels.join(", "));
    }
    for (name, help) in PROCESS {
        let _ = writeln!(
            page,
            "| `{name}` | {} | | {help} | |",
            if name.ends_with("_total") { "counter" } else { "gauge" }
        );
    }
    page.push_str("\n## Labels\n\nA metric whose only label has known values begins with all of them at 0.\n\n");
    page.push_str("| metric | label | values |\n| --- | --- | --- |\n");
    for metric in CATALOGUE {
        for label in metric.labels {
            let values = match label.values {
                Values::Known(values) => values.iter().map(|v| format!("`{v}`")).collect::<Vec<_>>().join(", "),
                Values::Bounded(by) => format!("bounded by: {by}"),
            };
            let _ = writeln!(page, "| `{}` | `{}` | {values} |", metric.name, label.name);
        }
    }
    page.push_str(
        "\n[deploy/prometheus/keywatch.rules.yml](../../deploy/prometheus/keywatch.rules.yml) has alerts on these; \
         [the dashboard](../../grafana/keywatch-overview.json) shows them.\n",
    );
    page
}

/// Where each preset looks for each field.
pub fn presets() -> String {
    use keywatch::event::mapping::{FIELDS, PRESETS, Take, preset};
    let presets: Vec<_> = PRESETS.iter().filter_map(|(name, _)| Some((*name, preset(name)?))).collect();
    let names: Vec<&str> = presets.iter().map(|(name, _)| *name).collect();
    let mut table = format!("| field | {} |\n|{}\n", names.join(" | "), " --- |".repeat(1 + names.len()));
    let code = |pointers: &[String]| pointers.iter().map(|p| format!("`{p}`")).collect::<Vec<_>>().join(", ");
    for field in FIELDS {
        let cells: Vec<String> = presets
            .iter()
            .map(|(_, mapping)| match mapping.fields.iter().find(|(name, _)| *name == field).map(|(_, take)| take) {
                Some(Take::Pointers(pointers)) => code(pointers),
                Some(Take::Always(text)) => format!("always {text}"),
                Some(Take::Words(pointer, _)) => format!("from `{pointer}`"),
                Some(Take::Path(pointers, _)) => format!("{}, joined", code(pointers)),
                None => String::new(),
            })
            .collect();
        if cells.iter().any(|cell| !cell.is_empty()) {
            table.push_str(&format!("| `{field}` | {} |\n", cells.join(" | ")));
        }
    }
    table
}

/// A mention of a page as a link to it.
fn link(text: &str) -> String {
    match text.split_once("docs/operations.md#") {
        Some((before, rest)) => {
            let anchor = rest.trim_end_matches('.');
            format!("{before}[{}](../operations.md#{anchor}).", anchor.replace('-', " "))
        }
        None => text.to_owned(),
    }
}

const EXIT: &str = "\
| exit code | meaning |
| --- | --- |
| 0 | Fine. Also where alerts were found. |
| 1 | The answer is no: a file is not valid, an alert does not exist, a check of `doctor` fails. Every problem is on standard error. |
| 2 | Wrong use: an unknown flag, a value that is none, a `--set` that names no parameter. |
| 3 | It could not be answered: a file cannot be read, the store is away or not migrated. |

Answers go to standard output, what was done and what went wrong to standard error, the most important line last. Texts
are wrapped for `COLUMNS`, else for 80 columns, and have no colour. For programs there is `-o json` and `--alerts-out -`.
";

/// `docs/reference/commands.md`
pub fn commands() -> String {
    let mut page = format!("{MADE}# Commands\n\n{EXIT}");
    let mut top = Cli::command().term_width(100);
    top.build();
    describe(&mut page, &mut top, "keywatch");
    page
}

/// `docs/doctor.md`
pub fn doctor() -> String {
    let mut page = format!(
        "{MADE}# keywatch doctor\n\n\
         ```sh\nkeywatch doctor --config keywatch.yml              # exit code 0: nothing fails; 1: something does\n\
         keywatch doctor --config keywatch.yml -o json      # the same as one array\n```\n\n\
         For the first day, and for when something is odd. It looks at all that the service needs, in this order, and prints \
         a line for\neach check: `ok`, `warn` (it works, and something is lost or will be), `fail` (the service would not do \
         its work) or\n`skipped`, what was looked at, what was found, and a `hint:` with what to do. The last line sums up.\n\n\
         It writes nothing anywhere: it joins no group, commits nothing, migrates nothing, sends no mail, makes no file. It \
         may so run\nbeside the service. Where a check fails the others go on; each has a bounded time, and all together \
         take some seconds.\n\n\
         Its Kafka user is the service's. With `DescribeConfigs` on the topics too it can tell their settings; without, it \
         says what\nto run instead. Of `auth-events` and `key-events` it reads the newest messages (`--sample`, 200 of each \
         partition) as the\nservice would. What it shows of them is masked.\n\n\
         | check | looks at | warns and fails |\n| --- | --- | --- |\n"
    );
    for check in Check::ALL {
        let _ = writeln!(page, "| `{}` | {} | {} |", check.name(), check.looks_at(), check.finds());
    }
    page
}

fn describe(page: &mut String, command: &mut clap::Command, name: &str) {
    let help = command.render_help().to_string();
    let help = help.lines().map(str::trim_end).collect::<Vec<_>>().join("\n");
    let _ = write!(page, "\n## {name}\n\n```text\n{}\n```\n", help.trim());
    for sub in command.get_subcommands_mut().filter(|sub| sub.get_name() != "help") {
        let name = format!("{name} {}", sub.get_name());
        describe(page, sub, &name);
    }
}
