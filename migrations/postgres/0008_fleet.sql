-- What all keys together are like, by the day (since 1970) from which on it is in force.
CREATE TABLE fleet_days (
    day    BIGINT NOT NULL PRIMARY KEY,
    traits TEXT   NOT NULL
);
