//! Merchants and their keys: who they are, how they call, from where, with what.

use chrono::{DateTime, Offset, TimeZone, Utc};
use chrono_tz::Tz;

use crate::simulate::network::{Place, Trade, providers};
use crate::simulate::random::Random;
use crate::time::{DAY, HOUR, MINUTE, Millis};

/// How a key's calls lie in the day, the week and the month.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// An online shop: by day and evening, a little more at weekends, paydays felt.
    Shop,
    /// A back office: working hours of working days.
    Office,
    /// A nightly job: a day's work in ten minutes.
    Batch,
    /// A few calls a day.
    Low,
    /// A large shop.
    High,
    /// Functions of a cloud: many addresses in a few networks.
    Serverless,
    /// A merchant's own machines on mobile lines: many networks of few carriers.
    Mobile,
    /// Two data centres, day and night.
    TwoCentres,
    /// Subscriptions: renewals at night, and most of them at the month's beginning.
    Subscriptions,
    /// Tests of a build machine, in bursts, with a test key.
    Builds,
    /// A report once a week.
    Weekly,
    /// Many shops behind one key: two peaks a day, strong weekends, stronger still when a month begins.
    Marketplace,
    /// Tills of a shop, in its opening hours, on a line whose address changes.
    Kiosk,
    /// A program that asks every few minutes, day and night, and keeps to it.
    Poller,
    /// A job at the same minute of every hour.
    Sync,
    /// A nightly job whose hour is changed now and then.
    Nightly,
    /// Wages: a thousand calls in the middle and at the end of a month, a few between.
    Payroll,
}

/// The clock that a key's day follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clock {
    /// Its merchant's, with its changes.
    Local,
    /// UTC all year, as servers have it.
    Utc,
}

impl Shape {
    /// Every shape with its share of the keys, in hundredths.
    pub const SHARES: [(Shape, u64); 10] = [
        (Shape::Shop, 30),
        (Shape::Office, 14),
        (Shape::Batch, 8),
        (Shape::Low, 16),
        (Shape::High, 5),
        (Shape::Serverless, 8),
        (Shape::Mobile, 5),
        (Shape::TwoCentres, 6),
        (Shape::Subscriptions, 5),
        (Shape::Weekly, 3),
    ];
    /// The same of the harder family.
    pub const HARD_SHARES: [(Shape, u64); 12] = [
        (Shape::Shop, 18),
        (Shape::Marketplace, 12),
        (Shape::Nightly, 10),
        (Shape::Low, 10),
        (Shape::Office, 8),
        (Shape::Kiosk, 8),
        (Shape::Poller, 8),
        (Shape::Sync, 8),
        (Shape::Serverless, 6),
        (Shape::Payroll, 5),
        (Shape::Mobile, 4),
        (Shape::Weekly, 3),
    ];
    /// Every shape, with the word for it.
    pub const ALL: [(Shape, &'static str); 17] = [
        (Shape::Shop, "shop"),
        (Shape::Office, "office"),
        (Shape::Batch, "batch"),
        (Shape::Low, "low"),
        (Shape::High, "high"),
        (Shape::Serverless, "serverless"),
        (Shape::Mobile, "mobile"),
        (Shape::TwoCentres, "two-centres"),
        (Shape::Subscriptions, "subscriptions"),
        (Shape::Builds, "builds"),
        (Shape::Weekly, "weekly"),
        (Shape::Marketplace, "marketplace"),
        (Shape::Kiosk, "kiosk"),
        (Shape::Poller, "poller"),
        (Shape::Sync, "sync"),
        (Shape::Nightly, "nightly"),
        (Shape::Payroll, "payroll"),
    ];

    /// The word for it.
    pub fn as_str(self) -> &'static str {
        Shape::ALL.into_iter().find(|(shape, _)| *shape == self).map_or("", |(_, word)| word)
    }

    fn draw(random: &mut Random, shares: &[(Shape, u64)]) -> Shape {
        let mut left = random.below(100);
        for (shape, share) in shares.iter().copied() {
            if left < share {
                return shape;
            }
            left -= share;
        }
        Shape::Shop
    }

