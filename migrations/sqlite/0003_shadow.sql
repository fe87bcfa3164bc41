-- What a rule in status `test` found: stored and counted, told to nobody.
ALTER TABLE cases ADD COLUMN shadow INTEGER NOT NULL DEFAULT 0;
DROP INDEX cases_old_news;
CREATE INDEX cases_old_news ON cases (summed) WHERE NOT notify AND NOT summed AND NOT shadow;
