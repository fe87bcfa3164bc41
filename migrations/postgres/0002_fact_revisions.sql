-- A service takes up facts that others stored: each write of facts has a number of its own, in the order of commits.

CREATE TABLE fact_revision (
    id       BIGINT NOT NULL PRIMARY KEY CHECK (id = 1),
    revision BIGINT NOT NULL
);
INSERT INTO fact_revision (id, revision) VALUES (1, 1);

ALTER TABLE key_facts ADD COLUMN revision BIGINT NOT NULL DEFAULT 0;
CREATE INDEX key_facts_by_revision ON key_facts (revision, id);

ALTER TABLE merchant_facts ADD COLUMN revision BIGINT NOT NULL DEFAULT 0;
CREATE INDEX merchant_facts_by_revision ON merchant_facts (revision, id);
