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
    what      TEXT NOT NULL,
    client_id TEXT NOT NULL,
    reached   INTEGER NOT NULL,
    PRIMARY KEY (what, client_id)
) STRICT, WITHOUT ROWID;

-- The words of messages, for the search of text: the rowid is the message's seq. Only an index is kept, of every three
-- characters in a row; what a message says stands in content. A message that gets a new number is indexed anew by it.
CREATE VIRTUAL TABLE words USING fts5 (
    said, content = '', contentless_delete = 1, detail = none, tokenize = 'trigram case_sensitive 1'
);

-- Merging is done in small pieces where words are added, and never more at once: somebody may wait for the writer.
INSERT INTO words (words, rank) VALUES ('automerge', 0), ('crisismerge', 1000);

CREATE TRIGGER message_deleted AFTER DELETE ON message BEGIN
    DELETE FROM words WHERE rowid = old.seq;
END;

CREATE TRIGGER message_renumbered AFTER UPDATE OF seq ON message WHEN old.seq <> new.seq BEGIN
    DELETE FROM words WHERE rowid = old.seq;
END;

-- How much happened in each five minutes and in each hour (width, in seconds). at: their beginning. code: of kind failed only.
-- tid: an example, the last one.
CREATE TABLE tally (
    width      INTEGER NOT NULL,
    kind       TEXT NOT NULL, -- accepted, sent, delivered, read, failed or received
    at         INTEGER NOT NULL,
    client_id  TEXT NOT NULL,
    account_id TEXT NOT NULL,
    code       TEXT NOT NULL,
    times      INTEGER NOT NULL,
    last_at    INTEGER NOT NULL,
    tid        TEXT NOT NULL,
    PRIMARY KEY (width, kind, at, client_id, account_id, code)
) STRICT, WITHOUT ROWID;

CREATE INDEX tally_by_age ON tally (at);

-- When an account was last heard from, and when a platform last took a message of it.
CREATE TABLE account_last (
    account_id TEXT PRIMARY KEY,
    client_id  TEXT NOT NULL,
    heard_at   INTEGER,
    sent_at    INTEGER
) STRICT, WITHOUT ROWID;

-- Messages that were counted as accepted under the number that they had before.
CREATE TABLE counted (
    seq INTEGER PRIMARY KEY
) STRICT;
