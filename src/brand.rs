//! What the gateway calls itself. Caibo's words are the default; another gateway writes its own in `brand:`.

use crate::event::Env;
use crate::event::redact::Masker;

/// The gateway, in the words that its merchants know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Brand {
    /// The gateway's name.
    pub name: String,
    /// Where merchants ask for help.
    pub support: String,
    /// Where a merchant finds its keys, as one would say it.
    pub key_page: String,
    /// The one link in merchants' mails; none by default.
    pub link: Option<String>,
    /// What live keys begin with.
    pub live_keys: Vec<String>,
    /// What test keys begin with.
    pub test_keys: Vec<String>,
}

impl Default for Brand {
    fn default() -> Self {
        Brand {
            name: "Caibo".into(),
            support: "support@caibo.digital".into(),
            key_page: "Caibo Control Panel (Profile Settings, API Key)".into(),
            link: None,
            live_keys: vec!["caibo_live_sk_".into()],
            test_keys: vec!["caibo_test_sk_".into()],
        }
    }
}

/// What a text of a rule may name, between `{{` and `}}`, and what it stands for.
pub const WORDS: [(&str, &str); 3] = [
    ("gateway", "`brand.name`"),
    ("support", "`brand.support`, the address to write to"),
    ("key_page", "`brand.key_page`, where merchants find their keys"),
];

/// The first `{{…}}` of a text that stands for nothing, or is not closed.
pub fn unknown_word(text: &str) -> Option<&str> {
    let mut rest = text;
    while let Some(start) = rest.find("{{") {
        let Some(length) = rest[start..].find("}}") else { return Some(&rest[start..]) };
        let word = rest[start + 2..start + length].trim();
        if !WORDS.iter().any(|(name, _)| *name == word) {
            return Some(&rest[start..start + length + 2]);
        }
        rest = &rest[start + length + 2..];
    }
    None
}

impl Brand {
    /// A text with the brand's own words in the place of `{{gateway}}` and the others of [`WORDS`].
    pub fn fill(&self, text: &str) -> String {
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(start) = rest.find("{{")
            && let Some(length) = rest[start..].find("}}")
        {
            out.push_str(&rest[..start]);
            match rest[start + 2..start + length].trim() {
                "gateway" => out.push_str(&self.name),
                "support" => out.push_str(&self.support),
                "key_page" => out.push_str(&self.key_page),
                _ => out.push_str(&rest[start..start + length + 2]),
            }
            rest = &rest[start + length + 2..];
        }
        out + rest
    }

    /// Knows the gateway's keys when it sees them.
    pub fn masker(&self) -> Masker {
        let of = |texts: &[String], env: Env| texts.iter().map(|text| (text.clone(), Some(env))).collect::<Vec<_>>();
        Masker::for_keys([of(&self.live_keys, Env::Live), of(&self.test_keys, Env::Test)].concat())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_filled_in() {
        let brand = Brand { name: "Acme".into(), ..Brand::default() };
        assert_eq!(brand.fill("{{gateway}} and {{ support }}."), "Acme and support@caibo.digital.");
        assert_eq!(brand.fill("{{nothing}} {{gateway"), "{{nothing}} {{gateway");
        assert_eq!(unknown_word("{{gateway}} {{ key_page }}"), None);
        assert_eq!(unknown_word("a {{gatway}} b"), Some("{{gatway}}"));
        assert_eq!(unknown_word("a {{gateway"), Some("{{gateway"));
    }
}