    /// Calls in an ordinary day: median, and how far keys of the shape differ (sigma of the logarithm).
    fn level(self) -> (f64, f64) {
        match self {
            Shape::Shop => (180.0, 0.8),
            Shape::Office => (90.0, 0.7),
            Shape::Batch => (200.0, 0.7),
            Shape::Low => (5.0, 0.6),
            Shape::High => (1_500.0, 0.5),
            Shape::Serverless => (300.0, 0.7),
            Shape::Mobile => (120.0, 0.6),
            Shape::TwoCentres => (350.0, 0.6),
            Shape::Subscriptions => (60.0, 0.6),
            Shape::Builds => (60.0, 0.7),
            Shape::Weekly => (40.0, 0.5),
            Shape::Marketplace => (500.0, 0.7),
            Shape::Kiosk => (110.0, 0.6),
            Shape::Poller => (400.0, 0.5),
            Shape::Sync => (240.0, 0.7),
            Shape::Nightly => (250.0, 0.7),
            Shape::Payroll => (12.0, 0.5),
        }
    }

    /// The share of a day's calls that falls into a local hour (0 to 23) of a weekday (0 = Monday), around 1/24.
    fn share(self, hour: usize, weekday: usize) -> f64 {
        const SHOP: [f64; 24] = [
            1.4, 0.8, 0.5, 0.3, 0.3, 0.5, 1.2, 2.4, 3.6, 4.8, 5.6, 6.0, 6.2, 6.0, 5.6, 5.6, 6.0, 6.6, 7.2, 7.8, 7.6,
            6.4, 4.6, 2.6,
        ];
        const OFFICE: [f64; 24] = [
            0.1, 0.1, 0.1, 0.1, 0.1, 0.2, 0.8, 4.0, 10.0, 12.0, 12.5, 11.5, 6.5, 9.5, 11.0, 10.5, 8.0, 3.0, 0.8, 0.4,
            0.2, 0.1, 0.1, 0.1,
        ];
        const MARKET: [f64; 24] = [
            2.0, 1.0, 0.6, 0.4, 0.4, 0.8, 2.0, 4.0, 5.5, 6.0, 5.5, 6.5, 8.5, 7.5, 5.0, 4.5, 4.5, 5.0, 6.0, 8.0, 9.5,
            8.5, 5.5, 3.5,
        ];
        const OPEN: [f64; 24] = [
            0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.1, 1.5, 7.0, 9.0, 10.0, 11.0, 9.0, 8.0, 8.5, 10.0, 12.0, 9.0, 4.5,
            0.4, 0.0, 0.0, 0.0,
        ];
        let is_weekend = weekday >= 5;
        let parts = |table: &[f64; 24]| table[hour] / table.iter().sum::<f64>();
        match self {
            Shape::Shop | Shape::High | Shape::Low => parts(&SHOP) * if is_weekend { 1.2 } else { 0.95 },
            Shape::Office => parts(&OFFICE) * if is_weekend { 0.06 } else { 1.35 },
            Shape::Mobile => parts(&SHOP) * if is_weekend { 1.3 } else { 0.9 },
            Shape::Serverless => (parts(&SHOP) + 1.0 / 24.0) / 2.0,
            Shape::TwoCentres => (parts(&SHOP) + 3.0 / 24.0) / 4.0,
            Shape::Subscriptions => {
                if (2..5).contains(&hour) {
                    0.25
                } else {
                    0.012
                }
            }
            Shape::Marketplace => parts(&MARKET) * if is_weekend { 1.5 } else { 0.8 },
            // Closed on Sundays.
            Shape::Kiosk => parts(&OPEN) * [1.0, 1.0, 1.0, 1.05, 1.25, 1.6, 0.0][weekday],
            Shape::Poller => 1.0 / 24.0,
            Shape::Payroll => parts(&OFFICE) * if is_weekend { 0.0 } else { 1.0 },
            Shape::Batch | Shape::Builds | Shape::Weekly | Shape::Sync | Shape::Nightly => 0.0,
        }
    }
}

/// A merchant.
#[derive(Clone, Debug)]
pub struct Merchant {
    /// `m_…`.
    pub id: String,
    /// What people call it.
    pub name: String,
    /// IANA name of its zone.
    pub zone: Tz,
    /// Where mails go.
    pub contact: String,
}

/// Networks, each with the last byte of the one address that calls, or none where any may.
pub type Places = Vec<(Place, Option<u64>)>;

