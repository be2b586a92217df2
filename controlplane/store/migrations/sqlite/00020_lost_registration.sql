-- +goose Up
-- Registrations that the authorization server lost, until somebody acknowledges it.
CREATE TABLE lost_registration (
    site   TEXT NOT NULL,
    issuer TEXT NOT NULL,
    name   TEXT NOT NULL,
    kind   TEXT NOT NULL, -- what became of it: policies, instance
    at     BIGINT NOT NULL,
    PRIMARY KEY (site, issuer, name)
);

-- +goose Down
DROP TABLE lost_registration;
