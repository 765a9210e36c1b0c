-- +goose Up
-- How far the sagas' feed has come; one row.
CREATE TABLE checkpoint (
    name       text PRIMARY KEY,
    position   bigint NOT NULL,
    last       uuid NOT NULL,
    store      text NOT NULL,
    categories text[] NOT NULL
);

-- The index of sagas and their timers: a fold of the sagas' own streams. attempts, and due once the timer has rung, are
-- the only things that the events do not say; a row that is made anew begins with its first attempt.
CREATE TABLE saga (
    stream   text PRIMARY KEY, -- fulfilment-…, return-…, or cart-… for a cart that awaits its order
    kind     text NOT NULL,    -- fulfilment, return, checkout
    orderid  text NOT NULL,
    status   text NOT NULL,    -- running, compensating, stuck, completed, cancelled
    open     text NOT NULL,    -- steps whose command is not answered, with commas
    code     text NOT NULL,    -- why it is undone, or stuck
    reason   text NOT NULL,
    deadline timestamptz,      -- while it holds
    due      timestamptz,      -- when the timer rings; null: never
    attempts int NOT NULL,     -- how often the open commands were sent again
    started  timestamptz NOT NULL,
    changed  timestamptz NOT NULL,
    position bigint NOT NULL   -- of the last event folded
);
CREATE INDEX saga_due ON saga (due) WHERE due IS NOT NULL;
CREATE INDEX saga_status ON saga (status, changed) WHERE status IN ('running', 'compensating', 'stuck');
CREATE INDEX saga_order ON saga (orderid);
