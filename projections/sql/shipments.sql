CREATE TABLE shipments (
    id           text   PRIMARY KEY,
    position     bigint NOT NULL,
    events       bigint NOT NULL,
    order_id     text   NOT NULL,
    customer     text   NOT NULL,
    carrier      text   NOT NULL,
    country      text   NOT NULL,
    ref          text   NOT NULL,
    status       text   NOT NULL,
    tracking     text   NOT NULL,
    name         jsonb, -- sealed
    address      jsonb, -- sealed
    lines        jsonb,
    code         text   NOT NULL,
    reason       text   NOT NULL,
    requested_at timestamptz,
    updated_at   timestamptz
) WITH (fillfactor = 70);

CREATE INDEX shipments_by_order ON shipments (order_id);
CREATE INDEX shipments_by_time ON shipments (requested_at, id);
