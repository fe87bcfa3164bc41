-- What shards tell the second stage, by the minute it happened in, until that minute is merged.
CREATE TABLE signals (
    minute    INTEGER NOT NULL,
    id        TEXT    NOT NULL,
    body      TEXT    NOT NULL,
    stored_at INTEGER NOT NULL,
    PRIMARY KEY (minute, id)
) WITHOUT ROWID;
CREATE INDEX signals_stored_at ON signals (stored_at);

-- How far each partition has come; `ahead` = it has been read to its end, and holds nobody up.
CREATE TABLE signal_marks (
    topic      TEXT    NOT NULL,
    partition  INTEGER NOT NULL,
    passed     INTEGER NOT NULL,
    ahead      INTEGER NOT NULL,
    activity   TEXT    NOT NULL,
    updated_at INTEGER NOT NULL,
    PRIMARY KEY (topic, partition)
) WITHOUT ROWID;

-- The stage itself: one row, which whoever merges has locked.
CREATE TABLE second_stage (
    id         INTEGER NOT NULL PRIMARY KEY,
    merged_to  INTEGER NOT NULL,
    body       TEXT    NOT NULL,
    updated_at INTEGER NOT NULL
);
INSERT INTO second_stage (id, merged_to, body, updated_at) VALUES (1, 0, '', 0);
