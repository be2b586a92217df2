-- +goose Up
CREATE TABLE discovery (
    site     TEXT   NOT NULL,
    issuer   TEXT   NOT NULL,
    metadata TEXT   NOT NULL,
    found_at BIGINT NOT NULL, -- milliseconds since 1970, as every time here
    PRIMARY KEY (site, issuer)
);

CREATE TABLE client (
    site              TEXT   NOT NULL,
    issuer            TEXT   NOT NULL,
    state             TEXT   NOT NULL,
    name              TEXT   NOT NULL,
    client_id         TEXT   NOT NULL,
    secret            BLOB,            -- sealed
    secret_expires_at BIGINT NOT NULL, -- 0 for never
    auth_method       TEXT   NOT NULL,
    access_token      BLOB,            -- sealed
    uri               TEXT   NOT NULL,
    updated_at        BIGINT NOT NULL,
    PRIMARY KEY (site, issuer)
);

CREATE TABLE pat (
    site       TEXT   NOT NULL,
    issuer     TEXT   NOT NULL,
    client_id  TEXT   NOT NULL,
    value      BLOB,                   -- sealed
    issued_at  BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    PRIMARY KEY (site, issuer)
);

CREATE TABLE resource (
    site       TEXT   NOT NULL,
    issuer     TEXT   NOT NULL,
    name       TEXT   NOT NULL,
    state      TEXT   NOT NULL,
    id         TEXT   NOT NULL,
    spec       TEXT   NOT NULL,
    updated_at BIGINT NOT NULL,
    PRIMARY KEY (site, issuer, name)
);

-- Only so that another key is noticed when the store is opened.
CREATE TABLE seal (
    one   INTEGER PRIMARY KEY CHECK (one = 1),
    check_value BLOB NOT NULL
);

-- +goose Down
DROP TABLE seal;
DROP TABLE resource;
DROP TABLE pat;
DROP TABLE client;
DROP TABLE discovery;
