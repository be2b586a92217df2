package v1alpha1

import (
	"encoding/json"
	"slices"
)

// Document is a JSON object as the API server has it. Package site decodes it.
type Document []byte

// UnmarshalJSON implements [json.Unmarshaler].
func (d *Document) UnmarshalJSON(text []byte) error {
	*d = slices.Clone(text)
	return nil
}

// MarshalJSON implements [json.Marshaler].
func (d Document) MarshalJSON() ([]byte, error) {
	if len(d) == 0 {
		return []byte("{}"), nil
	}
	return d, nil
}

// spec has the keys of a ProtectedAPISpec that are no site's.
type spec ProtectedAPISpec

// UnmarshalJSON implements [json.Unmarshaler].
func (s *ProtectedAPISpec) UnmarshalJSON(text []byte) error {
	var own spec
	if err := json.Unmarshal(text, &own); err != nil {
		return err
	}
	keys := map[string]json.RawMessage{}
	if err := json.Unmarshal(text, &keys); err != nil {
		return err
	}
	delete(keys, "authorizationServerRef")
	delete(keys, "targetRefs")
	rest, err := json.Marshal(keys)
	if err != nil {
		return err
	}
	own.Site = rest
	*s = ProtectedAPISpec(own)
	return nil
}

// MarshalJSON implements [json.Marshaler].
func (s ProtectedAPISpec) MarshalJSON() ([]byte, error) {
	keys := map[string]json.RawMessage{}
	if len(s.Site) > 0 {
		if err := json.Unmarshal(s.Site, &keys); err != nil {
			return nil, err
		}
	}
	own, err := json.Marshal(spec(s))
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(own, &keys); err != nil {
		return nil, err
	}
	return json.Marshal(keys)
}
