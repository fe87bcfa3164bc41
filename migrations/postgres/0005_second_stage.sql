-- What shards tell the second stage, by the minute it happened in, until that minute is merged.
CREATE TABLE signals (
    minute    BIGINT NOT NULL,
    id        TEXT   COLLATE "C" NOT NULL,
    body      TEXT   NOT NULL,
    stored_at BIGINT NOT NULL,
    PRIMARY KEY (minute, id)
);
CREATE INDEX signals_stored_at ON signals (stored_at);

-- How far each partition has come; `ahead` = it has been read to its end, and holds nobody up.
CREATE TABLE signal_marks (
    topic      TEXT    NOT NULL,
    partition  BIGINT  NOT NULL,
    passed     BIGINT  NOT NULL,
    ahead      BOOLEAN NOT NULL,
    activity   TEXT    NOT NULL,
    updated_at BIGINT  NOT NULL,
    PRIMARY KEY (topic, partition)
);

-- The stage itself: one row, which whoever merges has locked.
CREATE TABLE second_stage (
    id         BIGINT NOT NULL PRIMARY KEY,
    merged_to  BIGINT NOT NULL,
    body       TEXT   NOT NULL,
    updated_at BIGINT NOT NULL
);
INSERT INTO second_stage (id, merged_to, body, updated_at) VALUES (1, 0, '', 0);
