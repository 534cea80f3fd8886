-- state: 0 waiting, 1 running, 2 done, 3 dead, 4 cancelled, 5 scheduled, 6 expired. Times: milliseconds since 1970.
-- Names and keys compare byte for byte on every database; the collations that all servers have ignore spaces at the end.
-- urgency: some servers cannot keep an index in descending order. waiting_in, state_at, may_expire_at: what partial indexes
-- are elsewhere. A change of state touches two indexes so; each entry that it removes stays in the way of the next claim
-- until the server has purged it.
CREATE TABLE utils_jobs (
    id VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL PRIMARY KEY,
    name VARBINARY(128) NOT NULL,
    queue VARBINARY(128) NOT NULL,
    args LONGBLOB NOT NULL,
    state INTEGER NOT NULL,
    priority INTEGER NOT NULL,
    urgency BIGINT AS (-CAST(priority AS SIGNED)) STORED,
    waiting_in VARBINARY(128) AS (CASE WHEN state = 0 THEN queue END) STORED,
    state_at BIGINT AS (CASE state WHEN 1 THEN lease_until WHEN 5 THEN run_at ELSE finished_at END) STORED,
    may_expire_at BIGINT AS (CASE WHEN state IN (0, 5) THEN expires_at END) STORED,
    attempts INTEGER NOT NULL,
    max_attempts INTEGER NOT NULL,
    run_at BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    started_at BIGINT,
    finished_at BIGINT,
    expires_at BIGINT,
    worker VARCHAR(200),
    lease_until BIGINT,
    cancel_requested INTEGER NOT NULL DEFAULT 0,
    unique_key VARBINARY(200),
    keep_key INTEGER NOT NULL DEFAULT 0,
    progress DOUBLE,
    progress_note TEXT,
    meta LONGTEXT NOT NULL,
    result LONGTEXT,
    error LONGTEXT,
    UNIQUE KEY utils_jobs_unique (name, unique_key),
    KEY utils_jobs_waiting (waiting_in, urgency, run_at, id),
    KEY utils_jobs_by_state (state, state_at, id, queue),
    KEY utils_jobs_expiring (may_expire_at)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;
CREATE TABLE utils_jobs_queues (
    queue VARBINARY(128) NOT NULL PRIMARY KEY,
    paused INTEGER NOT NULL
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;
CREATE TABLE utils_jobs_schedules (
    name VARBINARY(400) NOT NULL PRIMARY KEY,
    last_tick BIGINT NOT NULL
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;
CREATE TABLE utils_jobs_workers (
    name VARCHAR(200) NOT NULL PRIMARY KEY,
    queues TEXT NOT NULL,
    release_name VARCHAR(200) NOT NULL,
    started_at BIGINT NOT NULL,
    seen_at BIGINT NOT NULL
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;
