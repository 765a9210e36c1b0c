-- +goose Up

-- One row for each key. A row without a key is a tombstone: the key was destroyed, and there will never be another.
CREATE TABLE keys (
    subject    text        NOT NULL,
    purpose    text        NOT NULL,
    version    integer     NOT NULL CHECK (version >= 1),
    wrapped    bytea,
    created_at timestamptz NOT NULL DEFAULT now(),
    erased_at  timestamptz,
    PRIMARY KEY (subject, purpose, version),
    CHECK ((wrapped IS NULL) = (erased_at IS NOT NULL))
);

-- Keys of the installation itself: of the blind index, of MACs that concern no person.
CREATE TABLE installation (
    name    text  PRIMARY KEY,
    wrapped bytea NOT NULL
);

-- What a person can be found by: a keyed hash of the normalised value, the current one only.
CREATE TABLE blind_index (
    subject text  NOT NULL,
    field   text  NOT NULL,
    mac     bytea NOT NULL,
    PRIMARY KEY (subject, field)
);
CREATE INDEX blind_index_by_mac ON blind_index (mac, field);
