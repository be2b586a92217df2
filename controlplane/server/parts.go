package server

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"reflect"

	"github.com/umagate/umagate/controlplane/site"
)

// partBytes is how much of a digest is told: it tells files apart that were not made to
// look alike.
const partBytes = 8

// ofOneReplica reports whether a key of umagate.yaml is for each replica to say.
func ofOneReplica(key string) bool {
	switch key {
	case "listen", "telemetry", "store", "store_key", "store_key_previous":
		return true
	}
	return false
}

// partsOf has a digest of each part of a file that replicas have to have alike, by key,
// and of each site. Secrets are not in it, nor anything that could be guessed of them.
func partsOf(file *site.File) (map[string]string, error) {
	out := map[string]string{}
	add := func(key string, value any) error {
		text, err := json.Marshal(value)
		if err != nil {
			return fmt.Errorf("%s of umagate.yaml: %w", key, err)
		}
		sum := sha256.Sum256(text)
		out[key] = hex.EncodeToString(sum[:partBytes])
		return nil
	}
	v := reflect.ValueOf(file).Elem()
	for i := range v.NumField() {
		key := v.Type().Field(i).Tag.Get("yaml")
		value := v.Field(i)
		switch {
		case key == "" || key == "-" || ofOneReplica(key) || key == "sites":
			continue
		case key == "oxd" && file.OXD != nil: // it listens, too
			value = reflect.ValueOf(file.OXD.Sites)
		}
		if err := add(key, value.Interface()); err != nil {
			return nil, err
		}
	}
	for i := range file.Sites {
		if err := add("sites."+file.Sites[i].Name, file.Sites[i]); err != nil {
			return nil, err
		}
	}
	return out, nil
}
