//! The cookbook: the recipes' files, in the order of what people come for.

use std::fmt::Write as _;

use super::root;

const PARTS: [(&str, &[(&str, &str)]); 4] = [
    (
        "Fewer alerts",
        &[
            ("ignore-our-probe", "Ignore our monitoring probe"),
            ("merchant-moves-on-tuesday", "A merchant moves on Tuesday"),
            ("sale-on-friday", "A merchant has a sale on Friday"),
            ("agency-tests-with-live-keys", "An agency tests with both keys"),
            ("reserve-keys-may-rest", "A spare key may rest"),
            ("quieter-spikes-for-one-merchant", "Only big spikes of one merchant"),
            ("turn-a-rule-off", "Turn a shipped rule off"),
        ],
    ),
    (
        "Other people, other hours, other limits",
        &[
            ("support-looks-first", "Support looks first"),
            ("stale-after-a-month", "Keys are stale after a month"),
            ("important-merchants-first", "Important merchants first"),
            ("payouts-at-night", "Only at night"),
            ("try-a-rule-first", "Try a rule before anybody is told"),
        ],
    ),
    (
        "Misuse that matters to you",
        &[
            ("refunds-from-new-places", "Only tell me about refunds from new places abroad"),
            ("only-from-our-offices", "Keys that only the offices may use"),
            ("payout-with-a-young-key", "A payout with a key that is not a day old"),
            ("a-key-wakes-up", "A key wakes up after two months"),
            ("key-in-a-browser", "A secret key in a web page"),
            ("new-networks-by-list", "New networks by lists of good and bad ones"),
            ("calls-through-anonymisers", "Calls through providers that hide the caller"),
            ("many-refusals-from-one-address", "One address is refused again and again"),
        ],
    ),
    (
        "Trouble that is nobody's theft",
        &[
            ("suspended-but-accepted", "A suspended account is served"),
            ("server-errors", "Calls end in server errors"),
            ("slow-calls", "Calls are slow"),
        ],
    ),
];

const HEAD: &str = "\
<!-- Made by `KEYWATCH_WRITE=1 cargo test --test docs`: edit tests/docs/cookbook.rs or the recipes. -->
# Cookbook

Each recipe is a file in [docs/cookbook](cookbook), with its tests beside it: copy it into your rules folder, change the names,
and look at what it does with `keywatch rules test`. They are written to lie beside the shipped rules, which stay as
they are: an upgrade keeps what you changed. All are checked and run by `cargo test --test cookbook`.
The words are in the [reference](reference/rules.md), and what a condition may ask in
[conditions](reference/conditions.md).

";

pub fn page() -> String {
    let mut page = HEAD.to_owned();
    let mut listed = 0;
    for (part, recipes) in PARTS {
        let _ = writeln!(page, "## {part}\n");
        for (name, title) in recipes {
            listed += 1;
            let text = std::fs::read_to_string(root().join(format!("docs/cookbook/{name}.yml"))).unwrap();
            let says: Vec<&str> = text.lines().take_while(|line| line.starts_with('#')).collect();
            let rest: Vec<&str> = text.lines().skip(says.len()).collect();
            let says: Vec<&str> = says
                .iter()
                .map(|line| line.trim_start_matches('#').trim())
                .filter(|l| !l.starts_with("yaml-"))
                .collect();
            let _ = writeln!(page, "### {title}\n\n{}", says.join("\n"));
            let _ = writeln!(page, "\n```yaml\n{}\n```\n", rest.join("\n"));
            let _ = writeln!(page, "[The file](cookbook/{name}.yml), [its tests](cookbook/{name}.test.yml).\n");
        }
    }
    let there = std::fs::read_dir(root().join("docs/cookbook")).unwrap();
    let there = there.filter(|entry| entry.as_ref().unwrap().path().extension() == Some("yml".as_ref())).count();
    assert_eq!(2 * listed, there, "a recipe is not in the list");
    page.trim_end().to_owned() + "\n"
}
