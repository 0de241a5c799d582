-- +goose Up

-- The index of all objects: what is where, without reading any backend. path_key is dn_key from the root downwards, so
-- that a subtree is a range; comparisons are bytewise for that reason.
CREATE TABLE clacks_objects (
    uuid       TEXT PRIMARY KEY,
    dn         TEXT NOT NULL,
    dn_key     TEXT NOT NULL UNIQUE,
    parent_key TEXT NOT NULL,
    path_key   TEXT NOT NULL,
    type       TEXT NOT NULL,
    extensions TEXT NOT NULL DEFAULT '[]',
    version    INTEGER NOT NULL,
    modified   INTEGER NOT NULL,
    actor      TEXT NOT NULL DEFAULT '',
    document   TEXT NOT NULL DEFAULT '{}',
    guards     TEXT NOT NULL DEFAULT '{}',
    keys       TEXT NOT NULL DEFAULT '{}'
) STRICT;
CREATE INDEX clacks_objects_parent ON clacks_objects (parent_key);
CREATE INDEX clacks_objects_path ON clacks_objects (path_key);
CREATE INDEX clacks_objects_type ON clacks_objects (type, path_key);

-- One row an indexed value: equality searches, and who refers to whom.
CREATE TABLE clacks_values (
    attribute TEXT NOT NULL,
    value_key TEXT NOT NULL,
    uuid      TEXT NOT NULL,
    PRIMARY KEY (attribute, value_key, uuid)
) STRICT, WITHOUT ROWID;
-- Whichever index a database takes to delete one value of an object, it looks at one row.
CREATE INDEX clacks_values_uuid ON clacks_values (uuid, attribute, value_key);

-- Values that only one object of a type may have. A row is taken before any backend is touched: the primary key decides
-- between concurrent writers.
CREATE TABLE clacks_unique (
    type      TEXT NOT NULL,
    attribute TEXT NOT NULL,
    value_key TEXT NOT NULL,
    uuid      TEXT NOT NULL,
    operation TEXT,
    PRIMARY KEY (type, attribute, value_key)
) STRICT, WITHOUT ROWID;
CREATE INDEX clacks_unique_uuid ON clacks_unique (uuid);
CREATE INDEX clacks_unique_operation ON clacks_unique (operation);

-- Each commit's plan before it is carried out, and its outcome after. Times are integers here and below: Unix time in the unit
-- that the writing package states.
CREATE TABLE clacks_journal (
    operation       TEXT PRIMARY KEY,
    idempotency_key TEXT UNIQUE,
    request_hash    TEXT,
    owner           TEXT NOT NULL,
    epoch           INTEGER NOT NULL,
    state           TEXT NOT NULL,
    plan            TEXT NOT NULL,
    result          TEXT,
    created         INTEGER NOT NULL,
    finished        INTEGER
) STRICT;
CREATE INDEX clacks_journal_state ON clacks_journal (state, created);

-- The objects, and the names ("dn:..."), that a prepared operation holds.
CREATE TABLE clacks_locks (
    uuid      TEXT PRIMARY KEY,
    operation TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX clacks_locks_operation ON clacks_locks (operation);

-- The running agents. An owner that comes back with a higher epoch has lost what it held before.
CREATE TABLE clacks_owners (
    owner     TEXT PRIMARY KEY,
    epoch     INTEGER NOT NULL,
    heartbeat INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Numbers that are handed out inside of the transaction that uses them, so that their order is that of the commits.
CREATE TABLE clacks_counter (
    name  TEXT PRIMARY KEY,
    value INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO clacks_counter (name, value) VALUES ('events', 0);

-- The event log; document is the event's XML.
CREATE TABLE clacks_events (
    sequence       INTEGER PRIMARY KEY,
    event_id       TEXT NOT NULL UNIQUE,
    type           TEXT NOT NULL,
    time           INTEGER NOT NULL,
    origin         TEXT NOT NULL DEFAULT '',
    actor          TEXT NOT NULL DEFAULT '',
    transaction_id TEXT NOT NULL DEFAULT '',
    uuid           TEXT NOT NULL DEFAULT '',
    dn             TEXT NOT NULL DEFAULT '',
    new_dn         TEXT NOT NULL DEFAULT '',
    object_type    TEXT NOT NULL DEFAULT '',
    change_type    TEXT NOT NULL DEFAULT '',
    document       TEXT NOT NULL
) STRICT;
CREATE INDEX clacks_events_uuid ON clacks_events (uuid, sequence);
CREATE INDEX clacks_events_time ON clacks_events (time);

-- Logged-in users, by the hash of their session's secret.
CREATE TABLE clacks_sessions (
    id_hash   TEXT PRIMARY KEY,
    user_id   TEXT NOT NULL,
    user_uuid TEXT NOT NULL DEFAULT '',
    user_dn   TEXT NOT NULL DEFAULT '',
    admin     INTEGER NOT NULL DEFAULT 0 CHECK (admin IN (0, 1)),
    created   INTEGER NOT NULL,
    seen      INTEGER NOT NULL,
    expires   INTEGER NOT NULL,
    data      TEXT NOT NULL DEFAULT ''
) STRICT;
CREATE INDEX clacks_sessions_expires ON clacks_sessions (expires);
CREATE INDEX clacks_sessions_user ON clacks_sessions (user_uuid);

-- What the index was built from.
CREATE TABLE clacks_index_state (
    name  TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- +goose Down
DROP TABLE clacks_index_state;
DROP TABLE clacks_sessions;
DROP TABLE clacks_events;
DROP TABLE clacks_counter;
DROP TABLE clacks_owners;
DROP TABLE clacks_locks;
DROP TABLE clacks_journal;
DROP TABLE clacks_unique;
DROP TABLE clacks_values;
DROP TABLE clacks_objects;
