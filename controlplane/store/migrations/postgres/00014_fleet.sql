-- +goose Up
-- Who leads, for the other replicas to tell.
CREATE TABLE leader (
    one   INTEGER PRIMARY KEY CHECK (one = 1),
    name  TEXT COLLATE "C" NOT NULL,
    since BIGINT NOT NULL
);

-- The hosts that a site has guarded, so that none is opened by taking a site out.
CREATE TABLE guarded_host (
    host TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    site TEXT COLLATE "C" NOT NULL
);

-- Every write counts in change, whoever makes it: replicas that listen need not ask.
-- +goose StatementBegin
CREATE FUNCTION change_notify() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('umagate_' || TG_TABLE_SCHEMA, '');
    RETURN NULL;
END;
$$;
-- +goose StatementEnd
CREATE TRIGGER change_notify AFTER INSERT OR UPDATE ON change FOR EACH ROW EXECUTE FUNCTION change_notify();

-- +goose Down
DROP TRIGGER change_notify ON change;
DROP FUNCTION change_notify;
DROP TABLE guarded_host;
DROP TABLE leader;
