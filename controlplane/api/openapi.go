package api

import (
	"cmp"
	"fmt"
	"maps"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// DocumentPath is where the document is served.
const DocumentPath = "/v1/openapi.json"

// object is a JSON object of the document.
type object = map[string]any

// document makes the OpenAPI 3.1 document of operations.
func document(version string, operations []*operation) (object, error) {
	s := newSchemas()
	problem, err := s.of(reflect.TypeFor[Problem]())
	if err != nil {
		return nil, err
	}
	paths := object{}
	for _, o := range operations {
		described, err := o.describe(s, problem)
		if err != nil {
			return nil, fmt.Errorf("operation %s: %w", o.ID, err)
		}
		item, ok := paths[o.Path].(object)
		if !ok {
			item = object{}
			paths[o.Path] = item
		}
		item[strings.ToLower(o.Method)] = described
	}
	return object{
		"openapi": "3.1.0",
		"info": object{
			"title": "umagate", "version": cmp.Or(version, "unknown"),
			"description": "The control plane's own API. Errors are problems (RFC 9457): decide by code, show detail and remedy to people.",
			"license":     object{"name": "Apache-2.0", "identifier": "Apache-2.0"},
		},
		"servers": []any{object{"url": "/"}},
		"paths":   paths,
		"components": object{
			"schemas": s.components,
			"securitySchemes": object{
				"token":       object{"type": "http", "scheme": "bearer", "description": "A token of api.tokens, or the local one beside the store."},
				"certificate": object{"type": "mutualTLS", "description": "A certificate of api.certificates."},
			},
		},
	}, nil
}

// describe makes the Operation Object.
func (o *operation) describe(s *schemas, problem any) (object, error) {
	out := object{
		"operationId": o.ID, "summary": o.Summary, "tags": []string{o.Tag},
		"x-umagate-role": string(o.Role),
	}
	if o.Description != "" {
		out["description"] = o.Description
	}
	switch o.Role {
	case Open:
		out["security"] = []any{}
	case Probe: // with a credential, or without
		out["security"] = []any{object{}, object{"token": []string{}}, object{"certificate": []string{}}}
	default:
		out["security"] = []any{object{"token": []string{}}, object{"certificate": []string{}}}
	}
	parameters, err := o.describeParameters(s)
	if err != nil {
		return nil, err
	}
	if len(parameters) > 0 {
		out["parameters"] = parameters
	}
	if o.input.body != nil {
		schema, err := s.of(o.input.bodyType)
		if err != nil {
			return nil, err
		}
		out["requestBody"] = object{"required": true, "content": object{cmp.Or(o.input.bodyMedia, "application/json"): object{"schema": schema}}}
	}
	responses, err := o.describeResponses(s, problem)
	if err != nil {
		return nil, err
	}
	out["responses"] = responses
	return out, nil
}

func (o *operation) describeParameters(s *schemas) ([]any, error) {
	var out []any
	for i := range o.input.parameters {
		p := &o.input.parameters[i]
		schema, err := s.parameter(p.field)
		if err != nil {
			return nil, err
		}
		described := object{"in": p.in, "name": p.name, "required": p.required, "schema": schema}
		if text := p.field.Tag.Get("doc"); text != "" {
			described["description"] = text
		}
		out = append(out, described)
	}
	if o.ETag {
		out = append(out, object{
			"in": inHeader, "name": "If-None-Match", "required": false, "schema": object{"type": "string"},
			"description": "answers 304 while the entity tag is the same",
		})
	}
	return out, nil
}

func (o *operation) describeResponses(s *schemas, problem any) (object, error) {
	success := object{"description": http.StatusText(o.success())}
	if o.Handler.out != reflect.TypeFor[None]() {
		schema, err := s.of(o.Handler.out)
		if err != nil {
			return nil, err
		}
		success["content"] = object{cmp.Or(o.Handler.media, "application/json"): object{"schema": schema}}
	}
	if o.Handler.out.Implements(reflect.TypeFor[Located]()) {
		success["headers"] = object{"Location": object{"schema": object{"type": "string"}, "description": "where it is found"}}
	}
	out := object{strconv.Itoa(o.success()): success}
	if o.ETag {
		success["headers"] = object{"ETag": object{"schema": object{"type": "string"}}}
		out["304"] = object{"description": "it is the same as before"}
	}
	words := map[int][]string{}
	for _, code := range o.codes() {
		status, title := code.describe()
		words[status] = append(words[status], string(code)+": "+title)
	}
	for status, lines := range words {
		out[strconv.Itoa(status)] = object{
			"description": strings.Join(lines, "; "),
			"content":     object{problemMedia: object{"schema": problem}},
		}
	}
	return out, nil
}

// codes lists the problems that the operation can answer.
func (o *operation) codes() []Code {
	set := map[Code]bool{CodeInternal: true, CodeMisdirected: true, CodeInvalidRequest: true}
	switch o.Role {
	case Open:
	case Read, Write, Probe:
		set[CodeUnauthorized], set[CodeForbidden] = true, true
	}
	paged := slices.ContainsFunc(o.input.parameters, func(p parameter) bool { return p.name == "cursor" })
	if strings.Contains(o.Path, "{") || paged {
		set[CodeNotFound] = true
	}
	if o.input.body != nil {
		set[CodeTooLarge], set[CodeUnsupportedMediaType] = true, true
	}
	for _, c := range o.Codes {
		set[c] = true
	}
	return slices.Sorted(maps.Keys(set))
}
