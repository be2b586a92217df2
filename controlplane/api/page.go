package api

import (
	"encoding/base64"
	"slices"
	"strings"
)

const (
	defaultLimit = 100
	maxLimit     = 1000
)

// Paging is embedded in the input of an operation that lists.
type Paging struct {
	Limit  int    `query:"limit" minimum:"1" maximum:"1000" default:"100" doc:"how many to answer at most"`
	Cursor string `query:"cursor" maxLength:"1024" pattern:"^[A-Za-z0-9_-]*$" doc:"next_cursor of the page before"`
}

// Page is a part of a list, in an order that does not change between calls.
type Page[T any] struct {
	Items []T `json:"items"`
	// NextCursor is empty on the last page.
	NextCursor string `json:"next_cursor,omitempty"`
}

// After is what the page begins after, as [NextAfter] gave it; empty for the first.
func (p Paging) After() (string, error) {
	if p.Cursor == "" {
		return "", nil
	}
	after, err := base64.RawURLEncoding.Strict().DecodeString(p.Cursor)
	if err != nil || len(after) == 0 {
		return "", NoPage(p.Cursor)
	}
	return string(after), nil
}

// NoPage says that a cursor is none that was given out.
func NoPage(cursor string) *Problem { return NotFound("page", cursor) }

// Size is how many items to answer at most.
func (p Paging) Size() int {
	if p.Limit < 1 {
		return defaultLimit
	}
	return min(p.Limit, maxLimit)
}

// NextAfter is the cursor of the page that begins after key.
func NextAfter(key string) string { return base64.RawURLEncoding.EncodeToString([]byte(key)) }

// Paginate takes one page of a list that is sorted by a key which is unique. An
// item that is added or removed meanwhile makes no other appear twice or be left out.
func Paginate[T any](p Paging, sorted []T, key func(T) string) (Page[T], error) {
	after, err := p.After()
	if err != nil {
		return Page[T]{}, err
	}
	from := 0
	if after != "" {
		var found bool
		from, found = slices.BinarySearchFunc(sorted, after, func(item T, after string) int { return strings.Compare(key(item), after) })
		if found {
			from++
		}
	}
	rest := sorted[from:]
	if len(rest) <= p.Size() {
		return Page[T]{Items: append(make([]T, 0, len(rest)), rest...)}, nil
	}
	items := rest[:p.Size()]
	return Page[T]{Items: items, NextCursor: NextAfter(key(items[len(items)-1]))}, nil
}
