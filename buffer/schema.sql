-- The store, version 3. Opened by one process; `gateway buffer` verbs open it read-only beside it.
-- Stores of older versions are brought here step by step: see migrations/.

-- bundle: records in the order of their commit. One row holds the n records lo .. lo+n-1 that one commit
--         brought for one lane: their JSON objects joined by commas, deflated. One row a commit, not one a
--         record, is what keeps a memory card alive (see buffer/README.md for the figures).
CREATE TABLE bundle (
    lo    INTEGER PRIMARY KEY,          -- first record id (rid)
    n     INTEGER NOT NULL CHECK (n > 0),
    lane  INTEGER NOT NULL,             -- 0 urgent (outcomes, alarms), 1 telemetry, 2 late when it came
    at_ms INTEGER NOT NULL,             -- commit time, ms since 1970 UTC
    body  BLOB NOT NULL
) STRICT;
CREATE INDEX bundle_urgent ON bundle (lo) WHERE lane = 0;

-- set_aside: what the far end will never take, for a person to look at. Blocks nothing.
CREATE TABLE set_aside (
    lo     INTEGER PRIMARY KEY,
    n      INTEGER NOT NULL,
    lane   INTEGER NOT NULL,
    at_ms  INTEGER NOT NULL,
    reason TEXT NOT NULL,
    body   BLOB NOT NULL
) STRICT;

-- command: claimed before the wire moves; finished in the transaction that stores its outcome record.
CREATE TABLE command (
    id          TEXT PRIMARY KEY,
    claimed_ms  INTEGER NOT NULL,
    request     BLOB NOT NULL,
    state       TEXT NOT NULL DEFAULT 'accepted',
    finished_ms INTEGER,
    outcome     BLOB
) STRICT;
CREATE INDEX command_open ON command (claimed_ms) WHERE finished_ms IS NULL;

-- signal: what the numbers in history rows stand for. `about` is canonical JSON; another unit is another signal.
CREATE TABLE signal (
    id    INTEGER PRIMARY KEY,
    about TEXT NOT NULL UNIQUE
) STRICT;

-- history: closed windows of one length that ended at one moment. A part is what one commit brought of them:
--          a JSON array with one array a window (buffer/history.py), deflated.
CREATE TABLE history (
    span_s INTEGER NOT NULL,            -- full length of the windows: 60, 300, 3600 ...
    t1_ms  INTEGER NOT NULL,            -- their end (exclusive), ms since 1970 UTC
    part   INTEGER NOT NULL,
    n      INTEGER NOT NULL CHECK (n > 0),
    body   BLOB NOT NULL,
    PRIMARY KEY (span_s, t1_ms, part)
) STRICT, WITHOUT ROWID;

-- journal: what was done here, chained: `hash` is the SHA-256 of the entry's canonical JSON, which holds the hash
--          of the entry before it (buffer/chain.py).
CREATE TABLE journal (
    seq   INTEGER PRIMARY KEY,
    at_ms INTEGER NOT NULL,
    kind  TEXT NOT NULL,
    body  TEXT NOT NULL,                -- canonical JSON
    hash  TEXT NOT NULL
) STRICT;

-- tally: every few minutes, how far things are: rates and card wear are differences of two rows.
CREATE TABLE tally (
    at_ms   INTEGER PRIMARY KEY,
    stored  INTEGER NOT NULL,           -- highest rid
    waiting INTEGER NOT NULL,           -- records still to be sent
    lost    INTEGER NOT NULL,           -- records dropped unsent since the store began
    written INTEGER NOT NULL,           -- bytes this gateway wrote to disk since the store began
    why     TEXT NOT NULL               -- why nothing is sent, empty when it is
) STRICT;

-- meta: epoch, session (last given), floor (highest rid ever deleted), offered (lowest rid ever offered for sending),
--       unsettled (JSON: what is still to be sent), confirmed (the centre has everything up to here), clean (1 after an
--       orderly stop), lost, written, journal_cut (JSON: up to where the journal was shortened),
--       journal_bytes (what it takes), due (JSON: ends of the
--       periods that are still to be folded, by their length in s), copied (1 in a backup: it begins an epoch of its
--       own when it is opened as a store).
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;

-- keepsake: what a part of the gateway has to know again at its next start, replaced in the commit of the records it
--           belongs to. The last table: those before it lie in a new file where they lay in one of version 2.
CREATE TABLE keepsake (
    name TEXT PRIMARY KEY,
    body TEXT NOT NULL                  -- canonical JSON, an object
) STRICT, WITHOUT ROWID;
