-- +goose Up

-- A plan is sealed bytes, and is forgotten when its operation commits. The header is for people and holds no values. A plan
-- of version 1 stays as it is, a JSON document as bytes: its first byte tells. What is prepared is found by its locks. Each
-- row is in one of the two indexes by which ended ones are found.
CREATE TABLE clacks_journal_2 (
    operation       TEXT PRIMARY KEY,
    idempotency_key TEXT,
    request_hash    TEXT,
    owner           TEXT NOT NULL,
    epoch           INTEGER NOT NULL,
    state           TEXT NOT NULL,
    plan            BLOB NOT NULL,
    result          TEXT,
    created         INTEGER NOT NULL,
    finished        INTEGER,
    header          TEXT NOT NULL DEFAULT '{}'
) STRICT;
INSERT INTO clacks_journal_2 (operation, idempotency_key, request_hash, owner, epoch, state, plan, result, created, finished)
    SELECT operation, idempotency_key, request_hash, owner, epoch, state, CAST(plan AS BLOB), result, created, finished
    FROM clacks_journal;
DROP TABLE clacks_journal;
ALTER TABLE clacks_journal_2 RENAME TO clacks_journal;
CREATE UNIQUE INDEX clacks_journal_key ON clacks_journal (idempotency_key) WHERE idempotency_key IS NOT NULL;
CREATE INDEX clacks_journal_keyed ON clacks_journal (created) WHERE idempotency_key IS NOT NULL;
CREATE INDEX clacks_journal_keyless ON clacks_journal (created) WHERE idempotency_key IS NULL;

-- +goose Down
CREATE TABLE clacks_journal_1 (
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
INSERT INTO clacks_journal_1
    SELECT operation, idempotency_key, request_hash, owner, epoch, state, CAST(plan AS TEXT), result, created, finished
    FROM clacks_journal;
DROP TABLE clacks_journal;
ALTER TABLE clacks_journal_1 RENAME TO clacks_journal;
CREATE INDEX clacks_journal_state ON clacks_journal (state, created);
