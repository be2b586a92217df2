package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/umagate/umagate/controlplane/secret"
)

// InstanceState says how far the registration of an instance has come.
type InstanceState string

// The states of an instance.
const (
	// InstancePending: it was asked for, and the AS may or may not have it.
	InstancePending InstanceState = "pending"
	// InstanceRegistered: it has an id at the AS.
	InstanceRegistered InstanceState = "registered"
	// InstanceRemoving: its end was asked for, and the AS may or may not have it.
	InstanceRemoving InstanceState = "removing"
)

// Instance is the registration of one instance of a resource whose name has
// variables.
type Instance struct {
	// Name is the one at the AS, Template the declared one, and Values those of its
	// variables.
	Name     string
	Template string
	Values   []string
	// Owner is the subject it belongs to; empty for the resource server itself.
	Owner string
	State InstanceState
	// ID is the resource_id; empty while it is not known.
	ID string
	// Spec is what was registered, in the form that package instance gives it.
	Spec json.RawMessage
	// Failure is why the last of Attempts had no success.
	Failure  string
	Attempts int
	// DueAt is when something has to be done about it. Who does it moves it first,
	// so that nobody else does too.
	DueAt                time.Time
	CreatedAt, UpdatedAt time.Time
}

// InstanceCount is how many instances of a template have a state.
type InstanceCount struct {
	Template string
	State    InstanceState
	Count    int
}

// Instances keeps the instances of resources. Every replica writes, also one that
// does not lead. [Store.Changes] tells only of registrations that have ended, since
// nothing else that is published follows from it. Otherwise as [Store].
type Instances interface {
	// Instance gives one; ErrNotFound.
	Instance(ctx context.Context, key Key, name string) (Instance, error)
	// Instances lists by name those after a name, of a template unless it is empty.
	Instances(ctx context.Context, key Key, template, after string, most int) ([]Instance, error)
	// CountInstances counts by template and state.
	CountInstances(ctx context.Context, key Key) ([]InstanceCount, error)
	// AddInstance adds one unless there is one of that name, which it then gives.
	AddInstance(ctx context.Context, key Key, in Instance) (have Instance, added bool, err error)
	// PutInstance replaces one that has that state still. When it has another, only
	// an id that it lacks is kept of in, and done is false.
	PutInstance(ctx context.Context, key Key, in Instance, from InstanceState) (done bool, err error)
	// RemoveInstance gives one that is not there for removal the state of one that
	// is; ErrNotFound.
	RemoveInstance(ctx context.Context, key Key, name string, now time.Time) (Instance, error)
	// DeleteInstance forgets one that has that state still. Like RemoveInstance, it
	// notes the end of a registration for Removals.
	DeleteInstance(ctx context.Context, key Key, name string, from InstanceState) error
	// DueInstances lists the names of those that are due, those due first in front.
	DueInstances(ctx context.Context, key Key, now time.Time, most int) ([]string, error)
	// ClaimInstance moves the due time of one that is due, and says whether it was.
	ClaimInstance(ctx context.Context, key Key, name string, now, until time.Time) (Instance, bool, error)
	// Removals lists the registrations that have ended, the last one last: the newest
	// 500 at least, where there are as many. earlier is how many more there were.
	// [Store.Changes] tells of another.
	Removals(ctx context.Context) (list []Removal, earlier int64, err error)
	// SharedSecret gives the secret of a name, and makes it of fresh where there is
	// none yet.
	SharedSecret(ctx context.Context, name string, fresh secret.Text) (secret.Text, error)
}

var _ Instances = (*SQL)(nil)

const instanceColumns = `name, template, vals, owner, state, id, spec, failure, attempts, due_at, created_at, updated_at`

