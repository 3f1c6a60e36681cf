-- The console: who may look, what was done, which requests were refused. Times are microseconds since 1970 in UTC.

-- previous_hash: of the password before, which lets in until then. allow_from: a JSON list of networks; empty: from anywhere.
ALTER TABLE client ADD COLUMN previous_hash TEXT NOT NULL DEFAULT '';
ALTER TABLE client ADD COLUMN previous_until INTEGER;
ALTER TABLE client ADD COLUMN allow_from TEXT NOT NULL DEFAULT '[]';
ALTER TABLE client ADD COLUMN last_used_at INTEGER;

-- When what is sealed came to be what it is.
ALTER TABLE account ADD COLUMN sealed_at INTEGER NOT NULL DEFAULT 0;
UPDATE account SET sealed_at = changed_at;

-- name is what the user signs in with, in lower case; client_id "" is a user of the whole installation. password_hash "":
-- none was chosen yet, so that only a link lets in. totp_step is the last time step whose code was used (RFC 6238).
CREATE TABLE console_user (
    id            TEXT PRIMARY KEY,
    name          TEXT NOT NULL UNIQUE,
    role          TEXT NOT NULL,
    client_id     TEXT NOT NULL,
    password_hash TEXT NOT NULL,
    totp          BLOB, -- sealed
    totp_step     INTEGER NOT NULL DEFAULT 0,
    language      TEXT NOT NULL,
    enabled       INTEGER NOT NULL,
    created_at    INTEGER NOT NULL,
    changed_at    INTEGER NOT NULL,
    signed_in_at  INTEGER
) STRICT, WITHOUT ROWID;

-- digest: SHA-256 of the token, which is in the cookie alone.
CREATE TABLE console_session (
    digest     BLOB PRIMARY KEY,
    id         TEXT NOT NULL UNIQUE,
    user_id    TEXT NOT NULL REFERENCES console_user (id) ON DELETE CASCADE,
    created_at INTEGER NOT NULL,
    seen_at    INTEGER NOT NULL,
    address    TEXT NOT NULL,
    agent      TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX console_session_of_user ON console_session (user_id);
CREATE INDEX console_session_by_age ON console_session (seen_at);

-- A link that lets in once. user_id "": it makes the first owner.
CREATE TABLE console_link (
    digest     BLOB PRIMARY KEY,
    user_id    TEXT NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX console_link_by_age ON console_link (expires_at);

-- before_value and after_value are JSON objects of what changed, without any secret.
CREATE TABLE audit (
    number       INTEGER PRIMARY KEY AUTOINCREMENT,
    at           INTEGER NOT NULL,
    actor        TEXT NOT NULL,
    via          TEXT NOT NULL,
    address      TEXT NOT NULL,
    action       TEXT NOT NULL,
    kind         TEXT NOT NULL,
    subject      TEXT NOT NULL,
    client_id    TEXT NOT NULL,
    before_value TEXT NOT NULL,
    after_value  TEXT NOT NULL
) STRICT;

CREATE INDEX audit_by_client ON audit (client_id, number);
CREATE INDEX audit_by_subject ON audit (kind, subject, number);
CREATE INDEX audit_by_age ON audit (at);

-- Requests of clients that were refused, and those that changed something beside a message. client_id "": nobody was let in.
-- problems is a JSON list of [pointer, code, detail]; body is what was sent, cut, "" where the log keeps none.
CREATE TABLE request_log (
    number      INTEGER PRIMARY KEY AUTOINCREMENT,
    at          INTEGER NOT NULL,
    request_id  TEXT NOT NULL,
    client_id   TEXT NOT NULL,
    method      TEXT NOT NULL,
    path        TEXT NOT NULL,
    status      INTEGER NOT NULL,
    code        TEXT NOT NULL,
    detail      TEXT NOT NULL,
    problems    TEXT NOT NULL,
    duration_us INTEGER NOT NULL,
    address     TEXT NOT NULL,
    agent       TEXT NOT NULL,
    body        TEXT NOT NULL
) STRICT;

CREATE INDEX request_log_by_client ON request_log (client_id, number);
CREATE INDEX request_log_by_code ON request_log (code, number);
CREATE INDEX request_log_by_request ON request_log (request_id);
CREATE INDEX request_log_by_age ON request_log (at);
