CREATE TABLE payments (
    id         text   PRIMARY KEY,
    position   bigint NOT NULL,
    events     bigint NOT NULL,
    order_id   text   NOT NULL,
    customer   text   NOT NULL,
    provider   text   NOT NULL,
    ref        text   NOT NULL,
    status     text   NOT NULL,
    pending    text   NOT NULL,
    currency   text   NOT NULL,
    amount     bigint NOT NULL,
    authorised bigint NOT NULL,
    captured   bigint NOT NULL,
    refunded   bigint NOT NULL,
    refunds    jsonb,
    code       text   NOT NULL,
    reason     text   NOT NULL,
    opened_at  timestamptz,
    updated_at timestamptz
) WITH (fillfactor = 70);

CREATE INDEX payments_by_order ON payments (order_id);
CREATE INDEX payments_by_time ON payments (opened_at, id);
CREATE INDEX payments_by_customer ON payments (customer, opened_at, id);
