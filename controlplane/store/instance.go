package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
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

func (s *SQL) instanceColumns(in *Instance) columns {
	return columns{
		{"name", &in.Name},
		{"template", &in.Template},
		{"vals", encoded{&in.Values}},
		{"owner", &in.Owner},
		{"state", &in.State},
		{"id", &in.ID},
		{"spec", document{&in.Spec}},
		{"failure", &in.Failure},
		{"attempts", &in.Attempts},
		{"due_at", millis{&in.DueAt}},
		{"created_at", millis{&in.CreatedAt}},
		{"updated_at", millis{&in.UpdatedAt}},
	}
}

// named returns the one column of that name.
func named(name string) func(*string) columns {
	return func(value *string) columns { return columns{{name, value}} }
}

// Instance returns one; ErrNotFound.
func (s *SQL) Instance(ctx context.Context, key Key, name string) (Instance, error) {
	in, err := one(ctx, s, s.instanceColumns, `FROM instance`+ofSite+` AND name = $3`, key.Site, key.Issuer, name)
	return in, reading(key.of("instance"), err)
}

// Instances lists by name those after a name, of a template unless it is empty.
func (s *SQL) Instances(ctx context.Context, key Key, template, after string, most int) ([]Instance, error) {
	out, err := list(ctx, s, s.instanceColumns, `FROM instance`+ofSite+` AND name > $3 AND (template = $4 OR $4 = '') ORDER BY name LIMIT $5`,
		key.Site, key.Issuer, after, template, most)
	return out, reading(key.of("instances"), err)
}

// RegisteredInstance is what is needed of one that is registered to see whether the AS has it.
type RegisteredInstance struct{ Name, Template, ID string }

// RegisteredInstances lists by name all that are registered.
func (s *SQL) RegisteredInstances(ctx context.Context, key Key) ([]RegisteredInstance, error) {
	out, err := list(ctx, s, func(in *RegisteredInstance) columns {
		return columns{{"name", &in.Name}, {"template", &in.Template}, {"id", &in.ID}}
	}, `FROM instance`+ofSite+` AND state = $3 ORDER BY name`, key.Site, key.Issuer, InstanceRegistered)
	return out, reading(key.of("instances"), err)
}

// CountInstances counts by template and state.
func (s *SQL) CountInstances(ctx context.Context, key Key) ([]InstanceCount, error) {
	out, err := list(ctx, s, func(c *InstanceCount) columns {
		return columns{{"template", &c.Template}, {"state", &c.State}, {"COUNT(*)", &c.Count}}
	}, `FROM instance`+ofSite+` GROUP BY template, state ORDER BY template, state`, key.Site, key.Issuer)
	return out, reading(key.of("instances"), err)
}

// execInstance runs a statement, and returns how many rows it changed.
func (s *SQL) execInstance(ctx context.Context, key Key, statement string, args ...any) (int64, error) {
	changed, err := s.exec(ctx, statement, append([]any{key.Site, key.Issuer}, args...)...)
	return changed, writing(key.of("instance"), err)
}

// AddInstance adds one unless there is one of that name, which it then gives.
func (s *SQL) AddInstance(ctx context.Context, key Key, in Instance) (have Instance, added bool, err error) {
	c := append(siteColumns(&key), s.instanceColumns(&in)...)
	values, err := c.values()
	if err != nil {
		return Instance{}, false, writing(key.of("instance"), err)
	}
	n, err := s.exec(ctx, c.insert("instance")+` ON CONFLICT (site, issuer, name) DO NOTHING`, values...)
	if err != nil || n > 0 {
		return in, err == nil, writing(key.of("instance"), err)
	}
	have, err = s.Instance(ctx, key, in.Name)
	return have, false, err
}

// PutInstance replaces one that has that state still. When it has another, only an id
// that it lacks is kept of in, and done is false.
func (s *SQL) PutInstance(ctx context.Context, key Key, in Instance, from InstanceState) (done bool, err error) {
	n, err := s.execInstance(ctx, key, `UPDATE instance SET owner = $5, state = $6, id = $7, spec = $8, failure = $9, attempts = $10,
		due_at = $11, updated_at = $12 WHERE site = $1 AND issuer = $2 AND name = $3 AND state = $4`,
		in.Name, from, in.Owner, in.State, in.ID, string(in.Spec), in.Failure, in.Attempts, toMillis(in.DueAt), toMillis(in.UpdatedAt))
	if err != nil || n > 0 || in.ID == "" {
		return n > 0, err
	}
	_, err = s.execInstance(ctx, key, `UPDATE instance SET id = $4 WHERE site = $1 AND issuer = $2 AND name = $3 AND id = ''`, in.Name, in.ID)
	return false, err
}

// RemoveInstance gives one that is not there for removal the state of one that is;
// ErrNotFound. One that is pending may be under way: whoever is at it has until the due
// time.
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

