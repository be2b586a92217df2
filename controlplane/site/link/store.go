package link

import (
	"context"
	"path/filepath"

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
