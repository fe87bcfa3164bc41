-- What a checkpoint writes for each row: one index less, a smaller one, and days of usage in one tree rather than two.
-- A subject that another shard has is found through the list of shards.
DROP INDEX subjects_by_id;
DROP INDEX subjects_by_due;
CREATE INDEX subjects_by_due ON subjects (partition, next_due) WHERE next_due IS NOT NULL;

CREATE TABLE usage_days_by_key (
    key_id   TEXT    NOT NULL,
    day      INTEGER NOT NULL,
    accepted INTEGER NOT NULL,
    refused  INTEGER NOT NULL,
    first_at INTEGER NOT NULL,
    last_at  INTEGER NOT NULL,
    PRIMARY KEY (key_id, day)
) STRICT, WITHOUT ROWID;
INSERT INTO usage_days_by_key SELECT key_id, day, accepted, refused, first_at, last_at FROM usage_days;
DROP TABLE usage_days;
ALTER TABLE usage_days_by_key RENAME TO usage_days;