// DeleteInstance forgets one that has that state still. Like RemoveInstance, it notes the
// end of a registration for Removals.
func (s *SQL) DeleteInstance(ctx context.Context, key Key, name string, from InstanceState) error {
	const forget = `DELETE FROM instance WHERE site = $1 AND issuer = $2 AND name = $3 AND state = $4`
	if from == InstanceRegistered {
		return s.removing(ctx, key, name, time.Now(), forget, from)
	}
	_, err := s.execInstance(ctx, key, forget, name, from)
	return err
}

// ReopenInstance has one that is registered, and that the AS lost, registered again: it is
// pending, without the id it had. Like RemoveInstance, it notes the end of a registration
// for Removals. Whoever calls it is at it until the due time.
func (s *SQL) ReopenInstance(ctx context.Context, key Key, name string, now, due time.Time) (Instance, error) {
	err := s.removing(ctx, key, name, now, `UPDATE instance SET state = $4, id = '', attempts = 0, failure = '', updated_at = $5, due_at = $6
		WHERE site = $1 AND issuer = $2 AND name = $3 AND state = $7`,
		InstancePending, toMillis(now), toMillis(due), InstanceRegistered)
	if err != nil {
		return Instance{}, err
	}
	return s.Instance(ctx, key, name)
}

// FailedInstances lists those of which the AS did not do what was asked when it was asked
// last, the oldest first, and how many there are.
func (s *SQL) FailedInstances(ctx context.Context, key Key, most int) (first []Instance, count int, err error) {
	const failed = `FROM instance` + ofSite + ` AND state <> $3 AND failure <> ''`
	first, err = list(ctx, s, s.instanceColumns, failed+` ORDER BY created_at, name LIMIT $4`, key.Site, key.Issuer, InstanceRegistered, most)
	if err != nil || len(first) < most {
		return first, len(first), reading(key.of("instances"), err)
	}
	count, err = one(ctx, s, func(n *int) columns { return columns{{"COUNT(*)", n}} }, failed, key.Site, key.Issuer, InstanceRegistered)
	return first, count, reading(key.of("instances"), err)
}

// DueInstances lists the names of those that are due, those due first in front.
func (s *SQL) DueInstances(ctx context.Context, key Key, now time.Time, most int) ([]string, error) {
	out, err := list(ctx, s, named("name"), `FROM instance`+ofSite+` AND due_at <= $3 ORDER BY due_at LIMIT $4`,
		key.Site, key.Issuer, toMillis(now), most)
	return out, reading(key.of("instances"), err)
}

// RecheckInstance makes one that is registered due now.
func (s *SQL) RecheckInstance(ctx context.Context, key Key, name string, now time.Time) error {
	_, err := s.execInstance(ctx, key, `UPDATE instance SET due_at = $4 WHERE site = $1 AND issuer = $2 AND name = $3 AND state = $5 AND due_at > $4`,
		name, toMillis(now), InstanceRegistered)
	return err
}

// HastenInstances makes due what failed, is not as asked yet and is not due before after,
// but for the names of except.
func (s *SQL) HastenInstances(ctx context.Context, key Key, now, after time.Time, except []string) error {
	var statement strings.Builder
	statement.WriteString(`UPDATE instance SET due_at = $3 WHERE site = $1 AND issuer = $2 AND due_at > $4 AND state <> $5 AND failure <> ''`)
	args := []any{toMillis(now), toMillis(after), InstanceRegistered}
	for _, name := range except {
		args = append(args, name)
		fmt.Fprintf(&statement, ` AND name <> $%d`, len(args)+2)
	}
	_, err := s.execInstance(ctx, key, statement.String(), args...)
	return err
}

// ClaimInstance moves the due time of one that is due, and reports whether it was.
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

func sharedPlace(name string) string { return "shared_secret " + name }

// SharedSecret returns the secret of a name, and makes it of fresh where there is none yet.
func (s *SQL) SharedSecret(ctx context.Context, name string, fresh secret.Text) (secret.Text, error) {
	bind := func(value *secret.Text) columns {
		return columns{{"value", sealed{s.keys, func() string { return sharedPlace(name) }, value}}}
	}
	const find = `FROM shared_secret WHERE name = $1`
	what := "the shared secret " + name
	value, err := one(ctx, s, bind, find, name)
	if !errors.Is(err, sql.ErrNoRows) {
		return value, reading(what, err)
	}
	err = s.quietly(ctx, func(ctx context.Context, tx *sql.Tx) error {
		c := append(columns{{"name", &name}}, bind(&fresh)...)
		values, err := c.values()
		if err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, c.insert("shared_secret")+` ON CONFLICT (name) DO NOTHING`, values...)
		return err
	})
	if err != nil {
		return secret.Text{}, writing(what, err)
	}
	value, err = one(ctx, s, bind, find, name)
	return value, reading(what, err)
}
