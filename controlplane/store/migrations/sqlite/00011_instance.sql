-- +goose Up
-- The instances of resources whose name has variables, each registered by itself.
-- Every replica writes; a state is changed only from the one that was read.
CREATE TABLE instance (
    site       TEXT   NOT NULL,
    issuer     TEXT   NOT NULL,
    name       TEXT   NOT NULL, -- as registered at the AS
    template   TEXT   NOT NULL, -- as declared
    vals       TEXT   NOT NULL, -- of the variables, a JSON array
    owner      TEXT   NOT NULL,
    state      TEXT   NOT NULL,
    id         TEXT   NOT NULL,
    spec       TEXT   NOT NULL,
    failure    TEXT   NOT NULL,
    attempts   BIGINT NOT NULL,
    due_at     BIGINT NOT NULL, -- when something has to be done about it; until then whoever set it does
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    PRIMARY KEY (site, issuer, name)
);
CREATE INDEX instance_due ON instance (site, issuer, due_at);

-- What replicas share, by name; sealed.
CREATE TABLE shared_secret (
    name  TEXT NOT NULL PRIMARY KEY,
    value BLOB NOT NULL
);

-- +goose Down
DROP TABLE shared_secret;
DROP TABLE instance;
