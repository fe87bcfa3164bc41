-- A day's rows lie together in the index: a checkpoint writes those of today.
ALTER TABLE usage_days DROP CONSTRAINT usage_days_pkey;
ALTER TABLE usage_days ADD PRIMARY KEY (day, key_id);
