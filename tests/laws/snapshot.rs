//! Law 13: the stored form is read back as it was, refused where it is newer, and never a panic.

use std::path::PathBuf;

use keywatch::engine::baseline::declines::Declines;
use keywatch::engine::baseline::rates::{
    Foresight, KeyClock, Lows, RECORDS, Rates, Records, Rises, Run, Runs, Silences, StillHours,
};
use keywatch::engine::baseline::refusals::{Request, Tried};
use keywatch::engine::baseline::tally::{PARTS, Tallies, Tally};
use keywatch::engine::detect::Watch;
use keywatch::engine::intake::Parked;
use keywatch::engine::snapshot::*;
use keywatch::engine::subject::{Key, Subject};
use proptest::prelude::*;

use crate::STAGE;
use crate::lab::{Lab, START, event};

fn subjects_after(events: usize) -> Vec<Subject> {
    let mut lab = Lab::new();
    for event in &STAGE.events[..events] {
        lab.push(event.clone(), STAGE.world());
    }
    let ids: std::collections::BTreeSet<&str> = STAGE.events.iter().filter_map(|e| e.merchant_id.as_deref()).collect();
    ids.into_iter().filter_map(|id| lab.shard.subject(id)).cloned().collect()
}

/// Without what is worked out anew: the limits of the window that is open, and which days have no row yet.
fn plain(mut subject: Subject) -> Subject {
    for key in &mut subject.keys {
        key.features.days.iter_mut().for_each(|day| day.is_unsaved = false);
        let (clock, silences) = (key.features.rates.clock(), key.features.rates.silences());
        let (clumps, foresight) = (key.features.rates.clumps(), key.features.rates.foresight());
        let (runs, records) = (key.features.rates.runs().clone(), key.features.rates.records());
        let (still, lows) = (key.features.rates.still_hours(), key.features.rates.lows());
        let rises = key.features.rates.rises();
        key.features.rates = Rates::from_parts(&key.features.rates.to_parts());
        key.features.rates.set_clock(clock);
        key.features.rates.set_silences(silences);
        key.features.rates.set_clumps(clumps);
        key.features.rates.set_foresight(foresight);
        key.features.rates.set_runs(runs);
        key.features.rates.set_records(records);
        key.features.rates.set_still_hours(still);
        key.features.rates.set_lows(lows);
        key.features.rates.set_rises(rises);
    }
    subject
}

fn state() -> ShardState {
    ShardState {
        now: Some(START),
        watch: Watch {
            since: Some(START),
            resumed_at: Some(START),
            in_gap: true,
            gap_from: None,
            seen_to: Some(START),
            steady_since: Some(START),
            lull: Some((START, START + 1)),
        },
        rules_version: "v".into(),
        parked: vec![Parked { event: event(START, "k", "2001:db8::1"), contradicted: true }],
        source_cases: Vec::new(),
        stream: stream(),
    }
}

/// Of a partition whose events clump.
fn stream() -> Rates {
    let mut stream = Rates::default();
    stream.set_clumps(CLUMPS);
    stream.set_foresight(foresight());
    stream.set_runs(Runs::new([RUN]));
    stream.set_records(records());
    stream.set_lows(LOWS);
    stream.set_rises(RISES);
    stream
}

/// What version 13 stored: nothing of rising days.
fn without_rises() -> ShardState {
    let mut state = state();
    state.stream.set_rises(Rises::default());
    state
}

/// What versions 11 and 12 stored: no least shares.
fn without_lows() -> ShardState {
    let mut state = without_rises();
    state.stream.set_lows(Lows::default());
    state
}

/// What version 10 stored: no records.
fn without_records() -> ShardState {
    let mut state = without_lows();
    state.stream.set_records(Records::default());
    state
}

/// What version 9 stored: no runs.
fn without_runs() -> ShardState {
    let mut state = without_records();
    state.stream.set_runs(Runs::default());
    state
}

/// What the versions before 9 stored, of a partition of which no hour was learned: five hours, and no days of the month.
fn of_five_hours() -> ShardState {
    let mut state = without_runs();
    state.stream.set_foresight(Foresight { hours: [0; 23], months: [0; 3], ..foresight() });
    state
}

/// Those before 8 knew nothing of sides.
fn without_below() -> ShardState {
    let (mut state, mut stream) = (of_five_hours(), Rates::default());
    stream.set_clumps(CLUMPS);
    state.stream.set_below(stream.foresight().below);
    state
}

