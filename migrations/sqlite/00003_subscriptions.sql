-- +goose Up

-- Subscriptions to events that outlive whoever made them. handled is the number of the event up to which all that the
-- subscriber has to be told of is done with; epoch grows when somebody else begins to serve the subscription, so that
-- who served it before cannot move it any more.
CREATE TABLE clacks_subscriptions (
    id          TEXT PRIMARY KEY,
    owner       TEXT NOT NULL,
    owner_uuid  TEXT NOT NULL DEFAULT '',
    owner_dn    TEXT NOT NULL DEFAULT '',
    owner_admin INTEGER NOT NULL DEFAULT 0 CHECK (owner_admin IN (0, 1)),
    name        TEXT NOT NULL DEFAULT '',
    query       TEXT NOT NULL DEFAULT '',
    deliver     TEXT NOT NULL,
    durable     INTEGER NOT NULL CHECK (durable IN (0, 1)),
    handled     INTEGER NOT NULL,
    epoch       INTEGER NOT NULL DEFAULT 0,
    attached    INTEGER NOT NULL DEFAULT 0 CHECK (attached IN (0, 1)),
    created     INTEGER NOT NULL,
    lease       INTEGER NOT NULL,
    delivered   INTEGER NOT NULL DEFAULT 0,
    rejected    INTEGER NOT NULL DEFAULT 0,
    failed      INTEGER NOT NULL DEFAULT 0,
    last_error  TEXT NOT NULL DEFAULT ''
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX clacks_subscriptions_name ON clacks_subscriptions (owner, name) WHERE name <> '';

-- Work that one agent at a time does. The holder proves with beat that it lives; epoch grows with every other holder.
CREATE TABLE clacks_leases (
    name   TEXT PRIMARY KEY,
    holder TEXT NOT NULL,
    epoch  INTEGER NOT NULL,
    beat   INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- +goose Down
DROP TABLE clacks_leases;
DROP TABLE clacks_subscriptions;
