//! How far the store's positions are behind the ends of the partitions.

use super::store::Looked;
use super::{Check, Finding, age, count};
use crate::source::kafka::inspect::Ends;
use crate::store::Position;
use crate::time::{MINUTE, Millis};

/// A topic that is read from stored positions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicEnds {
    /// Its name.
    pub name: String,
    /// Where its partitions begin and end.
    pub ends: Vec<Ends>,
}

/// Behind, and nothing stored for so long: nobody reads.
const IDLE: Millis = 10 * MINUTE;

/// A finding for each topic.
pub(super) fn examine(topics: &[TopicEnds], looked: &Looked, now: Millis) -> Vec<Finding> {
    if topics.is_empty() {
        return vec![Finding::skipped(Check::Lag, "lag", "no topic can be read", "mend `kafka` and `topic` first")];
    }
    let one = |topic: &TopicEnds| {
        let at = format!("lag of {}", topic.name);
        if looked.is_new {
            Finding::ok(Check::Lag, at, "never started: the first start reads from the oldest message")
        } else if !looked.is_readable {
            Finding::skipped(Check::Lag, at, "the store cannot be asked", "mend `store` and `schema` first")
        } else {
            judge(at, topic, &looked.positions, now)
        }
    };
    topics.iter().map(one).collect()
}

/// Compares the ends of one topic with what is stored of it.
pub fn judge(at: String, topic: &TopicEnds, positions: &[Position], now: Millis) -> Finding {
    let check = Check::Lag;
    let stored: Vec<&Position> = positions.iter().filter(|position| position.shard.topic == topic.name).collect();
    let next_of = |partition| stored.iter().find(|position| position.shard.partition == partition).and_then(|p| p.next);
    let (mut behind, mut lost, mut n_behind, mut n_beyond, mut n_new) = (0, 0, 0, 0, 0);
    for ends in &topic.ends {
        let Some(next) = next_of(ends.partition) else {
            n_new += 1;
            behind += ends.high - ends.low;
            continue;
        };
        n_beyond += usize::from(ends.high < next);
        lost += (ends.low - next).max(0);
        let left = (ends.high - next.max(ends.low)).max(0);
        n_behind += usize::from(0 < left);
        behind += left;
    }
    if n_new == topic.ends.len() {
        return Finding::ok(check, at, "never started: the first start reads from the oldest message");
    }
    let messages = |n: i64| count(usize::try_from(n).unwrap_or_default(), "message", "messages");
    let last = stored.iter().map(|position| position.stored_at).max().unwrap_or_default();
    let of = topic.ends.len();
    if 0 < n_beyond {
        let found = format!("{n_beyond} of {of} partitions end before the stored position: the topic was made anew");
        let hint = "the service notices, and reads it from its beginning; nothing is to be done if that was meant";
        return Finding::warn(check, at, found, hint);
    }
    if 0 < lost {
        let found = format!("{} were deleted before they were read; {} behind", messages(lost), messages(behind));
        let hint =
            "keep messages for longer (see `retention`) than keywatch can be down; the service goes on after the gap";
        return Finding::warn(check, at, found, hint);
    }
    let new =
        if n_new == 0 { String::new() } else { format!(", {} not begun", count(n_new, "partition", "partitions")) };
    if behind == 0 {
        return Finding::ok(check, at, format!("at the end of all {}", count(of, "partition", "partitions")));
    }
    let idle = age(now - last);
    let found = format!("{} behind, in {n_behind} of {of} partitions{new}; last stored {idle} ago", messages(behind));
    if IDLE < now - last {
        let hint = "is keywatch running (`http` below)? It stores every limits.checkpoint_every; its log says what it waits for";
        return Finding::warn(check, at, found, hint);
    }
    Finding::ok(check, at, found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Status;
    use crate::store::ShardId;

    #[test]
    fn positions_are_compared_with_the_ends() {
        let now = 1_000 * MINUTE;
        // Of each partition: low, high, and the stored position.
        let check = |partitions: &[(i64, i64, Option<i64>)], minutes_ago: i64, status, found: &str| {
            let ends = partitions.iter().enumerate();
            let ends = ends.map(|(i, (low, high, _))| Ends { partition: i as i32, low: *low, high: *high }).collect();
            let topic = TopicEnds { name: "auth-events".into(), ends };
            let position = |topic: &str, i: usize, next: &Option<i64>| Position {
                shard: ShardId { topic: topic.into(), partition: i as i32 },
                next: *next,
                stored_at: now - minutes_ago * MINUTE,
            };
            let mut positions: Vec<Position> =
                partitions.iter().enumerate().map(|(i, (.., next))| position("auth-events", i, next)).collect();
            positions.push(position("other", 0, &Some(77)));
            let finding = judge("lag".into(), &topic, &positions, now);
            assert_eq!((finding.status, finding.found.as_str()), (status, found), "{partitions:?}");
        };
        let never = "never started: the first start reads from the oldest message";
        check(&[(0, 9, None), (0, 0, None)], 0, Status::Ok, never);
        check(&[(0, 9, Some(9)), (4, 4, Some(4))], 99, Status::Ok, "at the end of all 2 partitions");
        let behind = "12 messages behind, in 1 of 3 partitions, 1 partition not begun; last stored 60 s ago";
        check(&[(0, 9, Some(9)), (0, 20, Some(10)), (3, 5, None)], 1, Status::Ok, behind);
        let idle = "1 message behind, in 1 of 1 partitions; last stored 11 min ago";
        check(&[(0, 9, Some(8))], 11, Status::Warn, idle);
        check(&[(7, 9, Some(2))], 0, Status::Warn, "5 messages were deleted before they were read; 2 messages behind");
        let anew = "1 of 1 partitions end before the stored position: the topic was made anew";
        check(&[(0, 9, Some(20))], 0, Status::Warn, anew);
    }
}
