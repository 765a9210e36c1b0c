CREATE TABLE products (
    id          text   PRIMARY KEY,
    position    bigint NOT NULL,
    events      bigint NOT NULL,
    name        text   NOT NULL,
    description text   NOT NULL,
    currency    text   NOT NULL,
    price       bigint NOT NULL,
    on_sale     boolean NOT NULL,
    reason      text   NOT NULL,
    created_at  timestamptz,
    updated_at  timestamptz
);
