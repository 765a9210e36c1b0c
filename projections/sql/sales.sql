CREATE TABLE sales (
    id             text   PRIMARY KEY,
    position       bigint NOT NULL,
    events         bigint NOT NULL,
    day            date   NOT NULL,
    country        text   NOT NULL,
    currency       text   NOT NULL,
    sku            text   NOT NULL,
    units          bigint NOT NULL,
    gross          bigint NOT NULL,
    units_returned bigint NOT NULL,
    returned       bigint NOT NULL,
    net            bigint NOT NULL
) WITH (fillfactor = 70);

CREATE INDEX sales_by_day ON sales (day);
CREATE INDEX sales_by_sku ON sales (sku);
