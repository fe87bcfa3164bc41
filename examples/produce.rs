//! Loads files into Kafka: `cargo run --example produce -- BROKERS DIR PARTITIONS`, with `DIR/events.jsonl` and
//! `DIR/key-events.jsonl`. Makes the topics `auth-events` and `key-events`.

use keywatch::pipeline::takeover::foster_partition;
use keywatch::source::kafka::testing::Producer;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), String> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [brokers, directory, partitions] = args.as_slice() else { return Err("wanted: BROKERS DIR PARTITIONS".into()) };
    let partitions: i32 = partitions.parse().map_err(|_| "PARTITIONS is a number")?;
    let producer = Producer::connect(brokers)?;
    for (topic, file) in [("key-events", "key-events.jsonl"), ("auth-events", "events.jsonl")] {
        producer.create_topic(topic, partitions).await?;
        let text = std::fs::read_to_string(format!("{directory}/{file}")).map_err(|e| e.to_string())?;
        for line in text.lines() {
            let value: serde_json::Value = serde_json::from_str(line).map_err(|e| e.to_string())?;
            let field = |name: &str| value.get(name).and_then(|v| v.as_str()).unwrap_or_default().to_owned();
            let merchant = field("merchant_id");
            let key = if topic == "auth-events" { merchant.clone() } else { format!("{merchant}/{}", field("key_id")) };
            producer.send(
                topic,
                foster_partition(&merchant, partitions),
                Some(key.as_bytes()),
                Some(line.as_bytes()),
            )?;
        }
        producer.flush()?;
    }
    Ok(())
}
