package uma_test

import "encoding/json"

// naivelyActive reads an answer with the standard library.
func naivelyActive(body []byte) bool {
	var members map[string]json.RawMessage
	if json.Unmarshal(body, &members) != nil {
		return false
	}
	return string(members["active"]) == "true"
}
