-- The first schema. Times are microseconds since 1970 in UTC. Statuses are the numbers of kurir.domain.status. The row
-- that records a version is written by the code that runs these files.

PRAGMA application_id = 0x6b757269; -- "kuri": so that a database of somebody else is not taken for ours

CREATE TABLE meta (
    key   TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- Configuration. declared = 1: a configuration file brought it, and disables it when it stops naming it.

CREATE TABLE client (
    id              TEXT PRIMARY KEY,
    username        TEXT NOT NULL,
    password_hash   TEXT NOT NULL,
    default_region  TEXT NOT NULL,
    max_age_seconds INTEGER NOT NULL,
    enabled         INTEGER NOT NULL,
    declared        INTEGER NOT NULL,
    changed_at      INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE account (
    id            TEXT PRIMARY KEY,
    client_id     TEXT NOT NULL,
    channel       TEXT NOT NULL,
    api_base      TEXT NOT NULL,
    sealed        BLOB NOT NULL,
    options       TEXT NOT NULL,
    is_default    INTEGER NOT NULL,
    position      INTEGER NOT NULL,
    enabled       INTEGER NOT NULL,
    declared      INTEGER NOT NULL,
    changed_at    INTEGER NOT NULL,
    parked_code   TEXT NOT NULL DEFAULT '',
    parked_reason TEXT NOT NULL DEFAULT '',
    parked_at     INTEGER,
    paused_at     INTEGER, -- the operator stopped it
    held_since    INTEGER, -- the platform wants nothing of the account from then until then
    held_until    INTEGER,
    held_reason   TEXT NOT NULL DEFAULT ''
) STRICT, WITHOUT ROWID;

-- The id is made from client and URL. From failures on it is where the endpoint stands on its ladder.
CREATE TABLE endpoint (
    id            TEXT PRIMARY KEY,
    client_id     TEXT NOT NULL,
    url           TEXT NOT NULL,
    position      INTEGER NOT NULL,
    dialect       TEXT NOT NULL,
    events        TEXT NOT NULL, -- a JSON list
    sealed        BLOB NOT NULL,
    enabled       INTEGER NOT NULL,
    declared      INTEGER NOT NULL,
    created_at    INTEGER NOT NULL,
    changed_at    INTEGER NOT NULL,
    failures      INTEGER NOT NULL DEFAULT 0,
    failing_since INTEGER,
    next_at       INTEGER,
    paused_at     INTEGER,
    paused_reason TEXT NOT NULL DEFAULT '',
    last_error    TEXT NOT NULL DEFAULT '',
    UNIQUE (client_id, url)
) STRICT, WITHOUT ROWID;

-- What the platforms said of an account: WhatsApp's templates, LINE's monthly quota, Telegram's place in its updates.

CREATE TABLE template (
    account_id TEXT NOT NULL,
    name       TEXT NOT NULL,
    language   TEXT NOT NULL,
    status     TEXT NOT NULL,
    category   TEXT NOT NULL,
    components TEXT NOT NULL, -- JSON, as the platform gives it
    synced_at  INTEGER NOT NULL,
    PRIMARY KEY (account_id, name, language)
) STRICT, WITHOUT ROWID;

CREATE TABLE quota (
    account_id TEXT PRIMARY KEY,
    used       INTEGER NOT NULL,
    allowed    INTEGER, -- NULL: without limit
    at         INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE poll (
    account_id  TEXT PRIMARY KEY,
    next_offset INTEGER NOT NULL,
    at          INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Messages. The row is its own job: queued = 1 while delivery has work with it. seq is the order within a lane: given at
-- accept, given anew when a failed message is retried, and never given twice, not even after its message was deleted.

CREATE TABLE message (
    seq             INTEGER PRIMARY KEY AUTOINCREMENT,
    tid             TEXT NOT NULL UNIQUE,
    client_id       TEXT NOT NULL,
    channel         TEXT NOT NULL,
    account_id      TEXT NOT NULL,
    message_id      TEXT NOT NULL,
    recipient       TEXT NOT NULL,
    lane            TEXT NOT NULL,
    type            TEXT NOT NULL,
    priority        TEXT NOT NULL,
    accepted_at     INTEGER NOT NULL,
    due_at          INTEGER NOT NULL,
    expires_at      INTEGER NOT NULL,
    life            INTEGER NOT NULL, -- from due to expiry as it was accepted: a retry gives it anew
    queued          INTEGER NOT NULL DEFAULT 1,
    status          INTEGER NOT NULL DEFAULT 0,
    run             INTEGER NOT NULL DEFAULT 1,
    address         TEXT NOT NULL DEFAULT '',
    parts_total     INTEGER NOT NULL DEFAULT 0,
    waiting_since   INTEGER,
    waiting_until   INTEGER,
    reason_code     TEXT,
    reason_detail   TEXT,
    reason_provider TEXT,
    error_code      TEXT,
    error_detail    TEXT,
    error_provider  TEXT,
    ended_at        INTEGER, -- when it last changed outside the queue; NULL while queued and while the status is 0
    losses          TEXT,    -- known at accept, a JSON list of [pointer, kind, detail]
    render_losses   TEXT,    -- found by the first rendering of the run
    erased_at       INTEGER  -- its person asked to be forgotten: what it said is gone
) STRICT;

-- What a message says (body: the request as it was accepted) and what its first rendering found and froze (facts). Large, and
-- changed once at most; the row above is small, and changes with every step.
CREATE TABLE content (
    seq   INTEGER PRIMARY KEY REFERENCES message (seq) ON UPDATE CASCADE ON DELETE CASCADE,
    body  BLOB NOT NULL,
    facts BLOB
) STRICT;

CREATE INDEX message_by_client ON message (client_id, seq);
CREATE INDEX message_by_recipient ON message (client_id, recipient, seq);
CREATE INDEX message_in_queue ON message (account_id, priority, seq) WHERE queued = 1;
CREATE INDEX message_in_lane ON message (account_id, lane, (priority = 'high'), seq) WHERE queued = 1;
CREATE INDEX message_begun ON message (account_id, seq) WHERE queued = 1 AND parts_total > 0;
CREATE INDEX message_by_expiry ON message (expires_at) WHERE queued = 1;
CREATE INDEX message_ended ON message (ended_at) WHERE ended_at IS NOT NULL;

-- Outside retention: a key outlives its message, then with the message's last status and end.
CREATE TABLE idempotency (
    client_id   TEXT NOT NULL,
    message_id  TEXT NOT NULL,
    channel     TEXT NOT NULL,
    tid         TEXT NOT NULL,
    fingerprint BLOB NOT NULL,
    version     INTEGER NOT NULL,
    status      INTEGER,
    ended_at    INTEGER,
    PRIMARY KEY (client_id, message_id, channel)
) STRICT, WITHOUT ROWID;

CREATE INDEX idempotency_ended ON idempotency (ended_at) WHERE ended_at IS NOT NULL;

-- Parts: written when first marked in flight. settled = 1: a receipt told that the platform has it before the answer to
-- the call was recorded. account_id and address say whom a watermark covers, covered_from from which time on it does: when
-- the platform says that it sent the part, else a second before its answer was recorded. cures: what the message offers
-- beside what was sent of it, should the platform refuse that by a receipt.

CREATE TABLE part (
    seq            INTEGER NOT NULL REFERENCES message (seq) ON UPDATE CASCADE ON DELETE CASCADE,
    number         INTEGER NOT NULL,
    run            INTEGER NOT NULL,
    phase          TEXT NOT NULL,
    status         INTEGER,
    attempts       INTEGER NOT NULL,
    account_id     TEXT NOT NULL,
    address        TEXT NOT NULL,
    platform_ids   TEXT NOT NULL DEFAULT '[]', -- a JSON list, in order
    again          TEXT NOT NULL DEFAULT '[]', -- a JSON list
    cures          TEXT NOT NULL DEFAULT '[]', -- a JSON list
    marked_at      INTEGER,
    answered_at    INTEGER,
    covered_from   INTEGER,
    settled        INTEGER NOT NULL DEFAULT 0,
    error_code     TEXT,
    error_detail   TEXT,
    error_provider TEXT,
    PRIMARY KEY (seq, number)
) STRICT, WITHOUT ROWID;

CREATE INDEX part_under_watermark ON part (account_id, address, status, covered_from)
    WHERE covered_from IS NOT NULL AND status < 3;
CREATE INDEX part_without_receipt ON part (answered_at) WHERE phase = 'answered' AND status = 0;

CREATE TABLE attempt (
    id          INTEGER PRIMARY KEY,
    seq         INTEGER NOT NULL REFERENCES message (seq) ON UPDATE CASCADE ON DELETE CASCADE,
    run         INTEGER NOT NULL,
    part        INTEGER NOT NULL,
    at          INTEGER NOT NULL,
    duration_ms INTEGER NOT NULL,
    request     TEXT NOT NULL,
    status      INTEGER NOT NULL,
    headers     TEXT NOT NULL,
    body        BLOB NOT NULL,
    outcome     TEXT NOT NULL,
    code        TEXT NOT NULL,
    reason      TEXT NOT NULL,
    counted     INTEGER NOT NULL DEFAULT 1 -- 0: it uses up age and no attempt (throttled, or made while the account was out)
) STRICT;

CREATE INDEX attempt_by_message ON attempt (seq);

-- What the platforms call messages. Of ours: outside retention, and the newest part wins an id that a platform gave twice
-- (a sandbox that was started afresh does). Of messages that people wrote: tid '' and part 0, with the time they came.
CREATE TABLE platform_id (
    account_id  TEXT NOT NULL,
    platform_id TEXT NOT NULL,
    tid         TEXT NOT NULL,
    part        INTEGER NOT NULL,
    message_id  TEXT NOT NULL,
    address     TEXT NOT NULL,
    quote_token TEXT NOT NULL,
    received_at INTEGER,
    PRIMARY KEY (account_id, platform_id)
) STRICT, WITHOUT ROWID;

CREATE INDEX platform_id_received ON platform_id (received_at) WHERE received_at IS NOT NULL;

-- Outside retention: what a token in a platform's field stands for.
CREATE TABLE key_token (
    client_id TEXT NOT NULL,
    token     TEXT NOT NULL,
    key       TEXT NOT NULL,
    PRIMARY KEY (client_id, token)
) STRICT, WITHOUT ROWID;

-- The only writer numbers events as it commits, so the order of positions is the order of commits. A change of status has
-- seq and the columns after it; every other kind has data. A return to status 0 (a retry) is history, and in no feed.
CREATE TABLE event (
    position            INTEGER PRIMARY KEY AUTOINCREMENT,
    client_id           TEXT NOT NULL,
    kind                TEXT NOT NULL,
    account_id          TEXT NOT NULL,
    channel             TEXT NOT NULL,
    conversation        TEXT NOT NULL,
    at                  INTEGER NOT NULL, -- at the platform, else kept_at
    kept_at             INTEGER NOT NULL,
    seq                 INTEGER REFERENCES message (seq) ON UPDATE CASCADE ON DELETE CASCADE,
    status              INTEGER,
    previous            INTEGER,
    provider_message_id TEXT NOT NULL DEFAULT '',
    error_code          TEXT,
    error_detail        TEXT,
    error_provider      TEXT,
    data                BLOB,
    media               BLOB, -- the platform's handles of files: shown to nobody
    CHECK ((seq IS NULL) = (data IS NOT NULL))
) STRICT;

CREATE INDEX event_in_feed ON event (client_id, position) WHERE status IS NOT 0;
CREATE INDEX event_by_message ON event (seq, position) WHERE seq IS NOT NULL;
CREATE INDEX event_by_age ON event (kept_at) WHERE seq IS NULL;

-- Callbacks: the row is its own job. One for each event and endpoint that was enabled at its commit and wants its kind.
CREATE TABLE callback (
    endpoint_id TEXT NOT NULL REFERENCES endpoint (id) ON DELETE CASCADE,
    position    INTEGER NOT NULL REFERENCES event (position) ON DELETE CASCADE,
    state       TEXT NOT NULL DEFAULT 'pending',
    tries       INTEGER NOT NULL DEFAULT 0,
    next_at     INTEGER,
    ended_at    INTEGER,
    PRIMARY KEY (endpoint_id, position)
) STRICT, WITHOUT ROWID;

CREATE INDEX callback_pending ON callback (endpoint_id, position) WHERE state = 'pending';
CREATE INDEX callback_failed ON callback (endpoint_id, position) WHERE state = 'failed';
CREATE INDEX callback_by_event ON callback (position);

CREATE TABLE callback_attempt (
    id          INTEGER PRIMARY KEY,
    endpoint_id TEXT NOT NULL,
    position    INTEGER NOT NULL,
    at          INTEGER NOT NULL,
    duration_ms INTEGER NOT NULL,
    status      INTEGER NOT NULL,
    headers     TEXT NOT NULL,
    body        BLOB NOT NULL,
    error       TEXT NOT NULL,
    FOREIGN KEY (endpoint_id, position) REFERENCES callback (endpoint_id, position) ON DELETE CASCADE
) STRICT;

CREATE INDEX callback_attempt_by_callback ON callback_attempt (endpoint_id, position);

-- What came in.

-- digest: 16 bytes of the SHA-256 of the event's id, which on WhatsApp holds the person's number.
CREATE TABLE inbound_event (
    account_id  TEXT NOT NULL,
    digest      BLOB NOT NULL,
    received_at INTEGER NOT NULL,
    PRIMARY KEY (account_id, digest)
) STRICT, WITHOUT ROWID;

CREATE INDEX inbound_event_by_age ON inbound_event (received_at);

-- Webhooks that a platform signed and that could not be read, whole. digest: SHA-256 of the body, which with the account
-- tells repeats. A number is never given twice, so that it never names another webhook than the one that was listed.
CREATE TABLE quarantine (
    number      INTEGER PRIMARY KEY AUTOINCREMENT,
    account_id  TEXT NOT NULL,
    digest      BLOB NOT NULL,
    received_at INTEGER NOT NULL, -- for the first time
    times       INTEGER NOT NULL DEFAULT 1,
    why         TEXT NOT NULL,
    replayed_at INTEGER, -- for the last time, in vain
    size        INTEGER NOT NULL,
    body        BLOB NOT NULL,
    UNIQUE (account_id, digest)
) STRICT;

CREATE INDEX quarantine_of_account ON quarantine (account_id, number, size);
CREATE INDEX quarantine_by_age ON quarantine (received_at);

-- How many webhooks came beyond the bound of an account's quarantine, and are lost.
CREATE TABLE quarantine_not_kept (
    account_id TEXT PRIMARY KEY,
    webhooks   INTEGER NOT NULL,
    first_at   INTEGER NOT NULL,
    last_at    INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX quarantine_not_kept_by_age ON quarantine_not_kept (last_at);

CREATE TABLE early_receipt (
    id             INTEGER PRIMARY KEY,
    account_id     TEXT NOT NULL,
    platform_id    TEXT NOT NULL,
    reference      TEXT NOT NULL,
    address        TEXT NOT NULL, -- the person's, "" where the platform does not say
    status         INTEGER NOT NULL,
    at             INTEGER NOT NULL,
    error_code     TEXT,
    error_detail   TEXT,
    error_provider TEXT,
    again          TEXT NOT NULL DEFAULT '', -- the cure that it names
    received_at    INTEGER NOT NULL
) STRICT;

CREATE INDEX early_receipt_by_id ON early_receipt (account_id, platform_id) WHERE platform_id <> '';
CREATE INDEX early_receipt_by_reference ON early_receipt (account_id, reference) WHERE reference <> '';
CREATE INDEX early_receipt_by_address ON early_receipt (account_id, address) WHERE address <> '';
CREATE INDEX early_receipt_by_age ON early_receipt (received_at);

-- The highest watermark of each status; event_at is when the platform says that it happened.
CREATE TABLE watermark (
    account_id TEXT NOT NULL,
    address    TEXT NOT NULL,
    status     INTEGER NOT NULL,
    up_to      INTEGER NOT NULL,
    event_at   INTEGER NOT NULL,
    PRIMARY KEY (account_id, address, status)
) STRICT, WITHOUT ROWID;

-- blocked_at is when the newest news of it happened, whichever way it went; block_inferred = 1: they were an answer to a
-- call of ours, by our clock, and not the platform's own word.
CREATE TABLE contact (
    account_id      TEXT NOT NULL,
    address         TEXT NOT NULL,
    client_id       TEXT NOT NULL,
    channel         TEXT NOT NULL,
    phone           TEXT NOT NULL,
    name            TEXT NOT NULL,
    username        TEXT NOT NULL,
    last_inbound_at INTEGER,
    linked_at       INTEGER,
    blocked         INTEGER NOT NULL,
    blocked_at      INTEGER,
    block_inferred  INTEGER NOT NULL DEFAULT 0,
    changed_at      INTEGER NOT NULL,
    PRIMARY KEY (account_id, address)
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX contact_by_phone ON contact (account_id, phone) WHERE phone <> '';
CREATE INDEX contact_by_client ON contact (client_id, account_id, address);
CREATE INDEX contact_of_client_by_phone ON contact (client_id, phone, account_id, address) WHERE phone <> '';

-- Other addresses of the same person. moved = 1: the address was theirs, and may be somebody else's one day.
CREATE TABLE contact_alias (
    account_id TEXT NOT NULL,
    alias      TEXT NOT NULL,
    address    TEXT NOT NULL,
    moved      INTEGER NOT NULL,
    at         INTEGER NOT NULL,
    PRIMARY KEY (account_id, alias)
) STRICT, WITHOUT ROWID;

CREATE INDEX contact_alias_by_address ON contact_alias (account_id, address);

-- used_by is the tid of the message whose mark took it.
CREATE TABLE reply_token (
    account_id  TEXT NOT NULL,
    token       TEXT NOT NULL,
    address     TEXT NOT NULL,
    received_at INTEGER NOT NULL,
    used_at     INTEGER,
    used_by     TEXT NOT NULL DEFAULT '',
    PRIMARY KEY (account_id, token)
) STRICT, WITHOUT ROWID;

CREATE INDEX reply_token_by_age ON reply_token (received_at);
CREATE INDEX reply_token_by_address ON reply_token (account_id, address, received_at);

-- The choices that vanish from the phone (quick replies), of the last message of a conversation that had some.
CREATE TABLE vanishing_choice (
    account_id TEXT NOT NULL,
    address    TEXT NOT NULL,
    at         INTEGER NOT NULL,
    message_id TEXT NOT NULL,
    choices    TEXT NOT NULL, -- a JSON list of [title, key]
    PRIMARY KEY (account_id, address)
) STRICT, WITHOUT ROWID;

CREATE INDEX vanishing_choice_by_age ON vanishing_choice (at);

-- What a deep link carries, and whom it is for.
CREATE TABLE link_token (
    token      TEXT PRIMARY KEY,
    client_id  TEXT NOT NULL,
    account_id TEXT NOT NULL,
    phone      TEXT NOT NULL,
    payload    TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    used_at    INTEGER,
    expires_at INTEGER
) STRICT, WITHOUT ROWID;

CREATE INDEX link_token_by_age ON link_token (created_at);
CREATE INDEX link_token_by_phone ON link_token (account_id, phone) WHERE phone <> '';