/// A key, and how it is used.
#[derive(Clone, Debug)]
pub struct Key {
    /// Place among the merchants.
    pub merchant: u32,
    /// `key_…`.
    pub id: String,
    /// The masked form.
    pub hint: String,
    /// Live or test.
    pub is_live: bool,
    /// How its calls lie in time.
    pub shape: Shape,
    /// Calls in an ordinary day.
    pub level: f64,
    /// Shape of the gamma around an hour's mean: less is more scattered.
    pub scatter: f64,
    /// Networks it calls from, with the last byte of the address, or none where any address may call.
    pub places: Places,
    /// Place among the programs.
    pub agent: u16,
    /// How many of the endpoints it calls, from the first.
    pub endpoints: u8,
    /// When it was made.
    pub created_at: Millis,
    /// It calls from here on.
    pub from: Millis,
    /// And until here.
    pub to: Millis,
    /// Times without calls.
    pub silent: Vec<(Millis, Millis)>,
    /// Times in which calls are refused, why, and for which share of them.
    pub refused: Vec<(Millis, Millis, u8, f64)>,
    /// Times with more calls: factor.
    pub more: Vec<(Millis, Millis, f64)>,
    /// Growth in a day.
    pub growth: f64,
    /// A move: from when on, and where to.
    pub moves: Option<(Millis, Places)>,
    /// Releases: from when on another version of the program calls.
    pub releases: Vec<Millis>,
    /// The minute of the day of a job.
    pub job_at: Millis,
    /// From when on the job has another minute.
    pub job_moves: Vec<(Millis, Millis)>,
    /// What its hours follow.
    pub clock: Clock,
    /// Whether months begin and end for it.
    pub has_months: bool,
}

/// Refusals, by the number that [`Key::refused`] and events carry.
pub const REASONS: [&str; 11] = [
    "",
    "malformed_key",
    "malformed_header",
    "missing_key",
    "unknown_key",
    "revoked_key",
    "rotated_key",
    "expired_key",
    "env_mismatch",
    "account_suspended",
    "rate_limited",
];

const ZONES: [(&str, Tz); 6] = [
    ("DE", Tz::Europe__Berlin),
    ("NL", Tz::Europe__Amsterdam),
    ("FR", Tz::Europe__Paris),
    ("GB", Tz::Europe__London),
    ("PL", Tz::Europe__Warsaw),
    ("US", Tz::America__New_York),
];
const NAMES: [&str; 16] = [
    "Blue Door Books",
    "Kestrel Bikes",
    "Maple Street Coffee",
    "Nordlicht Optik",
    "Papeterie du Port",
    "Old Mill Tea",
    "Tulip Garden",
    "Harbour Records",
    "Sunday Shoes",
    "Linden Apotheke",
    "Atlas Maps",
    "Green Lamp",
    "Copper Kettle",
    "Winter Sports Depot",
    "Velo Atelier",
    "Lighthouse Toys",
];

/// Makes merchants until they have so many keys.
pub fn make(seed: u64, keys_wanted: usize, starts_at: Millis, ends_at: Millis) -> (Vec<Merchant>, Vec<Key>) {
    let mut random = Random::new(seed, 1);
    let (mut merchants, mut keys) = (Vec::new(), Vec::new());
    while keys.len() < keys_wanted {
        let m = merchants.len() as u32;
        let country = merchant(&mut random, &mut merchants);
        let main = Shape::draw(&mut random, &Shape::SHARES);
        keys.push(key(&mut random, m, country, main, starts_at, ends_at, keys.len()));
        if random.chance(0.4) && keys.len() < keys_wanted {
            keys.push(key(&mut random, m, country, Shape::Builds, starts_at, ends_at, keys.len()));
        }
        if random.chance(0.15) && keys.len() < keys_wanted {
            let second = *random.pick(&[Shape::Low, Shape::Batch, Shape::Office, Shape::Weekly]);
            keys.push(key(&mut random, m, country, second, starts_at, ends_at, keys.len()));
        }
    }
    (merchants, keys)
}

