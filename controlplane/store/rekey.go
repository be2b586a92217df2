package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/gofrs/flock"

	"github.com/umagate/umagate/controlplane/audit"
	"github.com/umagate/umagate/controlplane/seal"
	"github.com/umagate/umagate/controlplane/secret"
)

// sealedColumn is a column of the schema whose values are sealed.
type sealedColumn struct {
	table, column string
	// by are the columns that tell a row; place is where the secret of that row is.
	by    []string
	place func(by []string) string
}

// sealedColumns are all that there are.
func sealedColumns() []sealedColumn {
	ofSite := []string{"site", "issuer"}
	at := func(what string) func([]string) string {
		return func(by []string) string { return place(Key{Site: by[0], Issuer: by[1]}, what) }
	}
	return []sealedColumn{
		{"client", "secret", ofSite, at("client.secret")},
		{"client", "access_token", ofSite, at("client.access_token")},
		{"pat", "value", ofSite, at("pat.value")},
		{"login", "refresh_token", ofSite, at("login.refresh_token")},
		{"client_key", "private", []string{"site", "issuer", "kid"}, func(by []string) string {
			return clientKeyPlace(Key{Site: by[0], Issuer: by[1]}, by[2])
		}},
		{"shared_secret", "value", []string{"name"}, func(by []string) string { return sharedPlace(by[0]) }},
		{"oxd_rp", "secrets", []string{"id"}, func(by []string) string { return rpPlace(by[0]) }},
		{"oxd_memo", "value", []string{"kind", "id"}, func(by []string) string { return temporaryPlace(by[0], by[1]) }},
	}
}

// RekeyOptions is what [Rekey] needs.
type RekeyOptions struct {
	// Location, Dir and Keys are those of [Open]: the store is sealed with the first of
	// the keys.
	Location secret.Text
	Dir      string
	Keys     []secret.Text
	// Now is the clock; time.Now when nil.
	Now func() time.Time
}

// Rekeyed tells what [Rekey] has done.
type Rekeyed struct {
	// Secrets counts what was sealed anew.
	Secrets int `json:"secrets"`
	// Already says that the store was sealed with that key before.
	Already bool `json:"already,omitempty"`
	// KeyFile is SQLite's key file, which has the new key, and Before where the one
	// before it is kept. Both are empty where the key is umagate.yaml's.
	KeyFile string `json:"key_file,omitempty"`
	Before  string `json:"key_before,omitempty"`
}

// Rekey seals every secret of a store with another key, in one transaction: cut off at
// any moment, all of the store is sealed with one of the two. Who has the store open and
// knows both keys goes on. A SQLite file without a key in umagate.yaml gets a new key
// file, which is read anew by who has the file open.
func Rekey(ctx context.Context, options RekeyOptions) (Rekeyed, error) {
	if options.Now == nil {
		options.Now = time.Now
	}
	path, lite := strings.CutPrefix(options.Location.Reveal(), "sqlite:")
	if lite && !filepath.IsAbs(path) {
		path = filepath.Join(options.Dir, path)
	}
	if info, err := os.Stat(path); lite && (errors.Is(err, fs.ErrNotExist) || err == nil && info.Size() == 0) {
		return Rekeyed{}, fmt.Errorf("%w: %s", ErrNoDatabase, path)
	}
	if lite && (len(options.Keys) == 0 || options.Keys[0].IsZero()) {
		return rekeyFile(ctx, path, options.Now)
	}
	s, err := Open(ctx, options.Location, options.Dir, options.Keys...)
	if err != nil {
		return Rekeyed{}, err
	}
	out, err := s.rekey(ctx, s.keys.first())
	return out, errors.Join(err, s.Close())
}

// nextKey is where the key that a SQLite file is sealed with next waits for its name.
const nextKey = ".key.next"

