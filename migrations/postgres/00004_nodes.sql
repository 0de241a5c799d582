-- +goose Up

-- The agents that live on the domain, and other programs with commands of their own; commands is JSON. load is in thousandths,
-- all times and durations are in microseconds.
CREATE TABLE clacks_nodes (
    node       TEXT COLLATE "C" PRIMARY KEY,
    capability TEXT COLLATE "C" NOT NULL,
    run        TEXT COLLATE "C" NOT NULL,
    user_id    TEXT COLLATE "C" NOT NULL,
    commands   TEXT NOT NULL,
    load       BIGINT NOT NULL,
    latency    BIGINT NOT NULL,
    workers    BIGINT NOT NULL,
    every      BIGINT NOT NULL,
    started    BIGINT NOT NULL,
    seen       BIGINT NOT NULL
);

-- +goose Down
DROP TABLE clacks_nodes;
