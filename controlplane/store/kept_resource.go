package store

import (
	"context"
	"encoding/json"
	"time"
)

// KeptResources is what a site's AS keeps of paths, as it was read last.
type KeptResources struct {
	// Reading is the JSON form of kept.Reading.
	Reading json.RawMessage
	ReadAt  time.Time
}

func (k *KeptResources) columns() columns {
	return columns{{"reading", document{&k.Reading}}, {"read_at", millis{&k.ReadAt}}}
}

// KeptResources returns what was read last; ErrNotFound before the first time.
func (s *SQL) KeptResources(ctx context.Context, key Key) (KeptResources, error) {
	k, err := one(ctx, s, (*KeptResources).columns, `FROM kept_resource`+ofSite, key.Site, key.Issuer)
	return k, reading(key.of("kept resources"), err)
}

// PutKeptResources writes or replaces it.
func (s *SQL) PutKeptResources(ctx context.Context, key Key, k KeptResources) error {
	return s.put(ctx, key, "kept_resource", 2, k.columns())
}
