-- One signed-in device a row. Times are Unix milliseconds.
-- No foreign key to your users: a row that vanished could not tell other processes that it was revoked.
CREATE TABLE auth_sessions (
    id          BINARY(16)     NOT NULL PRIMARY KEY,
    user_id     VARBINARY(255) NOT NULL, -- UTF-8; as text, MySQL would hold "Ana", "ana" and "ana " for one user
    data        MEDIUMTEXT     NOT NULL, -- the application's JSON
    scopes      TEXT           NOT NULL, -- granted at login, a JSON object of lists
    secret_hash BINARY(32)     NOT NULL, -- SHA-256 of what only the client has
    generation  INTEGER        NOT NULL, -- rotations of the refresh token
    created_at  BIGINT         NOT NULL,
    renewed_at  BIGINT         NOT NULL,
    expires_at  BIGINT         NOT NULL,
    revoked_at  BIGINT,
    revoked_why SMALLINT,
    ip          VARCHAR(45),
    user_agent  VARCHAR(255),
    label       VARCHAR(100)
) CHARACTER SET utf8mb4;
CREATE INDEX auth_sessions_user ON auth_sessions (user_id, revoked_at);
CREATE INDEX auth_sessions_revoked ON auth_sessions (revoked_at);
CREATE INDEX auth_sessions_expires ON auth_sessions (expires_at);
