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
}
