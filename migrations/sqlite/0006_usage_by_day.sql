-- A day's rows lie together: a checkpoint writes those of today, for which a tree by key would touch a page for each key.
CREATE TABLE usage_days_by_day (
    day      INTEGER NOT NULL,
    key_id   TEXT    NOT NULL,
    accepted INTEGER NOT NULL,
    refused  INTEGER NOT NULL,
    first_at INTEGER NOT NULL,
    last_at  INTEGER NOT NULL,
    PRIMARY KEY (day, key_id)
) STRICT, WITHOUT ROWID;
INSERT INTO usage_days_by_day SELECT day, key_id, accepted, refused, first_at, last_at FROM usage_days ORDER BY day, key_id;
DROP TABLE usage_days;
ALTER TABLE usage_days_by_day RENAME TO usage_days;
