-- +goose Up

-- The agents that live on the domain, and other programs with commands of their own; commands is JSON. load is in thousandths,
-- all times and durations are in microseconds.
CREATE TABLE clacks_nodes (
    node       TEXT PRIMARY KEY,
    capability TEXT NOT NULL,
    run        TEXT NOT NULL,
    user_id    TEXT NOT NULL,
    commands   TEXT NOT NULL,
    load       INTEGER NOT NULL,
    latency    INTEGER NOT NULL,
    workers    INTEGER NOT NULL,
    every      INTEGER NOT NULL,
    started    INTEGER NOT NULL,
    seen       INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- +goose Down
DROP TABLE clacks_nodes;
