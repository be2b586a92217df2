-- +goose Up
ALTER TABLE client ADD COLUMN metadata      TEXT   NOT NULL DEFAULT ''; -- a hash of what was registered, '' when not known
ALTER TABLE client ADD COLUMN registered_at BIGINT NOT NULL DEFAULT 0;
ALTER TABLE client ADD COLUMN registrations BIGINT NOT NULL DEFAULT 0;  -- how many followed each other closely
ALTER TABLE client ADD COLUMN attempts      BIGINT NOT NULL DEFAULT 0;  -- whose outcome is not known
ALTER TABLE client ADD COLUMN retry_at      BIGINT NOT NULL DEFAULT 0;

CREATE TABLE client_key (
    site        TEXT   NOT NULL,
    issuer      TEXT   NOT NULL,
    kid         TEXT   NOT NULL,
    purpose     TEXT   NOT NULL, -- sig or tls
    algorithm   TEXT   NOT NULL,
    state       TEXT   NOT NULL,
    private     BLOB,            -- sealed
    certificate TEXT   NOT NULL, -- PEM; public
    created_at  BIGINT NOT NULL,
    state_at    BIGINT NOT NULL,
    PRIMARY KEY (site, issuer, kid)
);

CREATE TABLE login (
    site          TEXT   NOT NULL,
    issuer        TEXT   NOT NULL,
    client_id     TEXT   NOT NULL,
    generation    BIGINT NOT NULL, -- counts logins: a renewal of one that was replaced is not stored
    subject       TEXT   NOT NULL,
    scope         TEXT   NOT NULL,
    refresh_token BLOB,            -- sealed
    obtained_at   BIGINT NOT NULL,
    updated_at    BIGINT NOT NULL,
    ended_at      BIGINT NOT NULL, -- when the AS said that it is over; 0 for not yet
    PRIMARY KEY (site, issuer)
);

-- +goose Down
DROP TABLE login;
DROP TABLE client_key;
ALTER TABLE client DROP COLUMN retry_at;
ALTER TABLE client DROP COLUMN attempts;
ALTER TABLE client DROP COLUMN registrations;
ALTER TABLE client DROP COLUMN registered_at;
ALTER TABLE client DROP COLUMN metadata;
