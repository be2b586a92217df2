package link

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/umagate/umagate/controlplane/site"
	"github.com/umagate/umagate/controlplane/store"
)

// OpenStore opens the store that the file read from path names, and makes it
// where there is none. Close it when done.
func OpenStore(ctx context.Context, path string, file *site.File) (*store.SQL, error) {
	name, err := sqlitePath(path, file)
	if err != nil {
		return nil, err
	}
	return store.OpenSQLite(ctx, name, file.StoreKey)
}

// ReadStore opens the same store for reading only. store.ErrNoDatabase: there is
// none yet.
func ReadStore(ctx context.Context, path string, file *site.File) (*store.SQL, error) {
	name, err := sqlitePath(path, file)
	if err != nil {
		return nil, err
	}
	return store.ReadSQLite(ctx, name, file.StoreKey)
}

// sqlitePath is the database's file. A relative path starts beside umagate.yaml.
func sqlitePath(path string, file *site.File) (string, error) {
	name, ok := strings.CutPrefix(file.Store.Reveal(), "sqlite:")
	if !ok {
		return "", fmt.Errorf("store %s: only sqlite:PATH is built in yet", file.Store)
	}
	if !filepath.IsAbs(name) {
		name = filepath.Join(filepath.Dir(path), name)
	}
	return name, nil
}
