//! What holds for every mail, and for the words of merchants' mails.

use keywatch::alerting::group::Decision;
use keywatch::notify::render::HTML_MAX;

/// What holds for every mail.
pub fn lawful(decision: &Decision) {
    let mail = &decision.plan.mail;
    assert!(mail.subject.chars().count() <= 60, "{}", mail.subject);
    assert!(!mail.subject.contains(['[', ']', '(', ')', '<', '>', '{', '}', '\r', '\n']), "{}", mail.subject);
    assert!(mail.html.len() <= HTML_MAX, "{} bytes", mail.html.len());
    assert!(!mail.to.is_empty());
    for taboo in ["<a ", "<img", "http", "url(", "<script", "javascript"] {
        assert!(!mail.html.to_lowercase().contains(taboo), "{taboo} in {}", mail.html);
    }
    for part in [&mail.text, &mail.html] {
        assert!(!part.chars().any(|c| (c.is_control() && c != '\n') || ('\u{202a}'..='\u{202e}').contains(&c)));
    }
    for needed in ["lang=\"en\"", "<title>", "role=\"presentation\"", "color-scheme"] {
        assert!(mail.html.contains(needed), "{needed}");
    }
    // Both parts say the same: every word of the text is in the HTML.
    let shown = tags_away(&mail.html).to_lowercase();
    for word in mail.text.to_lowercase().split_whitespace().filter(|word| word.chars().any(char::is_alphabetic)) {
        assert!(shown.contains(word.trim_matches(['>', ':'])), "`{word}` is only in the text");
    }
}

fn tags_away(html: &str) -> String {
    let mut out = String::new();
    let mut inside = false;
    for c in html.chars() {
        match c {
            '<' => inside = true,
            '>' => {
                inside = false;
                out.push(' ');
            }
            c if !inside => out.push(c),
            _ => {}
        }
    }
    out.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"").replace("&#39;", "'").replace("&amp;", "&")
}

/// Merchant's mails: no avoided word, no long sentence, the fact first.
pub fn plain_words(name: &str, decision: &Decision) {
    let text = &decision.plan.mail.text;
    let all = format!("{} {}", decision.plan.mail.subject, text.replace('\n', " ")).to_lowercase();
    let words: Vec<&str> = all.split(|c: char| !c.is_alphanumeric()).collect();
    for avoided in [
        "anomaly",
        "z-score",
        "baseline",
        "threshold",
        "incident",
        "ioc",
        "credential",
        "credentials",
        "rotate",
        "rotated",
        "rotation",
        "env",
        "asn",
        "cidr",
        "ua",
        "malicious",
        "hacker",
        "breach",
        "compromised",
        "suspicious",
        "critical",
        "urgent",
        "immediately",
        "dear customer",
        "verify your account",
        "click here",
        "please note",
        "simply",
        "score",
        "blocked",
    ] {
        let found = if avoided.contains([' ', '-']) { all.contains(avoided) } else { words.contains(&avoided) };
        let denied = avoided == "blocked" && all.contains("we blocked nothing");
        assert!(!found || denied, "{name}: `{avoided}`\n{text}");
    }
    // The reference is a hash, and may hold any digits.
    let said: Vec<&str> = text.split_whitespace().filter(|word| !word.contains("kw-")).collect();
    assert!(!said.iter().any(|word| word.contains("97")), "{name}: a score\n{text}");
    let lines: Vec<&str> = text.lines().collect();
    let is_rule = |line: Option<&&str>| line.is_some_and(|line| line.starts_with("---"));
    let headless: Vec<&str> =
        (0..lines.len()).filter(|i| !is_rule(lines.get(*i)) && !is_rule(lines.get(i + 1))).map(|i| lines[i]).collect();
    for paragraph in headless.join("\n").split("\n\n").flat_map(|p| p.split("\n- ")).flat_map(|p| p.split("\n> ")) {
        if paragraph.starts_with("- ")
            || paragraph.contains(": ") && !paragraph.contains(". ")
            || paragraph.starts_with("Its usual")
        {
            continue;
        }
        for sentence in
            paragraph.replace('\n', " ").split_inclusive(['.', '?', ';']).filter(|s| s.ends_with(['.', '?']))
        {
            assert!(sentence.split_whitespace().count() <= 20, "{name}: {sentence}");
        }
    }
}
