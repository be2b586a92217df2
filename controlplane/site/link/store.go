package link

import (
	"context"
	"path/filepath"
	"strings"

	"github.com/umagate/umagate/controlplane/secret"
	"github.com/umagate/umagate/controlplane/site"
	"github.com/umagate/umagate/controlplane/store"
)

// OpenStore opens the store that the file read from path names, and makes it
// where there is none. Close it when done.
func OpenStore(ctx context.Context, path string, file *site.File) (*store.SQL, error) {
	return store.Open(ctx, secret.New(file.Store.Reveal()), filepath.Dir(path), file.StoreKey)
}

// ReadStore opens the same store for reading only. store.ErrNoDatabase: there is
// none yet.
func ReadStore(ctx context.Context, path string, file *site.File) (*store.SQL, error) {
	return store.Read(ctx, secret.New(file.Store.Reveal()), filepath.Dir(path), file.StoreKey)
}

// LocalToken is the file with the token that this machine's commands call the API
// with; empty where the file read from path wants none.
func LocalToken(path string, file *site.File) string {
	name, folder := file.API.LocalToken, filepath.Dir(path)
	location, isSQLite := strings.CutPrefix(file.Store.Reveal(), "sqlite:")
	switch {
	case name == "off":
		return ""
	case name != "":
	case isSQLite:
		name = location + ".token"
	default:
		name = filepath.Base(path) + ".token"
	}
	if !filepath.IsAbs(name) {
		name = filepath.Join(folder, name)
	}
	return name
}
