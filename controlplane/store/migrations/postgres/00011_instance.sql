-- +goose Up
-- The instances of resources whose name has variables, each registered by itself.
-- Every replica writes; a state is changed only from the one that was read.
CREATE TABLE instance (
    site       TEXT COLLATE "C" NOT NULL,
    issuer     TEXT COLLATE "C" NOT NULL,
    name       TEXT COLLATE "C" NOT NULL, -- as registered at the AS
    template   TEXT COLLATE "C" NOT NULL, -- as declared
    vals       TEXT COLLATE "C" NOT NULL, -- of the variables, a JSON array
    owner      TEXT COLLATE "C" NOT NULL,
    state      TEXT COLLATE "C" NOT NULL,
    id         TEXT COLLATE "C" NOT NULL,
    spec       TEXT COLLATE "C" NOT NULL,
    failure    TEXT COLLATE "C" NOT NULL,
    attempts   BIGINT NOT NULL,
    due_at     BIGINT NOT NULL, -- when something has to be done about it; until then whoever set it does
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    PRIMARY KEY (site, issuer, name)
);
CREATE INDEX instance_due ON instance (site, issuer, due_at);

-- What replicas share, by name; sealed.
CREATE TABLE shared_secret (
    name  TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    value BYTEA NOT NULL
);

-- +goose Down
DROP TABLE shared_secret;
DROP TABLE instance;
