//! Writes `docs/reference/conditions.md` from the tables of the language.

use std::fmt::Write as _;

use keywatch::rules::expr::schema::{FIELDS, Read};
use keywatch::rules::expr::{BYTES_MAX, DEPTH_MAX, ENTRIES_MAX, FUNCTIONS, MACROS_DEPTH_MAX, NODES_MAX};

const MADE: &str =
    "<!-- Made by `KEYWATCH_WRITE=1 cargo test --test docs`: edit tests/docs/conditions.rs or the code. -->\n";

const HEAD: &str = r#"
A condition asks about one event and what is known around it. The language is a subset of
[CEL](https://cel.dev), the Common Expression Language: whoever knows it from Kubernetes or Envoy knows it here.
Conditions are checked when rules are read. A wrong name or type, a pattern that cannot be read, and what can never be
true is an error with its place.

```cel
event.outcome == "denied" && event.reason in ["revoked_key", "rotated_key"]

event.path.startsWith("/v1/refunds") && !(event.source_ip in lists.office)

key.env == "live" && features.is_new_network && !(event.user_agent in lists.our_programs)

at_night && features.calls_10m > 100 && features.calls_10m > features.usual_10m * 10.0

event.ts - key.last_accepted > duration("30d") && event.user_agent.lower().contains("curl")

has(event.origin) ? !event.origin.endsWith(".example.com") : event.count >= 500
```

## Absent fields

A field that is marked *may be absent* has no value where the event or the facts do not carry it. What is reckoned from no
value has none; neither has a comparison with it, nor that comparison's opposite:
`event.user_agent == "curl"` and `event.user_agent != "curl"` are both not true of an event without a user agent.
`&&` is false where one side is false, whatever the other is; `||` is true where one side is true. At the top, no value
counts as not true. To ask whether a field is there, write `has(event.user_agent)` or `event.user_agent != null`:

```cel
!has(event.user_agent) || event.user_agent.matches("(?i)bot")
```

## Operators

From the strongest: `!` and `-` before a value; `*` `/` `%`; `+` `-`; `==` `!=` `<` `<=` `>` `>=` `in`; `&&`; `||`; `?:`.
Texts are in double or single quotes; in `r"…"` a backslash is a backslash. `// …` is a comment.

- Whole numbers have 64 bits. A result beyond them, and a division by zero, has no value.
- Texts are compared by their characters' code points. Case matters.
- `timestamp - timestamp` is a duration; `timestamp ± duration` is a timestamp.
- `x in [a, b]` looks into a list that is written out, `x in merchant.tags` into a field, `x in lists.NAME` into a named
  list of the rules. An address is in a list of networks where one of them holds it.
- A macro is a name that the rules give to an expression; it stands for it as if in brackets.
"#;

const DIFFERENCES: &str = r#"
## Where this is not CEL

Left out: loops (`all`, `exists`, `exists_one`, `map`, `filter`), maps, messages, bytes, unsigned numbers, `dyn` and `type`,
conversions from and to texts, lists but for `in` and `size`, the order of `false` and `true`, joining texts that are not
written out. Each is refused by its name.

Different:

- What CEL calls an error is *no value* here. It spreads as CEL's errors do, and ends as not true instead of as an error.
- Reading an absent field is no value; in CEL it depends on the host.
- Times and durations have milliseconds; what is finer is cut off. A difference of two times may be as long as ten thousand
  years.
- `matches` needs a pattern that is written out.
- Of a field that is one of a few words, `==` with another word is refused.

More than CEL:

- A whole number may be compared and reckoned with one that has a fraction.
- `x == null` and `x != null` ask whether any optional field is there.
- An address compares with a written address, a network with a written network.
- `lower`, `inCidr`, named lists, and `d` and `w` in durations.
"#;

/// `docs/reference/conditions.md`
pub fn conditions() -> String {
    let mut page = format!("{MADE}# Conditions\n{HEAD}\n## Fields\n\n");
    page.push_str("| field | type | may be absent | meaning |\n| --- | --- | --- | --- |\n");
    for field in FIELDS {
        let words = match field.read {
            Read::Word(word) => {
                let words: Vec<String> = word.words().iter().map(|word| format!("`{word}`")).collect();
                format!(" One of {}.", words.join(", "))
            }
            _ => String::new(),
        };
        let absent = if field.optional { "yes" } else { "" };
        let _ = writeln!(page, "| `{}` | {} | {absent} | {}{words} |", field.name, field.ty().name(), field.doc);
    }
    page.push_str(
        "\n`event.country`, `event.asn` and `event.network_kind` are looked up in `geoip.databases`; without any file, or where the files do not \
         know the address, they are absent.\n",
    );
    page.push_str("\n## Functions\n\nA zone is a name (`\"Europe/Zurich\"`), an offset (`\"+02:00\"`) or a text field; without one it is UTC.\n\n");
    page.push_str("| function | takes and gives | meaning | example |\n| --- | --- | --- | --- |\n");
    for function in FUNCTIONS {
        let example = function.example.replace('|', "\\|");
        let _ = writeln!(page, "| `{}` | `{}` | {} | `{example}` |", function.name, function.usage, function.doc);
    }
    page.push_str(DIFFERENCES);
    let _ = write!(
        page,
        "\n## Bounds\n\nA condition has at most {BYTES_MAX} bytes and, its macros included, {NODES_MAX} parts; brackets nest at most \
         {DEPTH_MAX} deep, macros {MACROS_DEPTH_MAX}. A named list has at most {ENTRIES_MAX} entries. The time of one answer \
         grows with the condition's parts and the lengths of the event's texts, never faster.\n"
    );
    page
}