/// The same, each of a shape that is drawn, and now and then with a second key for tests.
pub fn make_of(
    seed: u64,
    keys_wanted: usize,
    span: (Millis, Millis),
    shares: &[(Shape, u64)],
    tests: f64,
) -> (Vec<Merchant>, Vec<Key>) {
    let mut random = Random::new(seed, 11);
    let (mut merchants, mut keys) = (Vec::new(), Vec::new());
    while keys.len() < keys_wanted {
        let m = merchants.len() as u32;
        let country = merchant(&mut random, &mut merchants);
        let shape = Shape::draw(&mut random, shares);
        keys.push(key(&mut random, m, country, shape, span.0, span.1, keys.len()));
        if random.chance(tests) && keys.len() < keys_wanted {
            keys.push(key(&mut random, m, country, Shape::Builds, span.0, span.1, keys.len()));
        }
    }
    (merchants, keys)
}

/// One more merchant; its country.
fn merchant(random: &mut Random, merchants: &mut Vec<Merchant>) -> &'static str {
    let m = merchants.len();
    // More in Europe than elsewhere, as the gateway's customers are.
    let (country, zone) = *random.pick(&ZONES);
    merchants.push(Merchant {
        id: format!("m_{:04}", 1000 + m),
        name: format!("{}{}", NAMES[m % NAMES.len()], suffix(m / NAMES.len())),
        contact: format!("it@m-{:04}.example", 1000 + m),
        zone,
    });
    country
}

fn suffix(n: usize) -> String {
    if n == 0 { String::new() } else { format!(" {}", n + 1) }
}

fn key(
    random: &mut Random,
    merchant: u32,
    country: &'static str,
    shape: Shape,
    starts_at: Millis,
    ends_at: Millis,
    n: usize,
) -> Key {
    let is_live = shape != Shape::Builds;
    let (median, sigma) = shape.level();
    let level = median * (sigma * random.normal()).exp();
    let env = if is_live { "live" } else { "test" };
    let created_at = starts_at - random.between(20, 300) * DAY - random.between(0, DAY);
    let mut key = Key {
        merchant,
        id: format!("key_{:08x}", (random.bits() as u32) ^ n as u32),
        hint: format!("caibo_{env}_sk_…{:04x}", random.below(65_536)),
        is_live,
        shape,
        level: level.clamp(1.0, 20_000.0),
        scatter: 4.0 + 16.0 * random.unit(),
        places: Vec::new(),
        agent: random.below(64) as u16,
        endpoints: 2 + random.below(3) as u8,
        created_at,
        from: created_at.max(starts_at - DAY),
        to: Millis::MAX,
        silent: Vec::new(),
        refused: Vec::new(),
        more: Vec::new(),
        growth: if random.chance(0.06) { 0.01 } else { 0.0 },
        moves: None,
        releases: Vec::new(),
        job_at: random.between(0, 6 * 60) * MINUTE,
        job_moves: Vec::new(),
        clock: Clock::Local,
        has_months: true,
    };
    key.places = places(random, shape, country);
    let days = ((ends_at - starts_at) / DAY).max(1);
    // A release about every five weeks, a move of the servers about every two years.
    for day in 0..days {
        if random.chance(1.0 / 35.0) {
            key.releases.push(starts_at + day * DAY + random.between(8, 17) * HOUR);
        }
    }
    if matches!(shape, Shape::Shop | Shape::Office | Shape::TwoCentres) && random.chance(days as f64 / 730.0) {
        let at = starts_at + random.between(0, days) * DAY + random.between(8, 20) * HOUR;
        key.moves = Some((at, places(random, shape, country)));
    }
    key
}

/// Where a key of a shape calls from.
pub fn places(random: &mut Random, shape: Shape, country: &str) -> Places {
    let among = |random: &mut Random, trade| {
        let near = providers(trade, Some(country));
        let all = providers(trade, None);
        let from = if near.is_empty() || random.chance(0.2) { all } else { near };
        *random.pick(&from)
    };
    let hosting = among(random, Trade::Hosting);
    match shape {
        Shape::Serverless => (0..5).map(|_| (Place::of(hosting, random), None)).collect(),
        Shape::Mobile => {
            let carrier = among(random, Trade::Mobile);
            (0..24).map(|_| (Place::of(carrier, random), None)).collect()
        }
        Shape::Kiosk => {
            let line = among(random, Trade::Access);
            (0..4).map(|_| (Place::of(line, random), None)).collect()
        }
        Shape::TwoCentres => {
            let other = among(random, Trade::Hosting);
            let at = |random: &mut Random, provider| (Place::of(provider, random), Some(random.below(254)));
            vec![at(random, hosting), at(random, other)]
        }
        Shape::Office => {
            let line = among(random, Trade::Access);
            vec![(Place::of(line, random), Some(random.below(254)))]
        }
        _ => {
            let v6 = random.chance(0.1);
            vec![(Place { v6, ..Place::of(hosting, random) }, Some(random.below(254)))]
        }
    }
}

