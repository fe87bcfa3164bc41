//! Plays lines through a broker at the pace of their own times, and never faster than they are read.

use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use crate::metrics::Metrics;
use crate::source::kafka::testing::Producer;
use crate::time::Millis;
use crate::wall;

/// Messages that may wait unread. The mock broker keeps 5 MiB of a partition and drops the oldest without a word; this
/// many of the usual length in one partition are a quarter of that.
const UNREAD: u64 = 3_000;
/// And so many bytes of the last messages, for those that are long.
const UNREAD_BYTES: usize = 2 << 20;
/// Between two looks at the clock.
const STEP: Duration = Duration::from_millis(25);

/// One message to be played.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// When it arrives, in event time.
    pub at: Millis,
    /// Where it goes.
    pub partition: i32,
    /// The message's key: the merchant.
    pub key: Option<String>,
    /// The message.
    pub payload: Vec<u8>,
}

/// How the playing goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Played {
    /// Messages written.
    pub sent: u64,
    /// How far event time has come.
    pub at: Millis,
}

/// Sends `lines` to `topic`, `speed` times as fast as they came, telling `each` now and then how far it is. Ends early
/// when `stop` is cancelled.
pub async fn play(
    producer: &Producer,
    topic: &str,
    lines: &[Line],
    speed: f64,
    metrics: &Metrics,
    stop: &CancellationToken,
    mut each: impl FnMut(Played),
) -> Result<Played, String> {
    let Some(first) = lines.first() else { return Ok(Played::default()) };
    let begun: Instant = wall::instant();
    let mut played = Played { sent: 0, at: first.at };
    let (mut read, mut unread_bytes) = (0, 0);
    let before = metrics.messages_read.get();
    for line in lines {
        let due = begun + Duration::from_secs_f64((line.at - first.at).max(0) as f64 / 1_000.0 / speed);
        loop {
            let now_read = metrics.messages_read.get() - before;
            if now_read >= played.sent {
                unread_bytes = 0;
            }
            read = now_read.max(read);
            let has_room = played.sent - read.min(played.sent) < UNREAD && unread_bytes < UNREAD_BYTES;
            if wall::instant() >= due && has_room {
                break;
            }
            producer.flush()?;
            each(played);
            tokio::select! {
                () = tokio::time::sleep(STEP) => {}
                () = stop.cancelled() => return Ok(played),
            }
        }
        producer.send(topic, line.partition, line.key.as_deref().map(str::as_bytes), Some(&line.payload))?;
        unread_bytes += line.payload.len();
        played = Played { sent: played.sent + 1, at: played.at.max(line.at) };
    }
    producer.flush()?;
    each(played);
    Ok(played)
}
