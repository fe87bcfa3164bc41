//! Writes seeded traffic to try `keywatch replay` on: `cargo run --example traffic -- DIR [MERCHANTS] [DAYS] [CALLS_A_DAY]`.

#[path = "../tests/support/traffic.rs"]
#[expect(dead_code, reason = "the laws read more of it")]
mod traffic;

use std::io::{BufWriter, Write};

fn main() -> std::io::Result<()> {
    let mut args = std::env::args().skip(1);
    let directory = std::path::PathBuf::from(args.next().unwrap_or_else(|| "traffic".into()));
    let mut number = |default: f64| args.next().and_then(|a| a.parse().ok()).unwrap_or(default);
    let plan = traffic::Plan {
        seed: 1,
        merchants: number(24.0) as u64,
        days: number(21.0) as i64,
        calls_a_day: number(8.0),
        start: 1_788_220_800_000,
    };
    let made = traffic::traffic(plan);
    std::fs::create_dir_all(&directory)?;
    for (name, lines) in [("events.jsonl", &made.events), ("key-events.jsonl", &made.facts)] {
        let mut file = BufWriter::new(std::fs::File::create(directory.join(name))?);
        for line in lines {
            writeln!(file, "{}", line.text)?;
        }
    }
    Ok(())
}