impl Merchant {
    /// What its clocks show more than UTC at this time.
    pub fn offset(&self, at: Millis) -> Millis {
        let utc: DateTime<Utc> = DateTime::from_timestamp_millis(at).unwrap_or_default();
        i64::from(self.zone.offset_from_utc_datetime(&utc.naive_utc()).fix().local_minus_utc()) * 1_000
    }
}

impl Key {
    /// Calls that are to be expected in the hour that begins at `at` (UTC), on clocks that show `offset` more.
    pub fn expected(&self, at: Millis, offset: Millis, starts_at: Millis) -> f64 {
        let local = at + offset;
        let (day, hour) = (local.div_euclid(DAY), (local.rem_euclid(DAY) / HOUR) as usize);
        let weekday = (day + 3).rem_euclid(7) as usize;
        let of_month = day_of_month(local);
        let mut level = self.level * (1.0 + self.growth * ((at - starts_at) as f64 / DAY as f64).max(0.0));
        match self.shape {
            _ if !self.has_months => {}
            Shape::Subscriptions if of_month <= 3 => level *= 12.0,
            Shape::Marketplace if of_month <= 2 => level *= 2.2,
            Shape::Shop | Shape::High if of_month >= 28 || of_month <= 2 => level *= 1.15,
            _ => {}
        }
        for (from, to, factor) in &self.more {
            if *from <= at && at < *to {
                level *= factor;
            }
        }
        level * self.shape.share(hour, weekday)
    }

    /// The job that begins in the hour at `at`: when, how long it takes, and how many calls it makes.
    pub fn job(&self, at: Millis, offset: Millis) -> Option<(Millis, Millis, f64)> {
        let local = at + offset;
        let (day, hour) = (local.div_euclid(DAY), local.rem_euclid(DAY));
        let weekday = (day + 3).rem_euclid(7);
        let moved = self.job_moves.iter().rev().find(|(from, _)| *from <= at);
        let job_at = moved.map_or(self.job_at, |(_, job_at)| *job_at);
        let begins = local - hour + job_at - offset;
        let is_now = (at..at + HOUR).contains(&begins);
        match self.shape {
            // Every hour, at the minute that the job has.
            Shape::Sync => Some((at + job_at % HOUR, 2 * MINUTE, self.level / 24.0)),
            Shape::Payroll if is_now && self.has_months && is_payday(local) => {
                Some((begins + 8 * HOUR, 40 * MINUTE, self.level * 80.0))
            }
            Shape::Batch | Shape::Nightly if is_now => Some((begins, 10 * MINUTE, self.level)),
            Shape::Weekly if is_now && weekday == 0 => Some((begins, 20 * MINUTE, self.level * 5.0)),
            _ => None,
        }
    }

    /// What its clock shows more than UTC.
    pub fn offset(&self, merchant: &Merchant, at: Millis) -> Millis {
        match self.clock {
            Clock::Local => merchant.offset(at),
            Clock::Utc => 0,
        }
    }

    /// Where it calls from at a time.
    pub fn places_at(&self, at: Millis) -> &[(Place, Option<u64>)] {
        match &self.moves {
            Some((from, places)) if *from <= at => places,
            _ => &self.places,
        }
    }

    /// The version of its program: releases so far.
    pub fn release(&self, at: Millis) -> usize {
        self.releases.iter().filter(|release| **release <= at).count()
    }

    /// Whether it calls at all at this time.
    pub fn calls_at(&self, at: Millis) -> bool {
        (self.from..self.to).contains(&at) && !self.silent.iter().any(|(from, to)| (*from..*to).contains(&at))
    }
}

/// The 15th, and the last but one of a month.
fn is_payday(local: Millis) -> bool {
    day_of_month(local) == 15 || day_of_month(local + 2 * DAY) == 1
}

fn day_of_month(local: Millis) -> u32 {
    use chrono::Datelike;
    DateTime::<Utc>::from_timestamp_millis(local).unwrap_or_default().day()
}
