-- One signed-in device a row. Times are Unix milliseconds.
-- No foreign key to your users: a row that vanished could not tell other processes that it was revoked.
CREATE TABLE auth_sessions (
    id          BLOB     NOT NULL PRIMARY KEY, -- 16 random bytes
    user_id     TEXT     NOT NULL,
    data        TEXT     NOT NULL,             -- the application's JSON
    scopes      TEXT     NOT NULL,             -- granted at login, a JSON object of lists
    secret_hash BLOB     NOT NULL,             -- SHA-256 of what only the client has
    generation  INTEGER  NOT NULL,             -- rotations of the refresh token
    created_at  BIGINT   NOT NULL,
    renewed_at  BIGINT   NOT NULL,
    expires_at  BIGINT   NOT NULL,
    revoked_at  BIGINT,
    revoked_why SMALLINT,
    ip          TEXT,
    user_agent  TEXT,
    label       TEXT
);
CREATE INDEX auth_sessions_user ON auth_sessions (user_id, revoked_at);
CREATE INDEX auth_sessions_revoked ON auth_sessions (revoked_at) WHERE revoked_at IS NOT NULL;
CREATE INDEX auth_sessions_expires ON auth_sessions (expires_at);
