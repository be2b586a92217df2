-- +goose Up
-- Relying parties of the oxd protocol.
CREATE TABLE oxd_rp (
    id         TEXT COLLATE "C" NOT NULL PRIMARY KEY, -- the oxd_id
    client_id  TEXT COLLATE "C" NOT NULL,
    issuer     TEXT COLLATE "C" NOT NULL,
    setup      BIGINT NOT NULL, -- 1 for a setup client
    record     TEXT COLLATE "C" NOT NULL,
    secrets    BYTEA,           -- sealed
    version    BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
);
CREATE INDEX oxd_rp_client ON oxd_rp (issuer, client_id);

-- What is remembered for a while: logins under way, whose token one is.
CREATE TABLE oxd_memo (
    kind       TEXT COLLATE "C" NOT NULL,
    id         TEXT COLLATE "C" NOT NULL,
    oxd_id     TEXT COLLATE "C" NOT NULL,
    value      BYTEA,           -- sealed
    expires_at BIGINT NOT NULL,
    PRIMARY KEY (kind, id)
);
CREATE INDEX oxd_memo_expires ON oxd_memo (expires_at);
CREATE INDEX oxd_memo_rp ON oxd_memo (oxd_id);

-- +goose Down
DROP TABLE oxd_memo;
DROP TABLE oxd_rp;
