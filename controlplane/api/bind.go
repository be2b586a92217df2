package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	jsonschema "github.com/santhosh-tekuri/jsonschema/v6"
)

// The places of parameters.
const (
	inPath   = "path"
	inQuery  = "query"
	inHeader = "header"
	inBody   = "body"
)

// parameter is a field of an input that comes from outside the body.
type parameter struct {
	in, name string
	index    []int
	field    reflect.StructField
	required bool
	fallback string
	schema   *jsonschema.Schema
}

// input is an operation's input, taken apart once.
type input struct {
	typ        reflect.Type
	parameters []parameter
	body       []int // nil without one
	bodyType   reflect.Type
	bodyMedia  string // not JSON: the body is taken as it is
	bodySchema *jsonschema.Schema
}

// inputOf takes a type apart, and refuses what cannot be bound.
func inputOf(t reflect.Type) (input, error) {
	in := input{typ: t}
	if t.Kind() != reflect.Struct {
		return in, fmt.Errorf("the input %s is not a struct", t)
	}
	return in, in.collect(t, nil)
}

func (in *input) collect(t reflect.Type, index []int) error {
	for f := range t.Fields() {
		at := append(slices.Clone(index), f.Index...)
		if media, ok := f.Tag.Lookup("body"); ok {
			in.body, in.bodyType = at, f.Type
			if media != "json" {
				in.bodyMedia = media
			}
			if in.bodyMedia != "" && f.Type.Kind() != reflect.String {
				return fmt.Errorf("field %s of %s: a body that is not JSON is a text", f.Name, t)
			}
			continue
		}
		if p, ok := parameterOf(f, at); ok {
			switch {
			case f.Type == reflect.TypeFor[time.Time]():
			case f.Type.Kind() == reflect.String, f.Type.Kind() == reflect.Int, f.Type.Kind() == reflect.Bool:
			default:
				return fmt.Errorf("field %s of %s: parameters are texts, numbers, true or false, or times", f.Name, t)
			}
			in.parameters = append(in.parameters, p)
			continue
		}
		if f.Anonymous && f.Type.Kind() == reflect.Struct {
			if err := in.collect(f.Type, at); err != nil {
				return err
			}
			continue
		}
		return fmt.Errorf("field %s of %s has none of the tags path, query, header and body", f.Name, t)
	}
	return nil
}

func parameterOf(f reflect.StructField, index []int) (parameter, bool) {
	for _, in := range []string{inPath, inQuery, inHeader} {
		if name, ok := f.Tag.Lookup(in); ok {
			p := parameter{in: in, name: name, index: index, field: f, required: in == inPath}
			for option := range strings.SplitSeq(f.Tag.Get("jsonschema"), ",") {
				if option == "required" {
					p.required = true
				}
				if value, ok := strings.CutPrefix(option, "default="); ok {
					p.fallback = value
				}
			}
			return p, true
		}
	}
	return parameter{}, false
}

// bind reads a request into a new value of the input's type.
func (in *input) bind(r *http.Request, w http.ResponseWriter, maxBody int64) (reflect.Value, *Problem) {
	v := reflect.New(in.typ).Elem()
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return v, NewProblem(CodeInvalidRequest, "the query is not percent-encoded as it must be")
	}
	var wrong []FieldError
	known := map[string]bool{}
	for _, p := range in.parameters {
		known[p.in+p.name] = true
		if e := p.read(r, query, v); e != "" {
			wrong = append(wrong, FieldError{In: p.in, Name: p.name, Detail: e})
		}
	}
	for name := range query {
		if !known[inQuery+name] {
			wrong = append(wrong, FieldError{In: inQuery, Name: strings.ToValidUTF8(name, "�"), Detail: "is not known here"})
		}
	}
	if len(wrong) > 0 {
		slices.SortFunc(wrong, func(a, b FieldError) int { return strings.Compare(a.In+a.Name, b.In+b.Name) })
		p := NewProblem(CodeInvalidRequest, "%s %s %s", wrong[0].In, wrong[0].Name, wrong[0].Detail)
		p.Errors = wrong
		return v, p
	}
	if in.body == nil {
		return v, noBody(r)
	}
	return v, in.readBody(r, w, maxBody, v.FieldByIndex(in.body))
}

