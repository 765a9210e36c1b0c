CREATE TABLE orders (
    id               text   PRIMARY KEY,
    position         bigint NOT NULL,
    events           bigint NOT NULL,
    number           text   NOT NULL,
    customer         text   NOT NULL,
    guest            boolean NOT NULL,
    status           text   NOT NULL,
    priority         text   NOT NULL,
    country          text   NOT NULL,
    channel          text   NOT NULL,
    language         text   NOT NULL,
    carrier          text   NOT NULL,
    provider         text   NOT NULL,
    cart             text   NOT NULL,
    reference        text   NOT NULL,
    currency         text   NOT NULL,
    total            bigint NOT NULL,
    lines            jsonb,
    skus             text[] NOT NULL,
    timeline         jsonb,
    name             jsonb, -- sealed, like e-mail and address
    email            jsonb,
    address          jsonb,
    payment          text   NOT NULL,
    payment_status   text   NOT NULL,
    captured         bigint NOT NULL,
    refunded         bigint NOT NULL,
    shipment         text   NOT NULL,
    shipment_status  text   NOT NULL,
    tracking         text   NOT NULL,
    returned         bigint NOT NULL,
    cancel_requested boolean NOT NULL,
    cancel_code      text   NOT NULL,
    cancel_reason    text   NOT NULL,
    placed_at        timestamptz,
    updated_at       timestamptz
) WITH (fillfactor = 60); -- rows are written several times: room for updates that touch no index

CREATE INDEX orders_by_time ON orders (placed_at, id);
CREATE INDEX orders_by_customer ON orders (customer, placed_at, id);
CREATE INDEX orders_by_status ON orders (status, placed_at, id);
CREATE INDEX orders_by_number ON orders (number);
CREATE INDEX orders_by_reference ON orders (reference) WHERE reference <> '';
CREATE INDEX orders_by_sku ON orders USING gin (skus) WITH (fastupdate = on);