// rekeyFile makes a new key, seals with it, and gives it the name of the one before.
// Until then whoever opens the file reads both. Cut off, the next run goes on.
func rekeyFile(ctx context.Context, path string, now func() time.Time) (out Rekeyed, err error) {
	lock := flock.New(path+".rekey.lock", flock.SetPermissions(0o600))
	held, err := lock.TryLock()
	if err == nil && !held {
		err = errors.New("another umagate rekey is at work")
	}
	if err != nil {
		return out, fmt.Errorf("store: lock %s: %w", lock.Path(), err)
	}
	defer func() { err = errors.Join(err, lock.Close()) }()
	s, err := OpenSQLite(ctx, path)
	if err != nil {
		return out, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	key, err := seal.KeyFile(path + nextKey)
	if err != nil {
		return out, err
	}
	next, err := seal.New(key)
	if err != nil {
		return out, fmt.Errorf("%s: %w", path+nextKey, err)
	}
	if err := syncFolder(path); err != nil {
		return out, err
	}
	if out, err = s.rekey(ctx, next); err != nil {
		return out, err
	}
	out.Already = false
	out.KeyFile = path + ".key"
	if out.Before, err = keep(out.KeyFile, ".before-rekey-", now()); err != nil {
		return out, err
	}
	if err := os.Rename(path+nextKey, out.KeyFile); err != nil {
		return out, fmt.Errorf("store: name the new key: %w", err)
	}
	return out, syncFolder(path)
}

// syncFolder makes the names in the folder of a file last.
func syncFolder(path string) error {
	folder, err := os.Open(filepath.Dir(path))
	if err != nil {
		return fmt.Errorf("store: %w", err)
	}
	if err := errors.Join(folder.Sync(), folder.Close()); err != nil {
		return fmt.Errorf("store: write the folder of %s: %w", path, err)
	}
	return nil
}

// rekey seals everything with a key.
func (s *SQL) rekey(ctx context.Context, to *seal.Sealer) (out Rekeyed, err error) {
	if err := s.file.intact(); err != nil {
		return out, err
	}
	err = s.atOnce(ctx, func(ctx context.Context, tx *sql.Tx) error {
		// The rows that every write of a secret locks; other replicas read all anew.
		if _, err := tx.ExecContext(ctx, `UPDATE change SET number = number + 1 WHERE one = 1`); err != nil {
			return err
		}
		if err := lockSeal(ctx, tx, s.keys); err != nil {
			return err
		}
		if s.keys.used().Key().Equal(to.Key()) {
			out.Already = true
			return nil
		}
		for _, c := range sealedColumns() {
			n, err := c.rekey(ctx, tx, s.keys, to)
			if err != nil {
				return fmt.Errorf("%s of table %s: %w", c.column, c.table, err)
			}
			out.Secrets += n
		}
		if _, err := tx.ExecContext(ctx, `UPDATE seal SET check_value = $1 WHERE one = 1`, newCheck(to)); err != nil {
			return err
		}
		event := audit.Complete(ctx, audit.Event{Action: audit.StoreRekey, Detail: map[string]string{"secrets": fmt.Sprint(out.Secrets)}}, time.Now())
		c := s.auditColumns(&event)
		values, err := c.values()
		if err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, c.insert("audit"), values...)
		return err
	})
	if err = s.written(err); err != nil {
		return Rekeyed{}, fmt.Errorf("store: seal with another key: nothing was changed: %w", err)
	}
	return out, nil
}

// rekey seals the values of a column with another key.
func (c *sealedColumn) rekey(ctx context.Context, tx *sql.Tx, from *keyring, to *seal.Sealer) (int, error) {
	rows, err := c.read(ctx, tx)
	if err != nil {
		return 0, err
	}
	terms := make([]string, len(c.by))
	for i, name := range c.by {
		terms[i] = fmt.Sprintf("%s = $%d", quoted(name), i+2)
	}
	update, err := tx.PrepareContext(ctx, `UPDATE `+quoted(c.table)+` SET `+quoted(c.column)+` = $1 WHERE `+strings.Join(terms, " AND ")) //nolint:gosec // names of the schema's own
	if err != nil {
		return 0, err
	}
	defer func() { _ = update.Close() }()
	for _, row := range rows {
		value, err := from.open(c.place(row.by), row.sealed)
		if err != nil {
			return 0, fmt.Errorf("the row of %q: %w", row.by, err)
		}
		args := []any{to.Seal(c.place(row.by), value)}
		for _, by := range row.by {
			args = append(args, by)
		}
		if _, err := update.ExecContext(ctx, args...); err != nil {
			return 0, err
		}
	}
	return len(rows), nil
}

// sealedRow is a value of a sealed column, and what tells its row.
type sealedRow struct {
	by     []string
	sealed []byte
}

func (c *sealedColumn) read(ctx context.Context, tx *sql.Tx) (out []sealedRow, err error) {
	rows, err := tx.QueryContext(ctx, `SELECT `+quotedAll(append([]string{c.column}, c.by...))+` FROM `+quoted(c.table)+ //nolint:gosec // names of the schema's own
		` WHERE length(`+quoted(c.column)+`) > 0`)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		row := sealedRow{by: make([]string, len(c.by))}
		into := []any{&row.sealed}
		for i := range row.by {
			into = append(into, &row.by[i])
		}
		if err := rows.Scan(into...); err != nil {
			return nil, err
		}
		out = append(out, row)
	}
	return out, rows.Err()
}
