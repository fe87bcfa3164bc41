//! Every field of a rule file, once: what it may be, its default, and what it means. The schema is made of this table; a test
//! sees that the table and the readers agree.

use super::read::{MAX_CHANGES, MAX_HOLD, MAX_LISTED, MAX_STEPS, MAX_TITLE};
use super::text::MAX_NAME;
use crate::yaml::schema::Type::{Duration, Group, List, Names, OneOrMore, Other, Shape, Short, Text, Value, Word};
use crate::yaml::schema::{self, Field, Type, field};

const NAME: Type =
    Shape(r"^[a-z][a-z0-9]*(-[a-z0-9]+)*$", "lower-case letters, digits and single dashes, beginning with a letter");
/// Names of lists and macros.
const WORD: &str = "^[a-z][a-z0-9]*(_[a-z0-9]+)*$";
const DAY: Type = Shape(
    "^ *([Mm][Oo][Nn]|[Tt][Uu][Ee]|[Ww][Ee][Dd]|[Tt][Hh][Uu]|[Ff][Rr][Ii]|[Ss][Aa][Tt]|[Ss][Uu][Nn])[^-]*(- *([Mm][Oo][Nn]|[Tt][Uu][Ee]|[Ww][Ee][Dd]|[Tt][Hh][Uu]|[Ff][Rr][Ii]|[Ss][Aa][Tt]|[Ss][Uu][Nn]).*)?$",
    "write mon, tue, wed, thu, fri, sat, sun, or a span such as mon-fri",
);
const HOURS: Type = Shape(
    "^ *[0-9]{1,2}:[0-9]+ *- *[0-9]{1,2}:[0-9]+ *$",
    "expected hours such as 08:00-18:00, or 22:00-06:00 over midnight",
);
const DATE: Type = Shape(
    "^([0-9]{4}-[0-9]{2}-[0-9]{2}|never)$",
    "expected the last day (UTC) on which it holds, such as 2027-06-30, or never",
);

const SEVERITIES: &[(&str, &str)] = &[
    ("info", "Told after `alerts.group_wait`."),
    ("warning", "Told after `alerts.group_wait`."),
    ("high", "Told at once."),
    ("critical", "Told at once."),
];
const AUDIENCES: &[(&str, &str)] = &[
    ("merchant", "A mail to the merchant's contacts."),
    ("support", "A mail to support."),
    ("both", "A mail to each of the two."),
    ("operations", "Who runs the gateway."),
];
const STATUSES: &[(&str, &str)] = &[
    ("stable", "It speaks."),
    ("test", "In shadow: everything is computed, stored and counted, and nobody is told."),
    ("off", "It is not even computed."),
];
const CHANGES: &[(&str, &str)] = &[
    ("lower", "One milder; `info` stays."),
    ("higher", "One worse; `critical` stays."),
    ("info", ""),
    ("warning", ""),
    ("high", ""),
    ("critical", ""),
];
const ENVS: &[(&str, &str)] = &[("live", "Only live keys."), ("test", "Only test keys.")];
const GROUPINGS: &[(&str, &str)] = &[
    ("network", "The address's network: /24 of IPv4, /48 of IPv6."),
    ("address", "The client's address."),
    ("method", "HTTP method."),
    ("path", "Path with identifiers folded."),
    ("user_agent", "User agent."),
    ("reason", "Why the call was refused."),
];
const MISSING: &[(&str, &str)] =
    &[("skip", "Events without the field are not counted."), ("together", "They are counted as one group.")];
const OPERATORS: &[(&str, &str)] = &[
    ("==", "The same. Of an address: within a network."),
    ("in", "Of an address: within a network. Of a list: one of its values."),
    ("startsWith", "The text begins with it."),
    ("endsWith", "The text ends with it."),
    ("contains", "The text has it somewhere."),
];
const LIST_TYPES: &[(&str, &str)] = &[
    ("cidr", "Networks such as `203.0.113.0/24`, and addresses."),
    ("asn", "Numbers of providers (autonomous systems)."),
    ("string", "Texts."),
    ("int", "Whole numbers."),
];

const LISTED: Option<u64> = Some(MAX_LISTED as u64);
const IDS: Type = List(&Value, 0, LISTED);
/// A step of a runbook.
const STEPS: Type = List(&Text, 1, Some(MAX_STEPS as u64));
const HOLD: Type = Duration(0, MAX_HOLD);

/// Sections of a file that is not one rule.
#[rustfmt::skip]
pub const FILE: &[Field] = &[
    field("rules", List(&Group("rule"), 1, None), "Rules."),
    field("overrides", List(&Group("override"), 0, Some(super::overrides::MAX_OVERRIDES as u64)), "Changes of rules in other files, so that an upgrade of the shipped ones keeps them."),
    field("lists", Names(WORD, &Group("list")), "What conditions look into, as `lists.NAME`."),
    field("macros", Names(WORD, &Text), "Names for conditions."),
    field("defaults", Group("defaults"), "What rules may leave out. Once in a folder."),
];

