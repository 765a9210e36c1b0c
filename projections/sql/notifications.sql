CREATE TABLE notifications (
    id           text   PRIMARY KEY,
    position     bigint NOT NULL,
    events       bigint NOT NULL,
    order_id     text   NOT NULL,
    customer     text   NOT NULL,
    channel      text   NOT NULL,
    template     text   NOT NULL,
    language     text   NOT NULL,
    recipient    jsonb, -- sealed
    data         jsonb,
    status       text   NOT NULL,
    message_id   text   NOT NULL,
    code         text   NOT NULL,
    reason       text   NOT NULL,
    requested_at timestamptz,
    updated_at   timestamptz
) WITH (fillfactor = 70);

CREATE INDEX notifications_by_order ON notifications (order_id) WHERE order_id <> '';
CREATE INDEX notifications_by_customer ON notifications (customer, requested_at, id);
CREATE INDEX notifications_by_time ON notifications (requested_at, id);
