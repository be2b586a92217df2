-- +goose Up
-- What each of the replicas that share the store tells the others of itself. beat grows
-- as long as it runs.
CREATE TABLE replica (
    id   TEXT NOT NULL PRIMARY KEY,
    beat BIGINT NOT NULL,
    said TEXT NOT NULL -- JSON
);

-- +goose Down
DROP TABLE replica;
