-- What a checkpoint writes for each row: one index less, a smaller one, and room on the page for the row's next version.
-- A subject that another shard has is found through the list of shards.
DROP INDEX subjects_by_id;
DROP INDEX subjects_by_due;
CREATE INDEX subjects_by_due ON subjects (partition, next_due) WHERE next_due IS NOT NULL;
ALTER TABLE subjects SET (fillfactor = 50);
ALTER TABLE usage_days SET (fillfactor = 50);
ALTER TABLE usage_days ALTER COLUMN key_id TYPE TEXT COLLATE "C";
