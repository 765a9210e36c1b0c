-- +goose Up
CREATE SCHEMA IF NOT EXISTS read;

-- One row a projection and version: its checkpoint. position proves that everything of its categories up to there is in
-- its rows or parked; last is the last of those events. generation is what every change is guarded by.
CREATE TABLE checkpoints (
    name          text        NOT NULL,
    version       int         NOT NULL,
    generation    bigint      NOT NULL DEFAULT 0,
    position      bigint      NOT NULL DEFAULT 0,
    last          uuid        NOT NULL DEFAULT '00000000-0000-0000-0000-000000000000',
    last_position bigint      NOT NULL DEFAULT 0,
    store         text        NOT NULL DEFAULT '',
    categories    text[]      NOT NULL,
    feed_last     uuid        NOT NULL DEFAULT '00000000-0000-0000-0000-000000000000',
    feed_of       text[]      NOT NULL DEFAULT '{}', -- feed_last is the last event of these, at or below position
    sql_hash      text        NOT NULL,
    status        text        NOT NULL DEFAULT 'running' CHECK (status IN ('running', 'paused', 'failed')),
    live          boolean     NOT NULL DEFAULT false, -- the view in schema read shows this version
    events        bigint      NOT NULL DEFAULT 0,     -- events of its categories taken, ignored ones included
    parked        bigint      NOT NULL DEFAULT 0,     -- rows of table parked
    cause         text        NOT NULL DEFAULT '',    -- why it failed
    updated_at    timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (name, version)
) WITH (fillfactor = 20);

CREATE UNIQUE INDEX checkpoints_live ON checkpoints (name) WHERE live;

-- Events that could not be folded and those that wait behind them. scope 'row': key is the row's id. scope 'stream': the row
-- is not known, key is the stream's name, and the repair is a rebuild.
CREATE TABLE parked (
    name     text        NOT NULL,
    version  int         NOT NULL,
    scope    text        NOT NULL CHECK (scope IN ('row', 'stream')),
    key      text        NOT NULL,
    position bigint      NOT NULL,
    stream   text        NOT NULL,
    revision bigint      NOT NULL,
    event    uuid        NOT NULL,
    type     text        NOT NULL,
    data     bytea       NOT NULL,
    metadata bytea       NOT NULL,
    created  timestamptz NOT NULL,
    code     text        NOT NULL DEFAULT '', -- of the fault; empty for an event that only waits
    cause    text        NOT NULL DEFAULT '',
    stack    text        NOT NULL DEFAULT '',
    attempts int         NOT NULL DEFAULT 0,
    first_at timestamptz NOT NULL DEFAULT now(),
    last_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (name, version, scope, key, position)
);

-- +goose StatementBegin
-- advance moves checkpoints, all or none: one that is not at the generation its projector read ends the transaction.
CREATE FUNCTION advance(names text[], versions int[], generations bigint[], to_position bigint, lasts uuid[],
    last_positions bigint[], of_store text, last_of_feed uuid, categories_of_feed text[], taken bigint[], newly_parked bigint[]) RETURNS void LANGUAGE plpgsql AS $$
DECLARE moved int;
BEGIN
    UPDATE projections.checkpoints c
    SET generation = c.generation + 1, position = to_position, last = u.last, last_position = u.last_position,
        store = of_store, feed_last = last_of_feed, feed_of = categories_of_feed, events = c.events + u.taken, parked = c.parked + u.newly_parked, updated_at = now()
    FROM unnest(names, versions, generations, lasts, last_positions, taken, newly_parked)
        AS u(name, version, generation, last, last_position, taken, newly_parked)
    WHERE c.name = u.name AND c.version = u.version AND c.generation = u.generation AND c.status = 'running'
        AND c.position <= to_position AND c.store IN ('', of_store);
    GET DIAGNOSTICS moved = ROW_COUNT;
    IF moved <> cardinality(names) THEN
        RAISE EXCEPTION 'checkpoint moved' USING ERRCODE = 'AN001';
    END IF;
END $$;
-- +goose StatementEnd
