-- +goose Up

-- The index of all objects: what is where, without reading any backend. path_key is dn_key from the root downwards, so
-- that a subtree is a range; comparisons are bytewise for that reason.
CREATE TABLE clacks_objects (
    uuid       TEXT COLLATE "C" PRIMARY KEY,
    dn         TEXT NOT NULL,
    dn_key     TEXT COLLATE "C" NOT NULL UNIQUE,
    parent_key TEXT COLLATE "C" NOT NULL,
    path_key   TEXT COLLATE "C" NOT NULL,
    type       TEXT COLLATE "C" NOT NULL,
    extensions TEXT NOT NULL DEFAULT '[]',
    version    BIGINT NOT NULL,
    modified   BIGINT NOT NULL,
    actor      TEXT NOT NULL DEFAULT '',
    document   TEXT NOT NULL DEFAULT '{}',
    guards     TEXT NOT NULL DEFAULT '{}',
    keys       TEXT NOT NULL DEFAULT '{}'
);
CREATE INDEX clacks_objects_parent ON clacks_objects (parent_key);
CREATE INDEX clacks_objects_path ON clacks_objects (path_key);
CREATE INDEX clacks_objects_type ON clacks_objects (type, path_key);

-- One row an indexed value: equality searches, and who refers to whom.
CREATE TABLE clacks_values (
    attribute TEXT COLLATE "C" NOT NULL,
    value_key TEXT COLLATE "C" NOT NULL,
    uuid      TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (attribute, value_key, uuid)
);
-- Whichever index a database takes to delete one value of an object, it looks at one row.
CREATE INDEX clacks_values_uuid ON clacks_values (uuid, attribute, value_key);

-- Values that only one object of a type may have. A row is taken before any backend is touched: the primary key decides
-- between concurrent writers.
CREATE TABLE clacks_unique (
    type      TEXT COLLATE "C" NOT NULL,
    attribute TEXT COLLATE "C" NOT NULL,
    value_key TEXT COLLATE "C" NOT NULL,
    uuid      TEXT COLLATE "C" NOT NULL,
    operation TEXT COLLATE "C",
    PRIMARY KEY (type, attribute, value_key)
);
CREATE INDEX clacks_unique_uuid ON clacks_unique (uuid);
CREATE INDEX clacks_unique_operation ON clacks_unique (operation);

-- Each commit's plan before it is carried out, and its outcome after. Times are integers here and below: Unix time in the unit
-- that the writing package states.
CREATE TABLE clacks_journal (
    operation       TEXT COLLATE "C" PRIMARY KEY,
    idempotency_key TEXT COLLATE "C" UNIQUE,
    request_hash    TEXT,
    owner           TEXT COLLATE "C" NOT NULL,
    epoch           BIGINT NOT NULL,
    state           TEXT COLLATE "C" NOT NULL,
    plan            TEXT NOT NULL,
    result          TEXT,
    created         BIGINT NOT NULL,
    finished        BIGINT
);
CREATE INDEX clacks_journal_state ON clacks_journal (state, created);

-- The objects, and the names ("dn:..."), that a prepared operation holds.
CREATE TABLE clacks_locks (
    uuid      TEXT COLLATE "C" PRIMARY KEY,
    operation TEXT COLLATE "C" NOT NULL
);
CREATE INDEX clacks_locks_operation ON clacks_locks (operation);

-- The running agents. An owner that comes back with a higher epoch has lost what it held before.
CREATE TABLE clacks_owners (
    owner     TEXT COLLATE "C" PRIMARY KEY,
    epoch     BIGINT NOT NULL,
    heartbeat BIGINT NOT NULL
);

-- Numbers that are handed out inside of the transaction that uses them, so that their order is that of the commits.
CREATE TABLE clacks_counter (
    name  TEXT COLLATE "C" PRIMARY KEY,
    value BIGINT NOT NULL
);
INSERT INTO clacks_counter (name, value) VALUES ('events', 0);

-- The event log; document is the event's XML.
CREATE TABLE clacks_events (
    sequence       BIGINT PRIMARY KEY,
    event_id       TEXT COLLATE "C" NOT NULL UNIQUE,
    type           TEXT COLLATE "C" NOT NULL,
    time           BIGINT NOT NULL,
    origin         TEXT NOT NULL DEFAULT '',
    actor          TEXT NOT NULL DEFAULT '',
    transaction_id TEXT COLLATE "C" NOT NULL DEFAULT '',
    uuid           TEXT COLLATE "C" NOT NULL DEFAULT '',
    dn             TEXT NOT NULL DEFAULT '',
    new_dn         TEXT NOT NULL DEFAULT '',
    object_type    TEXT NOT NULL DEFAULT '',
    change_type    TEXT NOT NULL DEFAULT '',
    document       TEXT NOT NULL
);
CREATE INDEX clacks_events_uuid ON clacks_events (uuid, sequence);
CREATE INDEX clacks_events_time ON clacks_events (time);

-- Logged-in users, by the hash of their session's secret.
CREATE TABLE clacks_sessions (
    id_hash   TEXT COLLATE "C" PRIMARY KEY,
    user_id   TEXT NOT NULL,
    user_uuid TEXT COLLATE "C" NOT NULL DEFAULT '',
    user_dn   TEXT NOT NULL DEFAULT '',
    admin     BOOLEAN NOT NULL DEFAULT FALSE,
    created   BIGINT NOT NULL,
    seen      BIGINT NOT NULL,
    expires   BIGINT NOT NULL,
    data      TEXT NOT NULL DEFAULT ''
);
CREATE INDEX clacks_sessions_expires ON clacks_sessions (expires);
CREATE INDEX clacks_sessions_user ON clacks_sessions (user_uuid);

-- What the index was built from.
CREATE TABLE clacks_index_state (
    name  TEXT COLLATE "C" PRIMARY KEY,
    value TEXT NOT NULL
);

-- +goose Down
DROP TABLE clacks_index_state, clacks_sessions, clacks_events, clacks_counter, clacks_owners, clacks_locks,
    clacks_journal, clacks_unique, clacks_values, clacks_objects;
