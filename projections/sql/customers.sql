CREATE TABLE customers (
    id            text   PRIMARY KEY,
    position      bigint NOT NULL,
    events        bigint NOT NULL,
    name          jsonb, -- sealed, like e-mail and phone
    email         jsonb,
    phone         jsonb,
    country       text   NOT NULL,
    language      text   NOT NULL,
    reference     text   NOT NULL,
    tier          text   NOT NULL,
    mail          boolean NOT NULL,
    sms           boolean NOT NULL,
    push          boolean NOT NULL,
    addresses     jsonb,
    registered_at timestamptz,
    updated_at    timestamptz
);

CREATE INDEX customers_by_reference ON customers (reference) WHERE reference <> '';
