-- +goose Up
-- Tokens that every Envoy refuses.
CREATE TABLE revocation (
    id            TEXT   NOT NULL PRIMARY KEY, -- the same for the same site, kind and digest
    site          TEXT   NOT NULL,             -- '' for every site
    kind          TEXT   NOT NULL,
    digest        BLOB   NOT NULL,             -- SHA-256 of what is revoked; a token is nowhere else
    value         TEXT   NOT NULL,             -- what is revoked, '' for a token
    issued_before BIGINT NOT NULL,             -- 0 for whenever issued
    source        TEXT   NOT NULL,
    created_at    BIGINT NOT NULL,
    expires_at    BIGINT NOT NULL
);
CREATE INDEX revocation_expires ON revocation (expires_at);

-- Signed messages that were taken, so that none is taken twice.
CREATE TABLE revocation_message (
    id         TEXT   NOT NULL PRIMARY KEY,
    expires_at BIGINT NOT NULL
);
CREATE INDEX revocation_message_expires ON revocation_message (expires_at);

-- +goose Down
DROP TABLE revocation_message;
DROP TABLE revocation;
