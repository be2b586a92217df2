-- +goose Up
-- What the applications of oxd_rp protect. settled is 1 when the authorization
-- server has it all.
CREATE TABLE oxd_protection (
    oxd_id     TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    document   TEXT COLLATE "C" NOT NULL,
    settled    BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
);

-- +goose Down
DROP TABLE oxd_protection;
