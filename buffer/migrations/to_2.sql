-- From version 1 (0.1.0, 0.2.0): history, the journal and the tally begin here.
CREATE TABLE signal (
    id    INTEGER PRIMARY KEY,
    about TEXT NOT NULL UNIQUE
) STRICT;
CREATE TABLE history (
    span_s INTEGER NOT NULL,
    t1_ms  INTEGER NOT NULL,
    part   INTEGER NOT NULL,
    n      INTEGER NOT NULL CHECK (n > 0),
    body   BLOB NOT NULL,
    PRIMARY KEY (span_s, t1_ms, part)
) STRICT, WITHOUT ROWID;
CREATE TABLE journal (
    seq   INTEGER PRIMARY KEY,
    at_ms INTEGER NOT NULL,
    kind  TEXT NOT NULL,
    body  TEXT NOT NULL,
    hash  TEXT NOT NULL
) STRICT;
CREATE TABLE tally (
    at_ms   INTEGER PRIMARY KEY,
    stored  INTEGER NOT NULL,
    waiting INTEGER NOT NULL,
    lost    INTEGER NOT NULL,
    written INTEGER NOT NULL,
    why     TEXT NOT NULL
) STRICT;
