package config

import "encoding/json"

// Encode writes the document that [Parse] reads. The control plane calls it; the
// same configuration always gives the same bytes.
func Encode(c *Config) ([]byte, error) { return json.Marshal(c) }
