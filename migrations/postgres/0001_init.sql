-- Identifiers that results are ordered by are compared byte by byte (COLLATE "C"), as SQLite does.

CREATE TABLE meta (
    key   TEXT NOT NULL PRIMARY KEY,
    value TEXT NOT NULL
);

CREATE TABLE shards (
    topic      TEXT   NOT NULL,
    partition  BIGINT NOT NULL,
    epoch      BIGINT NOT NULL,
    owner      TEXT   NOT NULL,
    position   BIGINT,
    blob       BYTEA,
    updated_at BIGINT NOT NULL,
    PRIMARY KEY (topic, partition)
);

CREATE TABLE subjects (
    topic      TEXT   NOT NULL,
    partition  BIGINT NOT NULL,
    id         TEXT   COLLATE "C" NOT NULL,
    current_to BIGINT NOT NULL,
    next_due   BIGINT,
    blob       BYTEA  NOT NULL,
    updated_at BIGINT NOT NULL,
    PRIMARY KEY (topic, partition, id)
);
CREATE INDEX subjects_by_due ON subjects (topic, partition, next_due, id) WHERE next_due IS NOT NULL;
CREATE INDEX subjects_by_id ON subjects (id);

CREATE TABLE usage_days (
    key_id   TEXT   NOT NULL,
    day      BIGINT NOT NULL,
    accepted BIGINT NOT NULL,
    refused  BIGINT NOT NULL,
    first_at BIGINT NOT NULL,
    last_at  BIGINT NOT NULL,
    PRIMARY KEY (key_id, day)
);

CREATE TABLE homes (
    merchant_id TEXT   NOT NULL PRIMARY KEY,
    topic       TEXT   NOT NULL,
    partition   BIGINT NOT NULL
);

CREATE TABLE cases (
    alert_id    TEXT    COLLATE "C" NOT NULL PRIMARY KEY,
    rule        TEXT    NOT NULL,
    subject     TEXT    NOT NULL,
    revision    BIGINT  NOT NULL,
    -- How many of the revisions were made by findings that joined, not by the engine's own counting.
    joins       BIGINT  NOT NULL,
    state       TEXT    NOT NULL CHECK (state IN ('firing', 'resolved')),
    starts_at   BIGINT  NOT NULL,
    ends_at     BIGINT,
    detected_at BIGINT  NOT NULL,
    merchant_id TEXT,
    key_id      TEXT,
    notify      BOOLEAN NOT NULL,
    -- Named in a summary of old news.
    summed      BOOLEAN NOT NULL DEFAULT FALSE,
    record      TEXT    NOT NULL,
    updated_at  BIGINT  NOT NULL
);
CREATE INDEX cases_old_news ON cases (summed) WHERE NOT notify AND NOT summed;
CREATE UNIQUE INDEX cases_one_open ON cases (rule, subject) WHERE state = 'firing';
CREATE INDEX cases_by_subject ON cases (rule, subject, starts_at);
CREATE INDEX cases_by_time ON cases (detected_at, alert_id);
CREATE INDEX cases_by_merchant ON cases (merchant_id, detected_at, alert_id);
CREATE INDEX cases_by_key ON cases (key_id, detected_at, alert_id);

CREATE TABLE case_events (
    alert_id TEXT   COLLATE "C" NOT NULL REFERENCES cases (alert_id) ON DELETE CASCADE,
    revision BIGINT NOT NULL,
    state    TEXT   NOT NULL,
    at       BIGINT NOT NULL,
    PRIMARY KEY (alert_id, revision, state)
);

-- Findings with an ID of their own that became part of another case.
CREATE TABLE joined_findings (
    alert_id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    case_id  TEXT COLLATE "C" NOT NULL REFERENCES cases (alert_id) ON DELETE CASCADE
);

CREATE TABLE notice_groups (
    id          TEXT   COLLATE "C" NOT NULL PRIMARY KEY,
    receiver    TEXT   NOT NULL,
    merchant_id TEXT   NOT NULL,
    revision    BIGINT NOT NULL,
    due_at      BIGINT
);
CREATE INDEX notice_groups_by_due ON notice_groups (due_at, id) WHERE due_at IS NOT NULL;

-- What a group has yet to tell: a row for each case that changed since its receiver last heard of it.
CREATE TABLE untold (
    group_id TEXT COLLATE "C" NOT NULL,
    alert_id TEXT COLLATE "C" NOT NULL REFERENCES cases (alert_id) ON DELETE CASCADE,
    PRIMARY KEY (group_id, alert_id)
);

CREATE TABLE told (
    alert_id     TEXT   COLLATE "C" NOT NULL REFERENCES cases (alert_id) ON DELETE CASCADE,
    receiver     TEXT   NOT NULL,
    revision     BIGINT NOT NULL,
    state        TEXT   NOT NULL,
    notice_id    TEXT   NOT NULL,
    first_notice TEXT   NOT NULL,
    severity     TEXT    NOT NULL,
    kind         TEXT    NOT NULL,
    PRIMARY KEY (alert_id, receiver)
);

CREATE TABLE outbox (
    notice_id       TEXT   COLLATE "C" NOT NULL PRIMARY KEY,
    receiver        TEXT   NOT NULL,
    merchant_id     TEXT   NOT NULL,
    mail            TEXT   NOT NULL,
    status          TEXT   NOT NULL CHECK (status IN ('pending', 'sent', 'failed')),
    attempts        BIGINT NOT NULL,
    next_attempt_at BIGINT NOT NULL,
    claimed_by      TEXT,
    claimed_until   BIGINT,
    created_at      BIGINT NOT NULL,
    finished_at     BIGINT,
    detail          TEXT
);
CREATE INDEX outbox_pending ON outbox (next_attempt_at, notice_id) WHERE status = 'pending';
CREATE INDEX outbox_by_receiver ON outbox (receiver, merchant_id, created_at);
CREATE INDEX outbox_by_time ON outbox (created_at, notice_id);

CREATE TABLE key_facts (
    id         TEXT   COLLATE "C" NOT NULL PRIMARY KEY,
    as_of      BIGINT NOT NULL,
    record     TEXT   NOT NULL,
    updated_at BIGINT NOT NULL
);

CREATE INDEX key_facts_by_change ON key_facts (updated_at);

CREATE TABLE merchant_facts (
    id         TEXT   COLLATE "C" NOT NULL PRIMARY KEY,
    as_of      BIGINT NOT NULL,
    record     TEXT   NOT NULL,
    updated_at BIGINT NOT NULL
);

CREATE TABLE rule_versions (
    version TEXT NOT NULL PRIMARY KEY,
    files   TEXT NOT NULL
);

-- The last row names the version in force.
CREATE TABLE rule_adoptions (
    number     BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    version    TEXT   NOT NULL REFERENCES rule_versions (version),
    adopted_at BIGINT NOT NULL,
    adopted_by TEXT   NOT NULL
);

CREATE TABLE dead_letters (
    number   BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    place    TEXT   NOT NULL UNIQUE,
    reason   TEXT   NOT NULL,
    detail   TEXT   NOT NULL,
    redacted TEXT   NOT NULL,
    at       BIGINT NOT NULL
);
