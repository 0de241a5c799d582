-- +goose Up

-- Subscriptions to events that outlive whoever made them. handled is the number of the event up to which all that the
-- subscriber has to be told of is done with; epoch grows when somebody else begins to serve the subscription, so that
-- who served it before cannot move it any more.
CREATE TABLE clacks_subscriptions (
    id          TEXT COLLATE "C" PRIMARY KEY,
    owner       TEXT COLLATE "C" NOT NULL,
    owner_uuid  TEXT NOT NULL DEFAULT '',
    owner_dn    TEXT NOT NULL DEFAULT '',
    owner_admin BOOLEAN NOT NULL DEFAULT FALSE,
    name        TEXT COLLATE "C" NOT NULL DEFAULT '',
    query       TEXT NOT NULL DEFAULT '',
    deliver     TEXT NOT NULL,
    durable     BOOLEAN NOT NULL,
    handled     BIGINT NOT NULL,
    epoch       BIGINT NOT NULL DEFAULT 0,
    attached    BOOLEAN NOT NULL DEFAULT FALSE,
    created     BIGINT NOT NULL,
    lease       BIGINT NOT NULL,
    delivered   BIGINT NOT NULL DEFAULT 0,
    rejected    BIGINT NOT NULL DEFAULT 0,
    failed      BIGINT NOT NULL DEFAULT 0,
    last_error  TEXT NOT NULL DEFAULT ''
);
CREATE UNIQUE INDEX clacks_subscriptions_name ON clacks_subscriptions (owner, name) WHERE name <> '';

-- Work that one agent at a time does. The holder proves with beat that it lives; epoch grows with every other holder.
CREATE TABLE clacks_leases (
    name   TEXT COLLATE "C" PRIMARY KEY,
    holder TEXT NOT NULL,
    epoch  BIGINT NOT NULL,
    beat   BIGINT NOT NULL
);

-- +goose Down
DROP TABLE clacks_leases;
DROP TABLE clacks_subscriptions;
