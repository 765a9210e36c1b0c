CREATE TABLE stock (
    id          text   PRIMARY KEY,
    position    bigint NOT NULL,
    events      bigint NOT NULL,
    on_hand     bigint NOT NULL,
    reserved    bigint NOT NULL,
    available   bigint NOT NULL,
    threshold   bigint NOT NULL,
    low         boolean NOT NULL,
    received    bigint NOT NULL,
    shipped     bigint NOT NULL,
    returned    bigint NOT NULL,
    counted     bigint NOT NULL,
    written_off bigint NOT NULL,
    updated_at  timestamptz
) WITH (fillfactor = 60);

CREATE INDEX stock_low ON stock (id) WHERE low;
