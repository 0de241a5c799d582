-- +goose Up

-- A plan is sealed bytes, and is forgotten when its operation commits. The header is for people and holds no values. A plan
-- of version 1 stays as it is, a JSON document as bytes: its first byte tells.
ALTER TABLE clacks_journal ALTER COLUMN plan TYPE BYTEA USING convert_to(plan, 'UTF8');
ALTER TABLE clacks_journal ADD COLUMN header TEXT NOT NULL DEFAULT '{}';

-- No index holds what a commit changes in its row, so that the row stays in its page and no index is written (a HOT update).
-- What is prepared is found by its locks. Each row is in one of the two indexes by which ended ones are found.
DROP INDEX clacks_journal_state;
ALTER TABLE clacks_journal DROP CONSTRAINT clacks_journal_idempotency_key_key;
CREATE UNIQUE INDEX clacks_journal_key ON clacks_journal (idempotency_key) WHERE idempotency_key IS NOT NULL;
CREATE INDEX clacks_journal_keyed ON clacks_journal (created) WHERE idempotency_key IS NOT NULL;
CREATE INDEX clacks_journal_keyless ON clacks_journal (created) WHERE idempotency_key IS NULL;

-- A sealed plan cannot be compressed: PostgreSQL shall not try, and keep it in the row where it fits into the page. The free
-- part of a page takes the row as a commit leaves it, which is short.
ALTER TABLE clacks_journal ALTER COLUMN plan SET STORAGE EXTERNAL;
ALTER TABLE clacks_journal SET (toast_tuple_target = 8160, fillfactor = 80);

-- A commit writes an object's row anew and changes no indexed column of it: the page has room for that.
ALTER TABLE clacks_objects SET (fillfactor = 70);

-- +goose Down
ALTER TABLE clacks_objects RESET (fillfactor);
ALTER TABLE clacks_journal RESET (toast_tuple_target, fillfactor);
DROP INDEX clacks_journal_keyless, clacks_journal_keyed, clacks_journal_key;
ALTER TABLE clacks_journal ADD CONSTRAINT clacks_journal_idempotency_key_key UNIQUE (idempotency_key);
CREATE INDEX clacks_journal_state ON clacks_journal (state, created);
ALTER TABLE clacks_journal DROP COLUMN header;
ALTER TABLE clacks_journal ALTER COLUMN plan TYPE TEXT USING encode(plan, 'escape');
