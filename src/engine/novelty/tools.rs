//! Programs that are made to attack, to look for weaknesses, or to try out keys that were found: their user agents say so.
//!
//! No merchant's shop calls itself so. Whoever means harm and knows better changes the name, so its absence says nothing.

/// What a program is made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// To look for secrets in public places, and to try whether they still work.
    FindsKeys,
    /// To look for weaknesses, or to use them.
    Attacks,
}

/// Words of user agents as the programs send them unless they are told otherwise, in small letters. Words that
/// a shop's own program may contain are not among them.
const TOOLS: [(&str, Purpose); 23] = [
    ("trufflehog", Purpose::FindsKeys),
    ("acunetix", Purpose::Attacks),
    ("arachni", Purpose::Attacks),
    ("commix", Purpose::Attacks),
    ("dirbuster", Purpose::Attacks),
    ("feroxbuster", Purpose::Attacks),
    ("fuzz faster u fool", Purpose::Attacks),
    ("gobuster", Purpose::Attacks),
    ("(hydra)", Purpose::Attacks),
    ("jaeles", Purpose::Attacks),
    ("masscan", Purpose::Attacks),
    ("metasploit", Purpose::Attacks),
    ("nessus", Purpose::Attacks),
    ("nikto", Purpose::Attacks),
    ("nmap scripting engine", Purpose::Attacks),
    ("nuclei", Purpose::Attacks),
    ("openvas", Purpose::Attacks),
    ("projectdiscovery", Purpose::Attacks),
    ("sqlmap", Purpose::Attacks),
    ("w3af", Purpose::Attacks),
    ("wfuzz", Purpose::Attacks),
    ("zaproxy", Purpose::Attacks),
    ("zgrab", Purpose::Attacks),
];

/// Words that the user agents of programs begin with which shops are built on, in small letters: the gateway's own libraries, shop systems,
/// and the HTTP libraries of servers. Not what scripts call with unless they are told otherwise, such as `python-requests`.
const SHOPS: [&str; 32] = [
    "caibo",
    "apache-httpclient",
    "axios",
    "bigcommerce",
    "drupal",
    "dynamics",
    "faraday",
    "guzzle",
    "java",
    "magento",
    "medusa",
    "netsuite",
    "odoo",
    "okhttp",
    "opencart",
    "oxid",
    "prestashop",
    "reactornetty",
    "restsharp",
    "saleor",
    "salesforce",
    "sap",
    "shopify",
    "shopware",
    "spree",
    "spring",
    "sylius",
    "symfony",
    "typo3",
    "undici",
    "woocommerce",
    "wordpress",
];

/// Whether the program is one that shops are built on: beside the usual one, on the key's own networks, it is being rolled out.
pub fn is_of_shops(user_agent: &str) -> bool {
    let user_agent = user_agent.to_ascii_lowercase();
    SHOPS.into_iter().any(|word| user_agent.starts_with(word))
}

/// What the program of this user agent is made for, and the word that says so.
pub fn purpose_of(user_agent: &str) -> Option<(&'static str, Purpose)> {
    let user_agent = user_agent.to_ascii_lowercase();
    TOOLS.into_iter().find(|(word, _)| user_agent.contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_of_shops_are_none_of_them() {
        for (user_agent, want) in [
            ("TruffleHog", Some(Purpose::FindsKeys)),
            ("Mozilla/5.00 (Nikto/2.1.6) (Evasions:None)", Some(Purpose::Attacks)),
            ("sqlmap/1.7.2#stable (https://sqlmap.org)", Some(Purpose::Attacks)),
            ("Nuclei - Open-source project (github.com/projectdiscovery/nuclei)", Some(Purpose::Attacks)),
            ("Fuzz Faster U Fool v2.1.0", Some(Purpose::Attacks)),
            ("python-httpx/0.27", None),
            ("python-requests/2.31", None),
            ("nucleus-shop/1.2", None),
            ("Hydra-Commerce/4", None),
            ("curl/8.5", None),
            ("", None),
        ] {
            assert_eq!(purpose_of(user_agent).map(|(_, purpose)| purpose), want, "{user_agent}");
        }
    }

    #[test]
    fn words_are_in_small_letters() {
        assert!(TOOLS.iter().all(|(word, _)| *word == word.to_ascii_lowercase()));
    }

    #[test]
    fn what_shops_are_built_on_begins_with_its_name() {
        for (user_agent, want) in [
            ("CaiboPHP/3.1", true),
            ("caibo-node/5", true),
            ("Magento/2.4.7", true),
            ("Java-http-client/21", true),
            ("Apache-HttpClient/5.3 (Java/17)", true),
            ("WooCommerce", true),
            ("python-requests/2.31", false),
            ("Go-http-client/2.0", false),
            ("curl/8.5", false),
            ("PostmanRuntime/7.36", false),
            ("shop/3.1", false),
            ("Mozilla/5.0 (Java)", false),
            ("", false),
        ] {
            assert_eq!(is_of_shops(user_agent), want, "{user_agent}");
        }
    }
}