/// Those before 7 nothing of what was expected.
fn without_foresight() -> ShardState {
    let (mut state, none) = (without_below(), Rates::default().foresight());
    let below = state.stream.foresight().below;
    state.stream.set_foresight(Foresight { below, ..none });
    state
}

/// Those before 6 no clumps.
fn without_clumps() -> ShardState {
    ShardState { stream: Rates::default(), ..state() }
}

/// The versions before 5 knew no short gaps either.
fn without_lull() -> ShardState {
    ShardState { watch: Watch { lull: None, ..state().watch }, ..without_clumps() }
}

const CLOCK: KeyClock = KeyClock { lag: -60, other: 60, lead: 1.5, hours: 7, stays: false };
const CLUMPS: [f32; 5] = [1.5, 2.5, 3.5, 4.5, 5.5];
const SO_FAR: [f32; 2] = [2.5, f32::NEG_INFINITY];
const SOME: [f32; 3] = [1.5, 2.5, 3.5];
const BELOW: f32 = 6.5;
/// The five hours that older versions stored, by their number modulo five.
const FIVE_HOURS: [u16; 5] = [16_256, 0, 16_384, 16_448, 1];
const RUN: Run = Run { ten: 33, days: 2, day: 20_000, calls: [17_000, 17_200] };
const LOWS: Lows = Lows { before: [62, 71], today: [255, 254], blind: 5, days: 12 };
const RISES: Rises = Rises([17_300, 17_200, 17_100]);
const TRIED: Tried = Tried { request: Request(0xdead_beef), other_at: 5_800_000 };
const SQUARE: f32 = 0.625;
const DECLINES: Declines = Declines { hour: 490_000, calls: [30, 20], declined: [0, 18] };
const STILL: StillHours = StillHours([0b1010_0101; 21]);
const SILENCES: Silences = Silences([0, 1, 2, 3, 4, 5, 6, 255]);

fn foresight() -> Foresight {
    let hours = std::array::from_fn(|place| 16_256 + place as u16);
    Foresight { hours, so_far: SO_FAR, some: SOME, below: BELOW, months: [0, 3, 255] }
}

fn records() -> Records {
    let before = std::array::from_fn(|place| 17_000 + place as u16);
    Records { before, today: [16_900; RECORDS], day: 490_000, since: 489_000 }
}

/// What a key of an older version goes on with: its five hours are among those that are kept now.
fn has_five_hours(rates: &Rates) -> bool {
    let Foresight { hours, so_far, some, .. } = rates.foresight();
    FIVE_HOURS.iter().all(|calls| hours.contains(calls)) && (so_far, some) == (SO_FAR, SOME)
}

/// A subject with every field filled.
fn rich() -> Subject {
    let all = subjects_after(STAGE.events.len());
    let mut subject = all
        .into_iter()
        .max_by_key(|s| (s.keys.iter().map(|k| k.cases.len() + k.fired.len()).sum::<usize>(), s.id.clone()))
        .unwrap();
    let key = subject.keys.iter_mut().find(|key| !key.cases.is_empty()).unwrap();
    key.cases[0].opens_at = Some(START);
    key.features.rates.set_clock(CLOCK);
    key.features.rates.set_silences(SILENCES);
    key.features.rates.set_clumps(CLUMPS);
    key.features.rates.set_foresight(foresight());
    key.features.rates.set_runs(Runs::new([RUN]));
    key.features.rates.set_records(records());
    key.features.rates.set_still_hours(STILL);
    key.features.rates.set_lows(LOWS);
    key.features.rates.set_rises(RISES);
    key.features.refusals.get_or_insert_default().set_tried(TRIED);
    key.features.refusals.get_or_insert_default().set_mean_square(SQUARE);
    key.features.declines = DECLINES;
    let mut counts = [0; PARTS];
    counts[3] = 2;
    let tally = Tally { of: 7, group: "path /v1/refunds".into(), newest: 3, last_at: START, counts };
    key.tallies = Some(Box::new(Tallies(vec![tally])));
    subject
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    #[test]
    fn what_is_written_is_read(share in 0.1..1.0f64) {
        for subject in subjects_after((share * STAGE.events.len() as f64) as usize) {
            let bytes = encode_subject(&subject);
            let read = decode_subject(&bytes, subject.current_to).unwrap();
            prop_assert_eq!(&encode_subject(&read), &bytes);
            prop_assert_eq!(read, plain(subject));
        }
    }
}

