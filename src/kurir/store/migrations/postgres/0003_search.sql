-- What people look for in the console, and what it counts. Nothing here is written where a message is accepted: the indexes
-- have rows from delivery on, and the tables follow behind marks (kurir.upkeep).

CREATE INDEX message_by_error ON message (error_code, seq) WHERE status < 0;
CREATE INDEX message_failed ON message (status, seq) WHERE status < 0;
CREATE INDEX message_by_address ON message (address, seq) WHERE address <> '';
CREATE INDEX message_by_lane ON message (lane, seq) WHERE queued = 0 AND lane <> address;
CREATE INDEX message_run_again ON message (accepted_at, seq) WHERE run > 1;

-- How far a client's messages and events have been followed. what: words (reached is a seq), accepted (a seq), events (a
-- position).
CREATE TABLE followed (
    what      TEXT COLLATE "C" NOT NULL,
    client_id TEXT COLLATE "C" NOT NULL,
    reached   BIGINT NOT NULL,
    PRIMARY KEY (what, client_id)
);

-- The words of messages, for the search of text: rowid is the message's seq, grams are hashes of every three characters in a
-- row, of the client's id and of the thousands that the seq is in (kurir.store.postgres.words). What a message says stands in
-- content.
CREATE TABLE words (
    rowid BIGINT PRIMARY KEY REFERENCES message (seq) ON UPDATE CASCADE ON DELETE CASCADE,
    grams INTEGER[] NOT NULL
);

CREATE INDEX words_by_gram ON words USING gin (grams);

-- How much happened in each five minutes and in each hour (width, in seconds). at: their beginning. code: of kind failed only.
-- tid: an example, the last one.
CREATE TABLE tally (
    width      BIGINT NOT NULL,
    kind       TEXT COLLATE "C" NOT NULL, -- accepted, sent, delivered, read, failed or received
    at         BIGINT NOT NULL,
    client_id  TEXT COLLATE "C" NOT NULL,
    account_id TEXT COLLATE "C" NOT NULL,
    code       TEXT COLLATE "C" NOT NULL,
    times      BIGINT NOT NULL,
    last_at    BIGINT NOT NULL,
    tid        TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (width, kind, at, client_id, account_id, code)
);

CREATE INDEX tally_by_age ON tally (at);

-- When an account was last heard from, and when a platform last took a message of it.
CREATE TABLE account_last (
    account_id TEXT COLLATE "C" PRIMARY KEY,
    client_id  TEXT COLLATE "C" NOT NULL,
    heard_at   BIGINT,
    sent_at    BIGINT
);

-- Messages that were counted as accepted under the number that they had before.
CREATE TABLE counted (
    seq BIGINT PRIMARY KEY
);
