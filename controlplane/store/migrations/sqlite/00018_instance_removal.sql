-- +goose Up
-- Registrations of instances that have ended, for Envoys that may still remember
-- them. The last one stays, so that seq ascends; of those before, no more than are told.
CREATE TABLE instance_removal (
    seq        BIGINT NOT NULL PRIMARY KEY,
    site       TEXT   NOT NULL,
    name       TEXT   NOT NULL,
    id         TEXT   NOT NULL, -- that it had at the AS
    removed_at BIGINT NOT NULL
);

-- +goose Down
DROP TABLE instance_removal;
