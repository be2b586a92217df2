-- +goose Up
CREATE TABLE discovery (
    site     TEXT COLLATE "C" NOT NULL,
    issuer   TEXT COLLATE "C" NOT NULL,
    metadata TEXT COLLATE "C" NOT NULL,
    found_at BIGINT NOT NULL, -- milliseconds since 1970, as every time here
    PRIMARY KEY (site, issuer)
);

CREATE TABLE client (
    site              TEXT COLLATE "C" NOT NULL,
    issuer            TEXT COLLATE "C" NOT NULL,
    state             TEXT COLLATE "C" NOT NULL,
    name              TEXT COLLATE "C" NOT NULL,
    client_id         TEXT COLLATE "C" NOT NULL,
    secret            BYTEA,            -- sealed
    secret_expires_at BIGINT NOT NULL, -- 0 for never
    auth_method       TEXT COLLATE "C" NOT NULL,
    access_token      BYTEA,            -- sealed
    uri               TEXT COLLATE "C" NOT NULL,
    updated_at        BIGINT NOT NULL,
    PRIMARY KEY (site, issuer)
);

CREATE TABLE pat (
    site       TEXT COLLATE "C" NOT NULL,
    issuer     TEXT COLLATE "C" NOT NULL,
    client_id  TEXT COLLATE "C" NOT NULL,
    value      BYTEA,                   -- sealed
    issued_at  BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    PRIMARY KEY (site, issuer)
);

CREATE TABLE resource (
    site       TEXT COLLATE "C" NOT NULL,
    issuer     TEXT COLLATE "C" NOT NULL,
    name       TEXT COLLATE "C" NOT NULL,
    state      TEXT COLLATE "C" NOT NULL,
    id         TEXT COLLATE "C" NOT NULL,
    spec       TEXT COLLATE "C" NOT NULL,
    updated_at BIGINT NOT NULL,
    PRIMARY KEY (site, issuer, name)
);

-- Only so that another key is noticed when the store is opened.
CREATE TABLE seal (
    one   INTEGER PRIMARY KEY CHECK (one = 1),
    check_value BYTEA NOT NULL
);

-- +goose Down
DROP TABLE seal;
DROP TABLE resource;
DROP TABLE pat;
DROP TABLE client;
DROP TABLE discovery;