proptest! {
    #[test]
    fn no_bytes_are_a_panic(mut bytes in prop::collection::vec(any::<u8>(), 0..400), version in any::<bool>()) {
        if version && !bytes.is_empty() {
            bytes[0] = VERSION;
        }
        let _ = (decode_subject(&bytes, 0), decode_shard(&bytes));
    }

    #[test]
    fn no_damage_is_a_panic(at in any::<prop::sample::Index>(), with in any::<u8>(), cut in any::<prop::sample::Index>()) {
        let mut bytes = golden("subject.v1");
        let at = at.index(bytes.len());
        bytes[at] = with;
        let _ = decode_subject(&bytes, 0);
        bytes.truncate(cut.index(bytes.len()));
        let _ = decode_subject(&bytes, 0);
    }
}

fn golden(name: &str) -> Vec<u8> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("tests/data/snapshot/{name}.bin"));
    // Only for a new version, which gets files of its own: those of an older one are never written anew.
    if !path.exists() {
        let bytes = if name.starts_with("subject") { encode_subject(&rich()) } else { encode_shard(&state()) };
        std::fs::write(&path, bytes).unwrap();
    }
    std::fs::read(path).unwrap()
}

#[test]
fn version_1_is_read_for_ever() {
    let subject = decode_subject(&golden("subject.v1"), 42).unwrap();
    let key = subject.keys.iter().find(|key| !key.cases.is_empty()).unwrap();
    assert_eq!((subject.current_to, subject.foster), (42, false));
    assert!(subject.id.starts_with("m_") && !subject.merchant.networks.entries().is_empty());
    assert!(key.features.last_seen.is_some() && !key.features.days.is_empty());
    assert!(subject.keys.iter().any(|key| !key.fired.is_empty()));
    // Version 1 knew no gaps.
    let watch = Watch { since: Some(START), steady_since: Some(START), ..Watch::default() };
    assert_eq!(
        decode_shard(&golden("shard.v1")).unwrap(),
        ShardState { watch: Watch { seen_to: Some(START), ..watch }, ..without_clumps() }
    );
}

#[test]
fn version_2_is_read_for_ever() {
    assert!(decode_subject(&golden("subject.v2"), 42).is_ok());
    assert_eq!(decode_shard(&golden("shard.v2")).unwrap(), without_lull());
}

#[test]
fn version_3_is_read_for_ever() {
    let subject = decode_subject(&golden("subject.v3"), 42).unwrap();
    let waits = |key: &Key| key.cases.iter().any(|case| case.opens_at == Some(START));
    assert!(subject.keys.iter().any(waits), "a case that waits to open");
    let tallies = subject.keys.iter().find_map(|key| key.tallies.clone()).unwrap();
    assert_eq!((tallies.0[0].of, &*tallies.0[0].group, tallies.0[0].counts[3]), (7, "path /v1/refunds", 2));
}

#[test]
fn an_older_profile_is_both_of_working_days_and_of_weekends() {
    let subject = decode_subject(&golden("subject.v3"), 42).unwrap();
    let learned = subject.keys.iter().find(|key| key.features.rates.days_learned() > 0).unwrap();
    assert!(learned.features.rates.usual_day() > 0.0, "what was usual is not forgotten");
}

#[test]
fn version_4_is_read_for_ever() {
    let subject = decode_subject(&golden("subject.v4"), 42).unwrap();
    let waits = |key: &Key| key.cases.iter().any(|case| case.opens_at == Some(START));
    assert!(subject.keys.iter().any(waits), "a case that waits to open");
    assert!(subject.keys.iter().any(|key| key.features.rates.days_learned() > 0));
    assert_eq!(decode_shard(&golden("shard.v4")).unwrap(), without_lull());
}

#[test]
fn version_5_is_read_for_ever() {
    let subject = decode_subject(&golden("subject.v5"), 42).unwrap();
    let rates = || subject.keys.iter().map(|key| &key.features.rates);
    assert!(rates().any(|rates| rates.clock() == CLOCK && rates.silences() == SILENCES));
    assert_eq!(decode_shard(&golden("shard.v5")).unwrap(), without_clumps());
}

