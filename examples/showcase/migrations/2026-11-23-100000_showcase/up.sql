CREATE TABLE users (
    id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
    username TEXT NOT NULL UNIQUE,
    password_hash TEXT NOT NULL,
    scopes TEXT NOT NULL
);

CREATE TABLE items (
    id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL, -- AUTOINCREMENT: the id of a deleted item never comes back
    name TEXT NOT NULL,
    quantity INTEGER NOT NULL,
    note TEXT
);

-- The request for a report. Its job is enqueued in the transaction that writes this row.
CREATE TABLE reports (
    job_id TEXT PRIMARY KEY NOT NULL,
    requested_by TEXT NOT NULL,
    requested_at BIGINT NOT NULL, -- unix milliseconds
    items BIGINT, -- null until the job has finished
    quantity BIGINT
);
CREATE INDEX reports_requested_by ON reports (requested_by, requested_at);
