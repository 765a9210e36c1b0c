CREATE TABLE carts (
    id         text   PRIMARY KEY,
    position   bigint NOT NULL,
    events     bigint NOT NULL,
    customer   text   NOT NULL,
    status     text   NOT NULL,
    currency   text   NOT NULL,
    items      jsonb,
    order_id   text   NOT NULL,
    total      bigint NOT NULL,
    opened_at  timestamptz,
    updated_at timestamptz
) WITH (fillfactor = 60);

CREATE INDEX carts_by_customer ON carts (customer, opened_at, id);
