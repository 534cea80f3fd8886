-- waits_for: how many jobs have to end well before this one, in state 7 until then; -1 when one of them was deleted.
-- has_next: whether others wait for this one. input: what those before it gave back, as JSON.
ALTER TABLE utils_jobs
    ADD COLUMN waits_for BIGINT NOT NULL DEFAULT 0,
    ADD COLUMN has_next INTEGER NOT NULL DEFAULT 0,
    ADD COLUMN input LONGTEXT;
-- One row for each pair until the second is let go. position: the place of the result in a list, -1 for one alone, -2 for none.
CREATE TABLE utils_jobs_next (
    job_id VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    next_id VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    position BIGINT NOT NULL,
    result LONGTEXT,
    PRIMARY KEY (job_id, next_id),
    KEY utils_jobs_next_of (next_id, position),
    FOREIGN KEY (next_id) REFERENCES utils_jobs (id) ON DELETE CASCADE
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;
