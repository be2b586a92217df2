package server

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"log/slog"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/umagate/umagate/controlplane/audit"
	"github.com/umagate/umagate/controlplane/site"
)

// auditEvery is how often old audit events are ended.
const auditEvery = time.Hour

// endAudit ends events that are older than the file says, while this replica
// leads, until ctx ends.
func (s *controlPlane) endAudit(ctx context.Context) {
	ticker := time.NewTicker(auditEvery)
	defer ticker.Stop()
	began := time.Now()
	for {
		if file, _ := s.current(); s.leads() {
			ended, err := s.store.EndAudit(ctx, untouched(began, time.Now()).Add(-file.API.AuditRetention))
			switch {
			case err != nil && ctx.Err() == nil:
				s.options.Logger.Warn("old audit events not ended; they stay until the next time", slog.Any("error", err))
			case ended > 0:
				s.options.Logger.Info("old audit events ended", slog.Int64("events", ended))
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// untouched is the time now, of a process that began at a time, or what it would be if
// nobody had put the host's clock ahead meanwhile: what is ended by it does not come back.
func untouched(began, now time.Time) time.Time {
	steady := began.Round(0).Add(now.Sub(began)) // by the clock that nobody touches
	if wall := now.Round(0); wall.Before(steady) {
		return wall
	}
	return steady
}

// difference says in a few words what another file changes; before is nil at the
// start.
func difference(before, after *site.File) map[string]string {
	out := map[string]string{"sites": strconv.Itoa(len(after.Sites))}
	if before == nil {
		return out
	}
	var added, removed, changed []string
	for i := range after.Sites {
		next := &after.Sites[i]
		old, ok := before.Site(next.Name)
		if !ok {
			added = append(added, next.Name)
		} else if keys := differing(reflect.ValueOf(*old), reflect.ValueOf(*next)); len(keys) > 0 {
			changed = append(changed, next.Name+" ("+strings.Join(keys, ", ")+")")
		}
	}
	for i := range before.Sites {
		if _, ok := after.Site(before.Sites[i].Name); !ok {
			removed = append(removed, before.Sites[i].Name)
		}
	}
	var keys []string
	for _, key := range differing(reflect.ValueOf(*before), reflect.ValueOf(*after)) {
		if key != "sites" {
			keys = append(keys, key)
		}
	}
	for name, list := range map[string][]string{"added": added, "removed": removed, "changed": changed, "keys": keys} {
		if len(list) > 0 {
			out[name] = audit.Shorten(strings.Join(list, ", "))
		}
	}
	return out
}

// differing lists the keys whose values differ, never the values.
func differing(a, b reflect.Value) []string {
	var out []string
	for i := range a.NumField() {
		key := a.Type().Field(i).Tag.Get("yaml")
		if key != "" && key != "-" && !reflect.DeepEqual(a.Field(i).Interface(), b.Field(i).Interface()) {
			out = append(out, key)
		}
	}
	return out
}

func sumText(sum [sha256.Size]byte) string { return hex.EncodeToString(sum[:]) }