/// Every group but [`FILE`].
#[rustfmt::skip]
pub const GROUPS: &[schema::Group] = &[
    ("rule", &[
        field("name", NAME, "Unique. With subject and start it makes an alert's reference: a renamed rule is another rule.").required().such_as("refund-from-outside"),
        field("kind", Other("kind"), "The detector.").required(),
        field("title", Short(MAX_TITLE as u64), "Short and plain, at most 60 characters: it stands in a mail's subject.").required(),
        field("description", Text, "What it means, for a support agent; at most 1,000 characters.").required(),
        field("severity", Word(SEVERITIES), "How much it matters. A detector may raise it by content. Required where no `defaults` has it."),
        field("audience", Word(AUDIENCES), "Who gets the mail. Required where no `defaults` has it."),
        field("status", Word(STATUSES), "Whether the rule speaks.").or("stable"),
        field("match", Group("match"), "Which keys the rule is about; all where it is absent."),
        field("condition", Text, "What must be true of an event, in CEL. Beside a detector it narrows what the detector sees; `custom` and `threshold` need it.").such_as("event.path.startsWith(\"/v1/refunds\") && event.outcome == \"ok\""),
        field("severity_when", List(&Group("severity_when"), 0, Some(MAX_CHANGES as u64)), "What makes it milder or worse: the first that is true counts."),
        field("exceptions", List(&Group("exception"), 0, Some(super::exceptions::MAX_SHAPES as u64)), "What is spared: each fixes which fields are compared, and how. Values stand here or in `overrides`."),
        field("group_by", List(&Word(GROUPINGS), 0, None), "For `custom` and `threshold`: what a key's events are grouped by. Needs `missing`."),
        field("missing", Word(MISSING), "What becomes of events without a field of `group_by`."),
        field("active", Group("active"), "The hours in which alerts open; always where it is absent."),
        field("for", HOLD, "How long signs must go on, each within the quiet time of the one before, until the alert opens.").or("0s"),
        field("keep_firing_for", HOLD, "How long an alert stays open, at least, after its last sign, or after its detector says that it is over.").or("0s"),
        field("params", Other("params"), "The detector's parameters."),
        field("runbook", STEPS, "What to do, in order: 1 to 5 steps of at most 300 characters. Required where no `defaults` has it."),
        field("owner", Text, "Who answers for the rule. For people; changes nothing."),
        field("references", List(&Text, 0, None), "For people; changes nothing."),
    ]),
    ("match", &[
        field("key_env", Word(ENVS), "Only keys of this environment."),
        field("merchants", List(&Value, 1, LISTED), "Only these merchants."),
        field("except_merchants", IDS, "Never these merchants."),
        field("except_keys", IDS, "Never these keys."),
    ]),
    ("override_match", &[
        field("except_merchants", IDS, "Nor these merchants."),
        field("except_keys", IDS, "Nor these keys."),
    ]),
    ("severity_when", &[
        field("condition", Text, "What must be true of the event, in CEL.").required().such_as("key.env == \"test\""),
        field("severity", Word(CHANGES), "What the severity becomes.").required(),
    ]),
    ("exception", &[
        field("name", NAME, "Once in the rule; `overrides` and metrics name it.").required().such_as("known-agency"),
        field("about", Text, "For people; changes nothing."),
        field("fields", List(&Other("condition_field"), 1, Some(super::exceptions::MAX_FIELDS as u64)), "What is compared. All of them must agree.").required(),
        field("operators", List(&Word(OPERATORS), 0, None), "How each field is compared, in the same order; `==` for all where it is absent."),
        field("values", List(&Group("entry"), 0, Some(super::exceptions::MAX_ENTRIES as u64)), "What is spared: any of these is enough."),
    ]),
    ("entry", &[
        field("of", OneOrMore(&OneOrMore(&Value)), "For each field its value, or a list of alternatives.").required(),
        field("reason", Text, "Why; at most 300 characters.").required(),
        field("owner", Text, "Who answers for it.").required(),
        field("expires", DATE, "The last day (UTC) on which it holds, or `never`.").required(),
    ]),
    ("active", &[
        field("zone", Other("zone"), "The clock: a name of the IANA database, such as `Europe/Zurich` or `UTC`.").required(),
        field("days", List(&DAY, 1, None), "Days, or spans of them such as `mon-fri`; every day where it is absent."),
        field("hours", List(&HOURS, 1, Some(super::active::MAX_SPANS as u64)), "Spans such as `08:00-18:00`, or `22:00-06:00` over midnight; the whole day where it is absent."),
    ]),
    ("override", &[
        field("rule", Text, "The name of the rule that is changed.").required(),
        field("reason", Text, "Why, for people."),
        field("severity", Word(SEVERITIES), "How much it matters."),
        field("audience", Word(AUDIENCES), "Who gets the mail."),
        field("status", Word(STATUSES), "Whether the rule speaks."),
        field("active", Group("active"), "The hours in which alerts open."),
        field("params", Other("any_params"), "Parameters of the rule's detector."),
        field("match", Group("override_match"), "Whom the rule leaves alone besides."),
        field("exceptions", Names(".", &List(&Group("entry"), 0, Some(super::exceptions::MAX_ENTRIES as u64))), "Values for exceptions that the rule has, under their names."),
    ]),
    ("list", &[
        field("type", Word(LIST_TYPES), "What its values are.").required(),
        field("about", Text, "For people; changes nothing."),
        field("values", List(&Value, 0, None), "Its values. Or they stand in a `file`."),
        field("file", Text, "A `.txt` file beside this one with one value a line, `#` for people.").such_as("office.txt"),
    ]),
    ("defaults", &[
        field("severity", Word(SEVERITIES), "How much what its rules find matters."),
        field("audience", Word(AUDIENCES), "Who gets the mail."),
        field("runbook", STEPS, "What to do, in order."),
        field("active", Group("active"), "The hours in which alerts open."),
        field("owner", Text, "Who answers for the rules."),
    ]),
];

/// A name has at most so many characters.
pub(super) const NAME_LENGTH: u64 = MAX_NAME as u64;
