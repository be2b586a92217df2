package protection

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Document is the resources that an application protects. Its JSON form is that
// of uma_rs_protect's "resources".
type Document []Resource

// Resource is one path.
type Resource struct {
	Path       string      `json:"path"`
	Conditions []Condition `json:"conditions"`
}

// Condition is what a token needs for some methods of a path.
type Condition struct {
	Methods []string `json:"httpMethods"`
	// Scopes: one of them is enough.
	Scopes []string `json:"scopes,omitempty"`
	// TicketScopes are asked for in a permission ticket, instead of Scopes.
	TicketScopes []string `json:"ticketScopes,omitempty"`
	// Expression must hold. With Scopes beside it, both must.
	Expression *Expression `json:"scope_expression,omitempty"`
}

// Expression is a scope_expression: a JsonLogic rule over indexes into Data.
type Expression struct {
	Rule json.RawMessage `json:"rule"`
	Data []string        `json:"data"`
}

var errExpressionForm = errors.New("a scope_expression is an object with rule and data, and nothing else")

// UnmarshalJSON takes the object, and the text of one: later clients send it so.
// What is no expression is kept as one that no rule is in, for Validate to refuse
// in its turn.
func (e *Expression) UnmarshalJSON(raw []byte) error {
	if raw = bytes.TrimSpace(raw); len(raw) > 0 && raw[0] == '"' {
		var text string
		if err := json.Unmarshal(raw, &text); err != nil {
			return errExpressionForm
		}
		raw = []byte(text)
	}
	var form struct {
		Rule json.RawMessage `json:"rule"`
		Data []string        `json:"data"`
	}
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&form); err != nil || decoder.More() {
		*e = Expression{}
		return nil
	}
	e.Rule, e.Data = form.Rule, form.Data
	return nil
}

// Name is what the resource of a condition is called at the authorization server,
// as oxd called it.
func (c Condition) Name(path string) string {
	return "[" + strings.Join(c.Methods, ", ") + "] " + path
}

// Parse reads the stored form of a document.
func Parse(raw json.RawMessage) (Document, error) {
	var d Document
	if err := json.Unmarshal(raw, &d); err != nil {
		return nil, fmt.Errorf("oxd: stored resources: %w", err)
	}
	return d, nil
}

// Encode returns the form to be stored.
func (d Document) Encode() (json.RawMessage, error) {
	raw, err := json.Marshal(d)
	if err != nil {
		return nil, fmt.Errorf("oxd: encode resources: %w", err)
	}
	return raw, nil
}

// Find returns the condition that an application names by path and method, both
// compared without case, as oxd did. It is the document's own, to be changed.
func (d Document) Find(path, method string) (*Condition, bool) {
	for i := range d {
		if !strings.EqualFold(d[i].Path, path) {
			continue
		}
		for j := range d[i].Conditions {
			c := &d[i].Conditions[j]
			if slices.ContainsFunc(c.Methods, func(m string) bool { return strings.EqualFold(m, method) }) {
				return c, true
			}
		}
	}
	return nil, false
}