#[test]
fn version_6_is_read_for_ever() {
    let subject = decode_subject(&golden("subject.v6"), 42).unwrap();
    let rates = || subject.keys.iter().map(|key| &key.features.rates);
    assert!(rates().any(|rates| rates.clock() == CLOCK && rates.clumps() == CLUMPS));
    assert_eq!(decode_shard(&golden("shard.v6")).unwrap(), without_foresight());
}

#[test]
fn version_7_is_read_for_ever() {
    let subject = decode_subject(&golden("subject.v7"), 42).unwrap();
    let rates = || subject.keys.iter().map(|key| &key.features.rates);
    assert!(rates().any(|rates| rates.clumps() == CLUMPS && has_five_hours(rates)));
    assert_eq!(decode_shard(&golden("shard.v7")).unwrap(), without_below());
}

#[test]
fn version_8_is_read_for_ever() {
    let subject = decode_subject(&golden("subject.v8"), 42).unwrap();
    let rates = || subject.keys.iter().map(|key| &key.features.rates);
    assert!(rates().any(|rates| has_five_hours(rates) && rates.foresight().below.to_bits() == BELOW.to_bits()));
    assert_eq!(decode_shard(&golden("shard.v8")).unwrap(), of_five_hours());
}

#[test]
fn version_9_is_read_for_ever() {
    let subject = decode_subject(&golden("subject.v9"), 42).unwrap();
    assert!(subject.keys.iter().any(|key| key.features.rates.foresight() == foresight()));
    assert_eq!(decode_shard(&golden("shard.v9")).unwrap(), without_runs());
}

#[test]
fn version_10_is_read_for_ever() {
    let subject = decode_subject(&golden("subject.v10"), 42).unwrap();
    assert!(subject.keys.iter().any(|key| key.features.rates.runs().iter().eq([RUN])));
    assert_eq!(decode_shard(&golden("shard.v10")).unwrap(), without_records());
}

#[test]
fn version_11_is_read_for_ever() {
    let subject = decode_subject(&golden("subject.v11"), 42).unwrap();
    assert!(subject.keys.iter().any(|key| key.features.rates.records() == records()));
    assert_eq!(decode_shard(&golden("shard.v11")).unwrap(), without_lows());
}

#[test]
fn version_12_is_read_for_ever() {
    let subject = decode_subject(&golden("subject.v12"), 42).unwrap();
    assert!(subject.keys.iter().any(|key| key.features.rates.still_hours() == STILL));
    assert_eq!(decode_shard(&golden("shard.v12")).unwrap(), without_lows());
}

#[test]
fn version_13_is_read_for_ever() {
    let subject = decode_subject(&golden("subject.v13"), 42).unwrap();
    let tried = |key: &Key| key.features.refusals.as_ref().map(|refusals| refusals.tried());
    assert!(subject.keys.iter().any(|key| key.features.rates.lows() == LOWS && tried(key) == Some(TRIED)));
    assert_eq!(decode_shard(&golden("shard.v13")).unwrap(), without_rises());
}

#[test]
fn version_14_is_read_for_ever() {
    let subject = decode_subject(&golden("subject.v14"), 42).unwrap();
    assert!(subject.keys.iter().any(|key| key.features.rates.rises() == RISES));
    assert_eq!(decode_shard(&golden("shard.v14")).unwrap(), state());
}

#[test]
fn version_15_is_read_for_ever() {
    let subject = decode_subject(&golden("subject.v15"), 42).unwrap();
    let square = |key: &Key| key.features.refusals.as_ref().map(|refusals| refusals.mean_square());
    assert!(subject.keys.iter().any(|key| key.features.declines == DECLINES && square(key) == Some(SQUARE)));
    assert_eq!(decode_shard(&golden("shard.v15")).unwrap(), state());
}

#[test]
fn a_newer_version_is_refused_as_such_and_others_as_damage() {
    for (first, want) in [(VERSION + 1, true), (255, true), (0, false)] {
        let mut bytes = golden("subject.v1");
        bytes[0] = first;
        let error = decode_subject(&bytes, 0).unwrap_err();
        assert_eq!(error == SnapshotError::Newer(first), want, "{error}");
        assert_eq!(decode_shard(&bytes).unwrap_err() == SnapshotError::Newer(first), want);
    }
    assert!(matches!(decode_subject(&[], 0), Err(SnapshotError::Damaged(_))));
}
