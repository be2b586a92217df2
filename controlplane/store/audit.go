package store

import (
	"context"
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

func (s *SQL) auditColumns(e *audit.Event) columns {
	return columns{
		{"at", millis{&e.At}},
		{"actor_kind", &e.Actor.Kind},
		{"actor_name", &e.Actor.Name},
		{"actor_address", &e.Actor.Address},
		{"action", &e.Action},
		{"site", &e.Site},
		{"target", &e.Target},
		{"outcome", &e.Outcome},
		{"detail", encoded{&e.Detail}},
		{"request_id", &e.RequestID},
	}
}

// AddAudit adds an event to the audit log, whoever leads. It is no change that other
// replicas have to read.
func (s *SQL) AddAudit(ctx context.Context, e audit.Event) error {
	c := s.auditColumns(&e)
	values, err := c.values()
	if err != nil {
		return err
	}
	_, err = s.exec(ctx, c.insert("audit"), values...)
	return writing("an audit event", err)
}

// Audit returns events, the newest first.
func (s *SQL) Audit(ctx context.Context, f AuditFilter) ([]audit.Event, error) {
	where := []string{"id > 0"}
	var args []any
	choose := func(wanted bool, condition string, value any) {
		if wanted {
			args = append(args, value)
			where = append(where, fmt.Sprintf("%s $%d", condition, len(args)))
		}
	}
	choose(f.Site != "", "site =", f.Site)
	choose(f.Actor != "", "actor_name =", f.Actor)
	choose(f.Action != "", "action =", f.Action)
	choose(!f.Since.IsZero(), "at >=", toMillis(f.Since))
	choose(!f.Until.IsZero(), "at <", toMillis(f.Until))
	choose(f.Before != 0, "id <", f.Before)
	args = append(args, f.Limit)
	events, err := list(ctx, s, func(e *audit.Event) columns { return append(s.auditColumns(e), column{"id", &e.ID}) },
		fmt.Sprintf("FROM audit WHERE %s ORDER BY id DESC LIMIT $%d", strings.Join(where, " AND "), len(args)), args...)
	return events, reading("the audit log", err)
}

// EndAudit removes the events from before a time, which is more than a day ago: younger
// ones cannot be removed, and none can be changed.
func (s *SQL) EndAudit(ctx context.Context, before time.Time) (int64, error) {
	ended, err := s.exec(ctx, `DELETE FROM audit WHERE at < $1`, toMillis(before))
	return ended, writing("the audit log", err)
}

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
