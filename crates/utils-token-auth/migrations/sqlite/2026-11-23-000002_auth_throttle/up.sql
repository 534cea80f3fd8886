-- One login counter a row; a row whose free_at has passed is the same as no row.
CREATE TABLE auth_throttle (
    id      BLOB   NOT NULL PRIMARY KEY, -- SHA-256 of what is counted
    free_at BIGINT NOT NULL              -- Unix milliseconds
) WITHOUT ROWID;
CREATE INDEX auth_throttle_free ON auth_throttle (free_at);