func scanInstance(scan func(...any) error) (Instance, error) {
	var in Instance
	var values, spec string
	var due, created, updated int64
	if err := scan(&in.Name, &in.Template, &values, &in.Owner, &in.State, &in.ID, &spec, &in.Failure, &in.Attempts, &due, &created, &updated); err != nil {
		return Instance{}, err
	}
	if err := json.Unmarshal([]byte(values), &in.Values); err != nil {
		return Instance{}, fmt.Errorf("the values of %q: %w", in.Name, err)
	}
	in.Spec = json.RawMessage(spec)
	in.DueAt, in.CreatedAt, in.UpdatedAt = fromMillis(due), fromMillis(created), fromMillis(updated)
	return in, nil
}

// Instance implements [Instances].
func (s *SQL) Instance(ctx context.Context, key Key, name string) (Instance, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	in, err := scanInstance(s.db.QueryRowContext(ctx, `SELECT `+instanceColumns+` FROM instance
		WHERE site = $1 AND issuer = $2 AND name = $3`, key.Site, key.Issuer, name).Scan)
	return in, reading("instance", key, err)
}

// Instances implements [Instances].
func (s *SQL) Instances(ctx context.Context, key Key, template, after string, most int) ([]Instance, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	rows, err := s.db.QueryContext(ctx, `SELECT `+instanceColumns+` FROM instance
		WHERE site = $1 AND issuer = $2 AND name > $3 AND (template = $4 OR $4 = '') ORDER BY name LIMIT $5`,
		key.Site, key.Issuer, after, template, most)
	if err != nil {
		return nil, reading("instances", key, err)
	}
	defer func() { _ = rows.Close() }()
	out := []Instance{}
	for rows.Next() {
		in, err := scanInstance(rows.Scan)
		if err != nil {
			return nil, reading("instances", key, err)
		}
		out = append(out, in)
	}
	return out, reading("instances", key, rows.Err())
}

// CountInstances implements [Instances].
func (s *SQL) CountInstances(ctx context.Context, key Key) ([]InstanceCount, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	rows, err := s.db.QueryContext(ctx, `SELECT template, state, COUNT(*) FROM instance
		WHERE site = $1 AND issuer = $2 GROUP BY template, state ORDER BY template, state`, key.Site, key.Issuer)
	if err != nil {
		return nil, reading("instances", key, err)
	}
	defer func() { _ = rows.Close() }()
	var out []InstanceCount
	for rows.Next() {
		var c InstanceCount
		if err := rows.Scan(&c.Template, &c.State, &c.Count); err != nil {
			return nil, reading("instances", key, err)
		}
		out = append(out, c)
	}
	return out, reading("instances", key, rows.Err())
}

// execInstance runs a statement, and gives how many rows it changed.
func (s *SQL) execInstance(ctx context.Context, key Key, statement string, args ...any) (int64, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	done, err := s.db.ExecContext(ctx, statement, append([]any{key.Site, key.Issuer}, args...)...)
	if err != nil {
		return 0, writing("instance", key, err)
	}
	n, err := done.RowsAffected()
	return n, writing("instance", key, err)
}

// AddInstance implements [Instances].
func (s *SQL) AddInstance(ctx context.Context, key Key, in Instance) (Instance, bool, error) {
	values, err := json.Marshal(in.Values)
	if err != nil {
		return Instance{}, false, writing("instance", key, err)
	}
	n, err := s.execInstance(ctx, key, `INSERT INTO instance (site, issuer, `+instanceColumns+`)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14) ON CONFLICT (site, issuer, name) DO NOTHING`,
		in.Name, in.Template, string(values), in.Owner, in.State, in.ID, string(in.Spec), in.Failure, in.Attempts,
		toMillis(in.DueAt), toMillis(in.CreatedAt), toMillis(in.UpdatedAt))
	if err != nil || n > 0 {
		return in, err == nil, err
	}
	have, err := s.Instance(ctx, key, in.Name)
	return have, false, err
}

