-- +goose Up
CREATE TABLE audit (
    id            BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at            BIGINT NOT NULL,
    actor_kind    TEXT COLLATE "C" NOT NULL,
    actor_name    TEXT COLLATE "C" NOT NULL,
    actor_address TEXT COLLATE "C" NOT NULL,
    action        TEXT COLLATE "C" NOT NULL,
    site          TEXT COLLATE "C" NOT NULL,
    target        TEXT COLLATE "C" NOT NULL,
    outcome       TEXT COLLATE "C" NOT NULL,
    detail        TEXT COLLATE "C" NOT NULL,
    request_id    TEXT COLLATE "C" NOT NULL
);
CREATE INDEX audit_at ON audit (at);

-- Events are added, and old ones end by retention: nothing else.
-- +goose StatementBegin
CREATE FUNCTION audit_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' THEN
        RAISE EXCEPTION 'the audit log is never changed';
    ELSIF OLD.at > (extract(epoch FROM now()) - 86400) * 1000 THEN
        RAISE EXCEPTION 'the audit log of the last day is kept';
    END IF;
    RETURN OLD;
END;
$$;
-- +goose StatementEnd
CREATE TRIGGER audit_guard BEFORE UPDATE OR DELETE ON audit FOR EACH ROW EXECUTE FUNCTION audit_guard();

-- +goose Down
DROP TABLE audit;
DROP FUNCTION audit_guard;
