-- From version 2 (0.3.0): keepsakes begin here.
CREATE TABLE keepsake (
    name TEXT PRIMARY KEY,
    body TEXT NOT NULL
) STRICT, WITHOUT ROWID;
