//! Decodes a few batches ahead of the judging, on a thread of its own.
//!
//! To decode needs nothing but the bytes, and takes a quarter of the time that a message costs; to judge needs the
//! state, which has one owner. Two threads do both side by side, and the order stays what it was.

use std::sync::Arc;

use self_cell::self_cell;
use tokio::sync::mpsc;

use crate::engine::intake::Admitted;
use crate::event::auth::Decoder;
use crate::event::{AuthEvent, Rejected};
use crate::geoip::memo::PlaceMemo;
use crate::source::{Batch, SourceEvent};

/// Decoded batches that may wait for the judging. More would only take memory: what waits longer waits undecoded.
const AHEAD: usize = 4;

/// What one decision of a message came to.
#[derive(Debug)]
pub(super) struct Decoded<'a> {
    pub(super) offset: i64,
    pub(super) event: Result<AuthEvent<'a>, Rejected>,
}

/// What the source says, its batches decoded.
pub(super) type Said = SourceEvent<DecodedBatch>;

/// What borrows from a batch: its decisions, and what was admitted of them.
#[derive(Debug, Default)]
pub(super) struct Work<'a> {
    pub(super) decoded: Vec<Decoded<'a>>,
    pub(super) admitted: Vec<Admitted<'a>>,
}

self_cell!(
    /// A batch with what was decoded from its bytes.
    pub(super) struct DecodedBatch {
        owner: Batch,
        #[covariant]
        dependent: Work,
    }

    impl {Debug}
);

impl DecodedBatch {
    fn of(batch: Batch, decoder: &Decoder, mut places: Option<&mut PlaceMemo>) -> DecodedBatch {
        DecodedBatch::new(batch, |batch| {
            let mut decoded = Vec::with_capacity(batch.messages.len());
            for message in &batch.messages {
                let offset = message.offset;
                decoder.decode_each(batch.payload(message), |mut event| {
                    if let (Some(places), Ok(event)) = (&mut places, &mut event) {
                        places.fill_in(event);
                    }
                    decoded.push(Decoded { offset, event });
                });
            }
            Work { decoded, admitted: Vec::new() }
        })
    }
}

/// Passes on what the source says, in order, and fills in where addresses are, if it is given `places`. Ends with the source, or when nobody listens any more.
pub(super) fn decode_ahead(
    mut source: mpsc::Receiver<SourceEvent>,
    decoder: Arc<Decoder>,
    mut places: Option<PlaceMemo>,
) -> std::io::Result<mpsc::Receiver<Said>> {
    let (to, said) = mpsc::channel(AHEAD);
    let run = move || {
        while let Some(event) = source.blocking_recv() {
            let event = event.map_batch(|batch| DecodedBatch::of(batch, &decoder, places.as_mut()));
            if to.blocking_send(event).is_err() {
                return;
            }
        }
    };
    std::thread::Builder::new().name("decode".into()).spawn(run)?;
    Ok(said)
}
