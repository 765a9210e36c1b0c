-- +goose Up
CREATE TABLE checkpoint (
    id         smallint PRIMARY KEY CHECK (id = 1),
    position   bigint      NOT NULL CHECK (position >= 0),   -- everything at or below it is confirmed
    after      jsonb       NOT NULL,                         -- category -> position of its last event at or below position
    store      text        NOT NULL,                         -- identity of the store that the positions belong to
    fence      bigint      NOT NULL,                         -- grows with every leader; a leader with an older one can't write
    leader     text        NOT NULL,
    updated_at timestamptz NOT NULL DEFAULT now()
);

-- +goose Down
DROP TABLE checkpoint;
