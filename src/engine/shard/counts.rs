//! What a shard counts.

/// What a shard counted since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ShardCounts {
    /// Events judged.
    pub judged: u64,
    /// Events that a stored state had already seen.
    pub skipped: u64,
    /// Events without a merchant, counted by their source.
    pub no_merchant: u64,
    /// Cases that the bound on open cases turned away.
    pub cases_dropped: u64,
    /// Keys that the bound on a merchant's keys turned away.
    pub keys_dropped: u64,
    /// Networks that a full book forgot.
    pub networks_forgotten: u64,
    /// Source networks that the full table forgot.
    pub sources_forgotten: u64,
    /// Tallies that a key had no room for.
    pub tallies_forgotten: u64,
}

impl ShardCounts {
    /// Adds what another shard counted.
    pub fn add(&mut self, other: ShardCounts) {
        self.judged += other.judged;
        self.skipped += other.skipped;
        self.no_merchant += other.no_merchant;
        self.cases_dropped += other.cases_dropped;
        self.keys_dropped += other.keys_dropped;
        self.networks_forgotten += other.networks_forgotten;
        self.sources_forgotten += other.sources_forgotten;
        self.tallies_forgotten += other.tallies_forgotten;
    }
}
