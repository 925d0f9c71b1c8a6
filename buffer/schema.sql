-- The store, version 1. Opened by one process; `gateway buffer` verbs open it read-only beside it.
--
-- bundle: records in the order of their commit. One row holds the n records lo .. lo+n-1 that one commit
--         brought for one lane: their JSON objects joined by commas, deflated. One row a commit, not one a
--         record, is what keeps a memory card alive (see buffer/README.md for the figures).
CREATE TABLE bundle (
    lo    INTEGER PRIMARY KEY,          -- first record id (rid)
    n     INTEGER NOT NULL CHECK (n > 0),
    lane  INTEGER NOT NULL,             -- 0 urgent (outcomes, alarms), 1 telemetry
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

-- meta: epoch, session (last given), floor (highest rid ever deleted), unsettled (JSON: what is still to be sent).
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;
