-- The offset at which a partition's owner has read it to its end. It holds nobody up while it still ends there: an owner that
-- is gone cannot say any more that messages have come since.
ALTER TABLE signal_marks DROP COLUMN ahead;
ALTER TABLE signal_marks ADD COLUMN end_offset BIGINT;