// read sets a field from its parameter, and says what is wrong with it.
func (p *parameter) read(r *http.Request, query url.Values, v reflect.Value) (wrong string) {
	var values []string
	switch p.in {
	case inPath:
		values = []string{r.PathValue(p.name)}
	case inQuery:
		values = query[p.name]
	default:
		values = r.Header.Values(p.name)
	}
	switch {
	case len(values) > 1:
		return "is given more than once"
	case len(values) == 0 && p.fallback != "":
		values = []string{p.fallback}
	case len(values) == 0 && p.required:
		return "is missing"
	case len(values) == 0:
		return ""
	}
	text := values[0]
	if !utf8.ValidString(text) {
		return "is not UTF-8"
	}
	var judged any = text
	field := v.FieldByIndex(p.index)
	switch {
	case field.Type() == reflect.TypeFor[time.Time]():
		at, err := time.Parse(time.RFC3339, text)
		if err != nil {
			return "is not a time as RFC 3339 has it, such as 2026-01-31T12:00:00Z"
		}
		field.Set(reflect.ValueOf(at))
	case field.Kind() == reflect.Int:
		n, err := strconv.Atoi(text)
		if err != nil || strconv.Itoa(n) != text {
			return "is not a whole number"
		}
		field.SetInt(int64(n))
		judged = n
	case field.Kind() == reflect.Bool:
		if text != "true" && text != "false" {
			return "is not true or false"
		}
		field.SetBool(text == "true")
		judged = text == "true"
	default:
		field.SetString(text)
	}
	if err := p.schema.Validate(judged); err != nil {
		return reasons(err)[0].Detail
	}
	return ""
}

// noBody refuses a body where none is read.
func noBody(r *http.Request) *Problem {
	if r.ContentLength > 0 || r.ContentLength < 0 && r.Body != nil && hasByte(r.Body) {
		return NewProblem(CodeInvalidRequest, "this operation takes no body")
	}
	return nil
}

func hasByte(body io.Reader) bool {
	var one [1]byte
	n, _ := io.ReadFull(body, one[:])
	return n > 0
}

// readBody reads the body strictly: one JSON value of known members, none twice.
func (in *input) readBody(r *http.Request, w http.ResponseWriter, maxBody int64, to reflect.Value) *Problem {
	if in.bodyMedia != "" {
		media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
		if err != nil || media != in.bodyMedia || len(r.Header.Values("Content-Encoding")) > 0 {
			return NewProblem(CodeUnsupportedMediaType, "send %s, not compressed", in.bodyMedia)
		}
		data, wrong := readAll(r, w, maxBody)
		to.SetString(string(data))
		return wrong
	}
	media, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if charset := params["charset"]; err != nil || media != "application/json" || charset != "" && !strings.EqualFold(charset, "utf-8") ||
		len(r.Header.Values("Content-Encoding")) > 0 {
		return NewProblem(CodeUnsupportedMediaType, "send application/json, not compressed")
	}
	data, wrong := readAll(r, w, maxBody)
	if wrong != nil {
		return wrong
	}
	if at, err := strict(data); err != nil {
		return Invalid(inBody, at, "%s", err)
	}
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(data))
	if err != nil {
		return Invalid(inBody, "", "is not JSON")
	}
	if err := in.bodySchema.Validate(document); err != nil {
		found := reasons(err)
		p := NewProblem(CodeInvalidRequest, "body %s %s", found[0].Name, found[0].Detail)
		p.Errors = found
		return p
	}
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(to.Addr().Interface()); err != nil {
		// The schema has let it pass, the type has not: an int that is 1e99.
		return Invalid(inBody, "", "a member is out of range or of another type than it must be")
	}
	return nil
}

// readAll reads a body of UTF-8.
func readAll(r *http.Request, w http.ResponseWriter, maxBody int64) ([]byte, *Problem) {
	data, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
			return nil, NewProblem(CodeTooLarge, "the body has more than %d bytes", maxBody)
		}
		return nil, NewProblem(CodeInvalidRequest, "the body did not come whole").Because(err)
	}
	if !utf8.Valid(data) {
		return nil, NewProblem(CodeInvalidRequest, "the body is not UTF-8")
	}
	return data, nil
}
