-- +goose Up
CREATE TABLE audit (
    id            INTEGER PRIMARY KEY AUTOINCREMENT,
    at            BIGINT  NOT NULL,
    actor_kind    TEXT    NOT NULL,
    actor_name    TEXT    NOT NULL,
    actor_address TEXT    NOT NULL,
    action        TEXT    NOT NULL,
    site          TEXT    NOT NULL,
    target        TEXT    NOT NULL,
    outcome       TEXT    NOT NULL,
    detail        TEXT    NOT NULL,
    request_id    TEXT    NOT NULL
);
CREATE INDEX audit_at ON audit (at);

-- Events are added, and old ones end by retention: nothing else.
-- +goose StatementBegin
CREATE TRIGGER audit_is_never_changed BEFORE UPDATE ON audit
BEGIN
    SELECT RAISE(ABORT, 'the audit log is never changed');
END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER audit_is_kept_a_day BEFORE DELETE ON audit WHEN OLD.at > (CAST(strftime('%s', 'now') AS INTEGER) - 86400) * 1000
BEGIN
    SELECT RAISE(ABORT, 'the audit log of the last day is kept');
END;
-- +goose StatementEnd

-- +goose Down
DROP TABLE audit;
