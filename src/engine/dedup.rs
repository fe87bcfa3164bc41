//! Duplicates: the last event IDs of a partition, remembered in a bounded ring.

use std::hint::black_box;

use hashbrown::HashTable;

use crate::engine::hash;

/// The last `cap` event IDs, as 64-bit hashes. Two different IDs meet with a chance of about `cap`/2⁶⁴.
#[derive(Debug)]
pub struct Dedup {
    ring: Vec<u64>,
    next: usize,
    known: HashTable<u64>,
    cap: usize,
}

impl Dedup {
    /// Remembers at most `cap` IDs.
    pub fn new(cap: usize) -> Self {
        Dedup { ring: Vec::new(), next: 0, known: HashTable::new(), cap: cap.max(1) }
    }

    /// Touches what noting these IDs will read. One after the other each would wait for memory twice; side by side they
    /// hardly wait. Nothing is noted.
    pub fn warm<'e>(&self, event_ids: impl Iterator<Item = &'e str>) {
        let mut found = 0;
        for (n, id) in event_ids.enumerate() {
            let hash = hash::of_text(id);
            found += u32::from(self.known.find(hash, |h| *h == hash).is_some());
            if let Some(&gone) = self.ring.get((self.next + n) % self.cap)
                && self.ring.len() == self.cap
            {
                found += u32::from(self.known.find(gone, |h| *h == gone).is_some());
            }
        }
        black_box(found);
    }

    /// Notes an ID. True where it had been seen.
    pub fn seen(&mut self, event_id: &str) -> bool {
        let hash = hash::of_text(event_id);
        if self.known.find(hash, |h| *h == hash).is_some() {
            return true;
        }
        if self.ring.len() < self.cap {
            self.ring.push(hash);
        } else {
            let gone = std::mem::replace(&mut self.ring[self.next], hash);
            if let Ok(entry) = self.known.find_entry(gone, |h| *h == gone) {
                entry.remove();
            }
            self.next = (self.next + 1) % self.cap;
        }
        self.known.insert_unique(hash, hash, |h| *h);
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_ids_are_known_and_older_ones_forgotten() {
        let mut dedup = Dedup::new(3);
        for id in ["a", "b", "c"] {
            assert!(!dedup.seen(id));
        }
        assert!(dedup.seen("a"));
        assert!(!dedup.seen("d"), "d pushes a out");
        assert!(!dedup.seen("a"));
        assert!(dedup.seen("c") && dedup.seen("d"));
    }
}
