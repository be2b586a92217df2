-- +goose Up
-- Registrations that the authorization server lost, until somebody acknowledges it.
CREATE TABLE lost_registration (
    site   TEXT COLLATE "C" NOT NULL,
    issuer TEXT COLLATE "C" NOT NULL,
    name   TEXT COLLATE "C" NOT NULL,
    kind   TEXT COLLATE "C" NOT NULL, -- what became of it: policies, instance
    at     BIGINT NOT NULL,
    PRIMARY KEY (site, issuer, name)
);

-- +goose Down
DROP TABLE lost_registration;
