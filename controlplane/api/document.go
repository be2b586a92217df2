package api

import (
	"cmp"
	"maps"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"
)

// DocumentPath is where the document is served.
const DocumentPath = "/v1/openapi.json"

const jsonMedia = "application/json"

// outline is the OpenAPI document before there are operations in it.
func outline(version string) *huma.OpenAPI {
	return &huma.OpenAPI{
		OpenAPI: "3.1.0",
		Info: &huma.Info{
			Title: "umagate", Version: cmp.Or(version, "unknown"),
			Description: "The control plane's own API. Errors are problems (RFC 9457): decide by code, show detail and remedy to people.",
			License:     &huma.License{Name: "Apache-2.0", Identifier: "Apache-2.0"},
		},
		Servers: []*huma.Server{{URL: "/"}},
		// huma describes a body that it does not read as octets.
		OnAddOperation: []huma.AddOpFunc{func(_ *huma.OpenAPI, o *huma.Operation) {
			if o.RequestBody != nil {
				for _, media := range o.RequestBody.Content {
					if media.Schema.Format == "binary" {
						media.Schema = &huma.Schema{Type: huma.TypeString}
					}
				}
			}
		}},
		Components: &huma.Components{
			Schemas: huma.NewMapRegistry("#/components/schemas/", huma.DefaultSchemaNamer),
			SecuritySchemes: map[string]*huma.SecurityScheme{
				"token":       {Type: "http", Scheme: "bearer", Description: "A token of api.tokens, or the local one beside the store."},
				"certificate": {Type: "mutualTLS", Description: "A certificate of api.certificates."},
			},
		},
	}
}

// describe makes what huma adds the parameters and the body to.
func (o *Operation) describe(schemas huma.Registry) huma.Operation {
	out := huma.Operation{
		OperationID: o.ID, Method: o.Method, Path: o.Path, Tags: []string{o.Tag}, Summary: o.Summary, Description: o.Description,
		DefaultStatus: o.success(), Responses: o.responses(schemas), RejectUnknownQueryParameters: true,
		Extensions: map[string]any{"x-umagate-role": string(o.Role)},
		// readBody has read the body within its bound.
		MaxBodyBytes: -1, BodyReadTimeout: -1,
	}
	if o.Role != Open {
		out.Security = []map[string][]string{{"token": {}}, {"certificate": {}}}
	}
	if o.Role == Probe { // with a credential, or without
		out.Security = append(out.Security, map[string][]string{})
	}
	if o.ETag {
		out.Parameters = []*huma.Param{{
			In: "header", Name: "If-None-Match", Schema: &huma.Schema{Type: huma.TypeString},
			Description: "answers 304 while the entity tag is the same",
		}}
	}
	return out
}

func (o *Operation) responses(schemas huma.Registry) map[string]*huma.Response {
	text := &huma.Schema{Type: huma.TypeString}
	success := &huma.Response{Description: http.StatusText(o.success()), Headers: map[string]*huma.Param{}}
	if o.Handler.out != reflect.TypeFor[None]() {
		success.Content = map[string]*huma.MediaType{o.Handler.media: {Schema: schemas.Schema(o.Handler.out, true, "")}}
	}
	if o.Handler.out.Implements(reflect.TypeFor[Located]()) {
		success.Headers["Location"] = &huma.Param{Schema: text, Description: "where it is found"}
	}
	out := map[string]*huma.Response{strconv.Itoa(o.success()): success}
	if o.ETag {
		success.Headers["ETag"] = &huma.Param{Schema: text}
		out["304"] = &huma.Response{Description: "it is the same as before"}
	}
	problem := map[string]*huma.MediaType{problemMedia: {Schema: schemas.Schema(reflect.TypeFor[Problem](), true, "")}}
	for _, code := range o.codes() {
		number, title := code.describe()
		status := strconv.Itoa(number)
		if out[status] == nil {
			out[status] = &huma.Response{Content: problem}
		}
		out[status].Description = strings.TrimPrefix(out[status].Description+"; "+string(code)+": "+title, "; ")
	}
	return out
}

// codes lists the problems that the operation can answer.
func (o *Operation) codes() []Code {
	set := map[Code]bool{CodeInternal: true, CodeMisdirected: true, CodeInvalidRequest: true}
	if o.Role != Open {
		set[CodeUnauthorized], set[CodeForbidden] = true, true
	}
	takes := func(field string) bool { _, ok := o.Handler.in.FieldByName(field); return ok }
	if strings.Contains(o.Path, "{") || takes("Paging") {
		set[CodeNotFound] = true
	}
	if takes("Body") || takes("RawBody") {
		set[CodeTooLarge], set[CodeUnsupportedMediaType] = true, true
	}
	for _, c := range o.Codes {
		set[c] = true
	}
	return slices.Sorted(maps.Keys(set))
}
