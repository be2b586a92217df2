-- +goose Up
-- Relying parties of the oxd protocol.
CREATE TABLE oxd_rp (
    id         TEXT   NOT NULL PRIMARY KEY, -- the oxd_id
    client_id  TEXT   NOT NULL,
    issuer     TEXT   NOT NULL,
    setup      BIGINT NOT NULL, -- 1 for a setup client
    record     TEXT   NOT NULL,
    secrets    BLOB,            -- sealed
    version    BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
);
CREATE INDEX oxd_rp_client ON oxd_rp (issuer, client_id);

-- What is remembered for a while: logins under way, whose token one is.
CREATE TABLE oxd_memo (
    kind       TEXT   NOT NULL,
    id         TEXT   NOT NULL,
    oxd_id     TEXT   NOT NULL,
    value      BLOB,            -- sealed
    expires_at BIGINT NOT NULL,
    PRIMARY KEY (kind, id)
);
CREATE INDEX oxd_memo_expires ON oxd_memo (expires_at);
CREATE INDEX oxd_memo_rp ON oxd_memo (oxd_id);

-- +goose Down
DROP TABLE oxd_memo;
DROP TABLE oxd_rp;
