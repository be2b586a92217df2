package store

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/umagate/umagate/controlplane/audit"
)

// AuditFilter chooses events. Zero fields choose all.
type AuditFilter struct {
	Site, Actor string
	Action      audit.Action
	// Since and Until bound the time, Until not included.
	Since, Until time.Time
	// Before chooses events with smaller ids: those of the page after.
	Before int64
	// Limit is how many are wanted at most; it is needed.
	Limit int
}

// AddAudit implements [Store]. It is no change that other replicas have to read.
func (s *SQL) AddAudit(ctx context.Context, e audit.Event) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	detail, err := json.Marshal(e.Detail)
	if err != nil {
		return fmt.Errorf("store: encode an audit event: %w", err)
	}
	_, err = s.db.ExecContext(ctx, `INSERT INTO audit
		(at, actor_kind, actor_name, actor_address, action, site, target, outcome, detail, request_id)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)`,
		toMillis(e.At), e.Actor.Kind, e.Actor.Name, e.Actor.Address, e.Action, e.Site, e.Target, e.Outcome, string(detail), e.RequestID)
	if err != nil {
		return fmt.Errorf("store: write an audit event: %w", err)
	}
	return nil
}

// Audit implements [Store].
func (s *SQL) Audit(ctx context.Context, f AuditFilter) ([]audit.Event, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	var where []string
	var args []any
	choose := func(condition string, value any) {
		args = append(args, value)
		where = append(where, fmt.Sprintf(condition, len(args)))
	}
	if f.Site != "" {
		choose("site = $%d", f.Site)
	}
	if f.Actor != "" {
		choose("actor_name = $%d", f.Actor)
	}
	if f.Action != "" {
		choose("action = $%d", f.Action)
	}
	if !f.Since.IsZero() {
		choose("at >= $%d", toMillis(f.Since))
	}
	if !f.Until.IsZero() {
		choose("at < $%d", toMillis(f.Until))
	}
	if f.Before != 0 {
		choose("id < $%d", f.Before)
	}
	query := `SELECT id, at, actor_kind, actor_name, actor_address, action, site, target, outcome, detail, request_id FROM audit`
	if len(where) > 0 {
		query += " WHERE " + strings.Join(where, " AND ")
	}
	args = append(args, f.Limit)
	rows, err := s.db.QueryContext(ctx, query+fmt.Sprintf(" ORDER BY id DESC LIMIT $%d", len(args)), args...)
	if err != nil {
		return nil, reading("the audit log", Key{}, err)
	}
	defer func() { _ = rows.Close() }()
	var out []audit.Event
	for rows.Next() {
		var e audit.Event
		var at int64
		var detail string
		if err := rows.Scan(&e.ID, &at, &e.Actor.Kind, &e.Actor.Name, &e.Actor.Address, &e.Action, &e.Site, &e.Target, &e.Outcome, &detail, &e.RequestID); err != nil {
			return nil, reading("the audit log", Key{}, err)
		}
		if err := json.Unmarshal([]byte(detail), &e.Detail); err != nil {
			return nil, reading("the audit log", Key{}, err)
		}
		e.At = fromMillis(at)
		out = append(out, e)
	}
	return out, reading("the audit log", Key{}, rows.Err())
}

// EndAudit implements [Store].
func (s *SQL) EndAudit(ctx context.Context, before time.Time) (int64, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	result, err := s.db.ExecContext(ctx, `DELETE FROM audit WHERE at < $1`, toMillis(before))
	if err != nil {
		return 0, fmt.Errorf("store: end old audit events: %w", err)
	}
	return result.RowsAffected()
}

// AddAudit does nothing.
func (Frozen) AddAudit(context.Context, audit.Event) error { return nil }

// Audit implements [Store].
func (f Frozen) Audit(ctx context.Context, filter AuditFilter) ([]audit.Event, error) {
	if f.From == nil {
		return nil, nil
	}
	return f.From.Audit(ctx, filter)
}

// EndAudit does nothing.
func (Frozen) EndAudit(context.Context, time.Time) (int64, error) { return 0, nil }

// Recorder keeps audit events in a store. It is safe for concurrent use.
type Recorder struct {
	Store interface {
		AddAudit(ctx context.Context, e audit.Event) error
	}
	Logger *slog.Logger
}

var _ audit.Recorder = Recorder{}

// Record implements [audit.Recorder]. An event that cannot be kept is at least in
// the log.
func (r Recorder) Record(ctx context.Context, e audit.Event) {
	e = audit.Complete(ctx, e, time.Now())
	if err := r.Store.AddAudit(context.WithoutCancel(ctx), e); err != nil {
		r.Logger.Error("audit event not stored",
			slog.String("action", string(e.Action)), slog.String("site", e.Site), slog.String("target", e.Target), slog.String("outcome", string(e.Outcome)),
			slog.String("actor", string(e.Actor.Kind)+" "+e.Actor.Name), slog.String("request_id", e.RequestID), slog.Any("error", err))
	}
}
