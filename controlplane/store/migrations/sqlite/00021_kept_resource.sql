-- +goose Up
-- What a site's authorization server keeps of paths, as it was read last.
CREATE TABLE kept_resource (
    site    TEXT NOT NULL,
    issuer  TEXT NOT NULL,
    reading TEXT NOT NULL, -- JSON: resources, and what is withdrawn
    read_at BIGINT NOT NULL,
    PRIMARY KEY (site, issuer)
);

-- +goose Down
DROP TABLE kept_resource;
