-- +goose Up
-- Which sites have a resource_id is asked before each write of one.
CREATE INDEX resource_id ON resource (issuer, id);
CREATE INDEX instance_id ON instance (issuer, id);

-- +goose Down
DROP INDEX instance_id;
DROP INDEX resource_id;
