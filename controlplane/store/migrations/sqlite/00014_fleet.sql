-- +goose Up
-- Who leads, for the other replicas to tell.
CREATE TABLE leader (
    one   INTEGER PRIMARY KEY CHECK (one = 1),
    name  TEXT   NOT NULL,
    since BIGINT NOT NULL
);

-- The hosts that a site has guarded, so that none is opened by taking a site out.
CREATE TABLE guarded_host (
    host TEXT NOT NULL PRIMARY KEY,
    site TEXT NOT NULL
);

-- +goose Down
DROP TABLE guarded_host;
DROP TABLE leader;
