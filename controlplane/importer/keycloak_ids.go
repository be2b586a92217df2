package importer

import "fmt"

// identify gives the resources the ids of the list that Keycloak's administration API has
// of them: since some version its export leaves them out. A name that the list has twice
// (another owner's, too) tells no id.
func (k *keycloakResources) identify(path string) error {
	if path == "" {
		return nil
	}
	data, err := ReadSource(path)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrSource, err)
	}
	document, err := readDocument(path, data)
	switch {
	case err != nil:
		return fmt.Errorf("%w: %s: %w", ErrSource, path, err)
	case document.root.kind != isList:
		return fmt.Errorf("%w: %s: it is %s, not the list of resources that Keycloak's administration API has", ErrSource, path, document.root.kind)
	}
	ids, times := map[string]string{}, map[string]int{}
	for _, one := range document.root.items {
		of := members{of: one}
		if one.kind != isObject {
			return fmt.Errorf("%w: %s: %s: the list has %s, not an object", ErrSource, path, one.at(), one.kind)
		}
		of.once()
		name, id := of.text("name"), of.text("_id")
		if of.err != nil {
			return fmt.Errorf("%s: %w", path, of.err)
		}
		ids[name], times[name] = id, times[name]+1
	}
	for i := range k.list {
		if r := &k.list[i]; r.id == "" && times[r.name] == 1 {
			r.id = ids[r.name]
		}
	}
	return nil
}
