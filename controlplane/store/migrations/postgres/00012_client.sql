-- +goose Up
ALTER TABLE client ADD COLUMN metadata      TEXT COLLATE "C" NOT NULL DEFAULT ''; -- a hash of what was registered, '' when not known
ALTER TABLE client ADD COLUMN registered_at BIGINT NOT NULL DEFAULT 0;
ALTER TABLE client ADD COLUMN registrations BIGINT NOT NULL DEFAULT 0;  -- how many followed each other closely
ALTER TABLE client ADD COLUMN attempts      BIGINT NOT NULL DEFAULT 0;  -- whose outcome is not known
ALTER TABLE client ADD COLUMN retry_at      BIGINT NOT NULL DEFAULT 0;

CREATE TABLE client_key (
    site        TEXT COLLATE "C" NOT NULL,
    issuer      TEXT COLLATE "C" NOT NULL,
    kid         TEXT COLLATE "C" NOT NULL,
    purpose     TEXT COLLATE "C" NOT NULL, -- sig or tls
    algorithm   TEXT COLLATE "C" NOT NULL,
    state       TEXT COLLATE "C" NOT NULL,
    private     BYTEA,           -- sealed
    certificate TEXT COLLATE "C" NOT NULL, -- PEM; public
    created_at  BIGINT NOT NULL,
    state_at    BIGINT NOT NULL,
    PRIMARY KEY (site, issuer, kid)
);

CREATE TABLE login (
    site          TEXT COLLATE "C" NOT NULL,
    issuer        TEXT COLLATE "C" NOT NULL,
    client_id     TEXT COLLATE "C" NOT NULL,
    generation    BIGINT NOT NULL, -- counts logins: a renewal of one that was replaced is not stored
    subject       TEXT COLLATE "C" NOT NULL,
    scope         TEXT COLLATE "C" NOT NULL,
    refresh_token BYTEA,           -- sealed
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
