//! The list of checks: their order, their names, and what each looks at. The page of the documentation is made from it.

/// A check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "each is described by `looks_at`")]
pub enum Check {
    Config,
    Rules,
    Store,
    Schema,
    RulesInForce,
    Kafka,
    Topic,
    Group,
    Retention,
    Compaction,
    Messages,
    Fields,
    Keying,
    Times,
    Addresses,
    Secrets,
    Facts,
    Lag,
    Mail,
    Receivers,
    Geoip,
    Http,
    Clock,
}

impl Check {
    /// All, in the order in which they run.
    pub const ALL: [Check; 23] = [
        Check::Config,
        Check::Rules,
        Check::Store,
        Check::Schema,
        Check::RulesInForce,
        Check::Kafka,
        Check::Topic,
        Check::Group,
        Check::Retention,
        Check::Compaction,
        Check::Messages,
        Check::Fields,
        Check::Keying,
        Check::Times,
        Check::Addresses,
        Check::Secrets,
        Check::Facts,
        Check::Lag,
        Check::Mail,
        Check::Receivers,
        Check::Geoip,
        Check::Http,
        Check::Clock,
    ];

    /// Its name, in `-o json` and in the documentation.
    pub fn name(self) -> &'static str {
        self.describe().0
    }

    /// What it looks at.
    pub fn looks_at(self) -> &'static str {
        self.describe().1
    }

    /// When it warns, and when it fails.
    pub fn finds(self) -> &'static str {
        self.describe().2
    }

    fn describe(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Check::Config => (
                "config",
                "The configuration, as `keywatch config check` does.",
                "One that is not valid ends the command: every problem is printed, and nothing else is looked at.",
            ),
            Check::Rules => ("rules", "The rule files: how many, and their version.", "fail: they are not valid."),
            Check::Store => (
                "store",
                "The database: it answers; SQLite: the file may be written, room on the disk; PostgreSQL: version, TLS.",
                "fail: away, or not for our user. warn: less than 1 GiB left; a connection over the network without TLS. \
                 An SQLite file that is not there is fine: the first start makes it.",
            ),
            Check::Schema => (
                "schema",
                "The version of the tables against the program's.",
                "fail: the database is newer than the program, or migrations are pending that the start would not or \
                 could not apply.",
            ),
            Check::RulesInForce => (
                "rules-in-force",
                "The rules that the store names against those on disk.",
                "warn: they differ: a file edited is not a file in force.",
            ),
            Check::Kafka => (
                "kafka",
                "The brokers: reached, TLS, login.",
                "fail: the sentence that the service would log. What needs the brokers is then skipped.",
            ),
            Check::Topic => (
                "topic",
                "Each topic of `source.kafka.topics`: it exists, we may read it; partitions and messages.",
                "fail: it is missing or not for our user.",
            ),
            Check::Group => ("group", "The consumer group.", "fail: our user may not use it."),
            Check::Retention => (
                "retention",
                "How long `auth-events` keeps messages: its settings where we may ask (`DescribeConfigs`), and the oldest \
                 message that is left.",
                "warn: under 3 days. A first start learns from what is there, and what goes while keywatch is down is \
                 lost. Or: the topic is compacted, which throws events away.",
            ),
            Check::Compaction => (
                "compaction",
                "Whether `key-events` is compacted (`cleanup.policy`), where we may ask.",
                "warn: it is not, so facts go with their age.",
            ),
            Check::Messages => (
                "messages",
                "The newest messages of `auth-events`, decoded as the service would: how many are events.",
                "fail: none is. warn: some are not; for each reason one place and the beginning of one message, masked.",
            ),
            Check::Fields => (
                "fields",
                "Events without `event_id`, accepted ones without a key or a merchant.",
                "warn: from 1 in 100 on. Nothing is deduplicated without an ID; a call without a key is watched by nobody.",
            ),
            Check::Keying => (
                "keying",
                "The messages' keys: each is the event's `merchant_id`, and each merchant is in one partition.",
                "warn: otherwise. Parts of a merchant are then judged without each other.",
            ),
            Check::Times => (
                "times",
                "Event times: the newest, those ahead of the clock, the disorder against `limits.lateness`.",
                "warn: the newest is over a day old, some lie ahead, or some come later than the lateness.",
            ),
            Check::Addresses => (
                "addresses",
                "Source addresses, and `forwarded_for`.",
                "warn: there are none, most are private, or proxies tell whom they call for and `source.trusted_proxies` \
                 does not name them.",
            ),
            Check::Secrets => (
                "secrets",
                "Raw API keys in messages.",
                "warn: there are some. They are masked here, and lie readable in Kafka.",
            ),
            Check::Facts => (
                "facts",
                "The newest messages of `key-events`: they are facts, and their message keys keep them apart.",
                "fail: none is a fact. warn: some are not; or two subjects share a message key, so that compaction \
                 deletes one of them.",
            ),
            Check::Lag => (
                "lag",
                "Stored positions against the ends of the partitions.",
                "warn: messages went before they were read; the topic was made anew; or we are behind and nothing was \
                 stored for 10 minutes.",
            ),
            Check::Mail => (
                "mail",
                "SMTP: connect, TLS, login, and no mail. Files: the folder may be written.",
                "fail: what the server answered, and the field to change. warn: transport `none`; a password without TLS.",
            ),
            Check::Receivers => ("receivers", "`mail.support` and `mail.operations`.", "warn: one is empty."),
            Check::Geoip => (
                "geoip",
                "Each database: it opens, its type, its age.",
                "fail: it cannot be used. warn: older than 60 days, or without a field that is used.",
            ),
            Check::Http => (
                "http",
                "`http.listen`: it is free, or a keywatch answers there.",
                "fail: another program has it. warn: that keywatch is not ready, and why.",
            ),
            Check::Clock => (
                "clock",
                "The clock against the database's and the newest message's.",
                "warn: they are more than 10 s apart.",
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_whole_and_in_order() {
        assert!(Check::ALL.is_sorted());
        assert_eq!(Check::ALL.len(), Check::Clock as usize + 1);
        let mut names: Vec<&str> = Check::ALL.iter().map(|check| check.name()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Check::ALL.len());
    }
}
