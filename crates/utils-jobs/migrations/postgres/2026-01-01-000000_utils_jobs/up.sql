-- state: 0 waiting, 1 running, 2 done, 3 dead, 4 cancelled, 5 scheduled, 6 expired. Times: milliseconds since 1970.
CREATE TABLE utils_jobs (
    id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    name TEXT NOT NULL,
    queue TEXT NOT NULL,
    args BYTEA NOT NULL,
    state INTEGER NOT NULL,
    priority INTEGER NOT NULL,
    attempts INTEGER NOT NULL,
    max_attempts INTEGER NOT NULL,
    run_at BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    started_at BIGINT,
    finished_at BIGINT,
    expires_at BIGINT,
    worker TEXT,
    lease_until BIGINT,
    cancel_requested INTEGER NOT NULL DEFAULT 0,
    unique_key TEXT,
    keep_key INTEGER NOT NULL DEFAULT 0,
    progress DOUBLE PRECISION,
    progress_note TEXT,
    meta TEXT NOT NULL,
    result TEXT,
    error TEXT
);
CREATE UNIQUE INDEX utils_jobs_unique ON utils_jobs (name, unique_key) WHERE unique_key IS NOT NULL;
CREATE INDEX utils_jobs_waiting ON utils_jobs (queue, priority DESC, run_at, id) WHERE state = 0;
CREATE INDEX utils_jobs_scheduled ON utils_jobs (run_at, queue) WHERE state = 5;
CREATE INDEX utils_jobs_running ON utils_jobs (worker, lease_until) WHERE state = 1;
CREATE INDEX utils_jobs_expiring ON utils_jobs (expires_at) WHERE state IN (0, 5) AND expires_at IS NOT NULL;
CREATE INDEX utils_jobs_finished ON utils_jobs (state, finished_at) WHERE finished_at IS NOT NULL;
CREATE TABLE utils_jobs_queues (
    queue TEXT NOT NULL PRIMARY KEY,
    paused INTEGER NOT NULL
);
CREATE TABLE utils_jobs_schedules (
    name TEXT NOT NULL PRIMARY KEY,
    last_tick BIGINT NOT NULL
);
CREATE TABLE utils_jobs_workers (
    name TEXT NOT NULL PRIMARY KEY,
    queues TEXT NOT NULL,
    release_name TEXT NOT NULL,
    started_at BIGINT NOT NULL,
    seen_at BIGINT NOT NULL
);