// PutInstance implements [Instances].
func (s *SQL) PutInstance(ctx context.Context, key Key, in Instance, from InstanceState) (bool, error) {
	n, err := s.execInstance(ctx, key, `UPDATE instance SET owner = $5, state = $6, id = $7, spec = $8, failure = $9, attempts = $10,
		due_at = $11, updated_at = $12 WHERE site = $1 AND issuer = $2 AND name = $3 AND state = $4`,
		in.Name, from, in.Owner, in.State, in.ID, string(in.Spec), in.Failure, in.Attempts, toMillis(in.DueAt), toMillis(in.UpdatedAt))
	if err != nil || n > 0 || in.ID == "" {
		return n > 0, err
	}
	_, err = s.execInstance(ctx, key, `UPDATE instance SET id = $4 WHERE site = $1 AND issuer = $2 AND name = $3 AND id = ''`, in.Name, in.ID)
	return false, err
}

// RemoveInstance implements [Instances]. One that is pending may be under way:
// whoever is at it has until the due time.
func (s *SQL) RemoveInstance(ctx context.Context, key Key, name string, now time.Time) (Instance, error) {
	err := s.removing(ctx, key, name, now, `UPDATE instance SET state = $4, attempts = 0, failure = '', updated_at = $5,
		due_at = CASE WHEN state = $6 THEN due_at ELSE $5 END
		WHERE site = $1 AND issuer = $2 AND name = $3 AND state <> $4`,
		InstanceRemoving, toMillis(now), InstancePending)
	if err != nil {
		return Instance{}, err
	}
	return s.Instance(ctx, key, name)
}

// DeleteInstance implements [Instances].
func (s *SQL) DeleteInstance(ctx context.Context, key Key, name string, from InstanceState) error {
	const forget = `DELETE FROM instance WHERE site = $1 AND issuer = $2 AND name = $3 AND state = $4`
	if from == InstanceRegistered {
		return s.removing(ctx, key, name, time.Now(), forget, from)
	}
	_, err := s.execInstance(ctx, key, forget, name, from)
	return err
}

// DueInstances implements [Instances].
func (s *SQL) DueInstances(ctx context.Context, key Key, now time.Time, most int) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	rows, err := s.db.QueryContext(ctx, `SELECT name FROM instance WHERE site = $1 AND issuer = $2 AND due_at <= $3 ORDER BY due_at LIMIT $4`,
		key.Site, key.Issuer, toMillis(now), most)
	if err != nil {
		return nil, reading("instances", key, err)
	}
	defer func() { _ = rows.Close() }()
	var out []string
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			return nil, reading("instances", key, err)
		}
		out = append(out, name)
	}
	return out, reading("instances", key, rows.Err())
}

// ClaimInstance implements [Instances].
func (s *SQL) ClaimInstance(ctx context.Context, key Key, name string, now, until time.Time) (Instance, bool, error) {
	n, err := s.execInstance(ctx, key, `UPDATE instance SET due_at = $5 WHERE site = $1 AND issuer = $2 AND name = $3 AND due_at <= $4`,
		name, toMillis(now), toMillis(until))
	if err != nil || n == 0 {
		return Instance{}, false, err
	}
	in, err := s.Instance(ctx, key, name)
	if errors.Is(err, ErrNotFound) {
		return Instance{}, false, nil // deleted since
	}
	return in, err == nil, err
}

// SharedSecret implements [Instances].
func (s *SQL) SharedSecret(ctx context.Context, name string, fresh secret.Text) (secret.Text, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	place := "shared_secret " + name
	read := func() (secret.Text, error) {
		var sealed []byte
		if err := s.db.QueryRowContext(ctx, `SELECT value FROM shared_secret WHERE name = $1`, name).Scan(&sealed); err != nil {
			return secret.Text{}, fmt.Errorf("store: read the shared secret %s: %w", name, err)
		}
		return s.sealer.open(place, sealed)
	}
	value, err := read()
	if !errors.Is(err, sql.ErrNoRows) {
		return value, err
	}
	sealed, err := s.sealer.seal(place, fresh)
	if err != nil {
		return secret.Text{}, err
	}
	if _, err := s.db.ExecContext(ctx, `INSERT INTO shared_secret (name, value) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING`, name, sealed); err != nil {
		return secret.Text{}, fmt.Errorf("store: write the shared secret %s: %w", name, err)
	}
	return read()
}
