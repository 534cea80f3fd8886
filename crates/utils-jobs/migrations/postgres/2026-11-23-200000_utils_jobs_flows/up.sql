-- waits_for: how many jobs have to end well before this one, in state 7 until then; -1 when one of them was deleted.
-- has_next: whether others wait for this one. input: what those before it gave back, as JSON.
ALTER TABLE utils_jobs ADD COLUMN waits_for BIGINT NOT NULL DEFAULT 0;
ALTER TABLE utils_jobs ADD COLUMN has_next INTEGER NOT NULL DEFAULT 0;
ALTER TABLE utils_jobs ADD COLUMN input TEXT;
-- One row for each pair until the second is let go. position: the place of the result in a list, -1 for one alone, -2 for none.
CREATE TABLE utils_jobs_next (
    job_id TEXT COLLATE "C" NOT NULL,
    next_id TEXT COLLATE "C" NOT NULL REFERENCES utils_jobs (id) ON DELETE CASCADE,
    position BIGINT NOT NULL,
    result TEXT,
    PRIMARY KEY (job_id, next_id)
);
CREATE INDEX utils_jobs_next_of ON utils_jobs_next (next_id, position);
