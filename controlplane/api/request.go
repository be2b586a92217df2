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
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/danielgtaylor/huma/v2"
)

// huma has these settings in variables of its package.
func init() {
	huma.NewError = newError
	huma.ValidateStrictCasing = true // {"Title": "a"} has no title
	huma.DefaultArrayNullable = false
}

const (
	inBody = "body"
	// standardBody bounds a request's body where the operation does not.
	standardBody = 64 << 10
	// maxDepth bounds how deep a body nests.
	maxDepth = 32
	// maxReasons bounds the places that one answer names.
	maxReasons = 20
)

// What huma reads less strictly than the document promises is judged here, before
// it reads a request: parameters given twice, empty or in another form than the
// usual one; bodies of another media type; JSON that two readers may read
// differently.

// checkParameters judges the parameters of a request as they were sent.
func checkParameters(o *huma.Operation, schemas huma.Registry, r *http.Request) *Problem {
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return NewProblem(CodeInvalidRequest, "the query is not percent-encoded as it must be")
	}
	var wrong []FieldError
	for _, p := range o.Parameters {
		values := query[p.Name]
		if p.In == "path" {
			values = []string{r.PathValue(p.Name)}
		}
		if len(values) > 0 && p.In != "header" {
			if detail := checkParameter(p.Schema, schemas, values); detail != "" {
				wrong = append(wrong, FieldError{In: p.In, Name: p.Name, Detail: detail})
			}
		}
	}
	return wrongFields(wrong)
}

// checkParameter says what is wrong with a parameter that huma might take.
func checkParameter(schema *huma.Schema, schemas huma.Registry, values []string) string {
	text := values[0]
	switch {
	case len(values) > 1:
		return "is given more than once"
	case !utf8.ValidString(text):
		return "is not UTF-8"
	case schema.Type == huma.TypeInteger:
		if n, err := strconv.Atoi(text); err != nil || strconv.Itoa(n) != text {
			return "is not a whole number"
		}
	case schema.Type == huma.TypeBoolean:
		if text != "true" && text != "false" {
			return "is not true or false"
		}
	case text == "": // huma takes it for one that is left out
		var found huma.ValidateResult
		huma.Validate(schemas, schema, huma.NewPathBuffer(nil, 0), huma.ModeWriteToServer, text, &found)
		if e, ok := errors.AsType[*huma.ErrorDetail](errors.Join(found.Errors...)); ok {
			return e.Message
		}
	}
	return ""
}

// readBody reads the body within a bound and puts what it has read in its place.
func readBody(o *huma.Operation, w http.ResponseWriter, r *http.Request, bound int64) *Problem {
	if o.RequestBody == nil {
		if r.ContentLength > 0 || r.ContentLength < 0 && hasByte(r.Body) {
			return NewProblem(CodeInvalidRequest, "this operation takes no body")
		}
		return nil
	}
	media, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	charset := params["charset"]
	if err != nil || o.RequestBody.Content[media] == nil || len(r.Header.Values("Content-Encoding")) > 0 ||
		media == jsonMedia && charset != "" && !strings.EqualFold(charset, "utf-8") {
		for name := range o.RequestBody.Content {
			media = name
		}
		return NewProblem(CodeUnsupportedMediaType, "send %s, not compressed", media)
	}
	if bound == 0 {
		bound = standardBody
	}
	data, err := io.ReadAll(http.MaxBytesReader(w, r.Body, bound))
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return NewProblem(CodeTooLarge, "the body has more than %d bytes", bound)
	}
	if err != nil {
		return NewProblem(CodeInvalidRequest, "the body did not come whole").Because(err)
	}
	if !utf8.Valid(data) {
		return NewProblem(CodeInvalidRequest, "the body is not UTF-8")
	}
	if media == jsonMedia {
		if at, err := strict(data); err != nil {
			return Invalid(inBody, at, "%s", err)
		}
	}
	r.Body = io.NopCloser(bytes.NewReader(data))
	return nil
}

func hasByte(body io.Reader) bool {
	var one [1]byte
	n, _ := io.ReadFull(body, one[:])
	return n > 0
}

// unmarshal decodes what strict and huma have let pass.
func unmarshal(data []byte, v any) error {
	if json.Unmarshal(data, v) != nil { // an int that is 1e99
		return errors.New("a member is out of range or of another type than it must be")
	}
	return nil
}

// strict refuses what two readers may read differently: a member twice, something
// after the value, very deep nesting; and null, which huma takes for left out. at
// is where, as a JSON pointer.
func strict(data []byte) (at string, err error) {
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.UseNumber()
	if at, err := strictValue(decoder, "", 0); err != nil {
		return at, err
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return "", errors.New("has something after the value")
	}
	return "", nil
}

func strictValue(d *json.Decoder, at string, depth int) (string, error) {
	if depth > maxDepth {
		return at, fmt.Errorf("nests deeper than %d", maxDepth)
	}
	token, err := d.Token()
	if err != nil {
		return at, errors.New("is not JSON")
	}
	switch token {
	case nil:
		return at, errors.New("is null")
	case json.Delim('['):
		for i := 0; d.More(); i++ {
			if where, err := strictValue(d, at+"/"+strconv.Itoa(i), depth+1); err != nil {
				return where, err
			}
		}
	case json.Delim('{'):
		seen := map[string]bool{}
		for d.More() {
			key, err := d.Token()
			name, ok := key.(string)
			if err != nil || !ok {
				return at, errors.New("is not JSON")
			}
			where := at + "/" + escapePointer(name)
			if seen[name] {
				return where, errors.New("is there twice")
			}
			seen[name] = true
			if where, err := strictValue(d, where, depth+1); err != nil {
				return where, err
			}
		}
	default:
		return "", nil
	}
	if _, err := d.Token(); err != nil { // the closing one
		return at, errors.New("is not JSON")
	}
	return "", nil
}

// escapePointer is RFC 6901 section 3.
func escapePointer(s string) string {
	return strings.NewReplacer("~", "~0", "/", "~1").Replace(s)
}

// wrongFields makes one problem of all that is wrong, or none of nothing.
func wrongFields(wrong []FieldError) *Problem {
	if len(wrong) == 0 {
		return nil
	}
	slices.SortStableFunc(wrong, func(a, b FieldError) int { return strings.Compare(a.In+a.Name, b.In+b.Name) })
	p := NewProblem(CodeInvalidRequest, "%s %s %s", wrong[0].In, wrong[0].Name, wrong[0].Detail)
	p.Errors = wrong[:min(len(wrong), maxReasons)]
	return p
}

// newError makes a problem of what huma finds wrong with a request. It never
// repeats a value: that may be a token.
func newError(_ int, message string, errs ...error) huma.StatusError {
	var wrong []FieldError
	for _, err := range errs {
		e, ok := errors.AsType[*huma.ErrorDetail](err)
		if !ok {
			continue
		}
		in, name, _ := strings.Cut(e.Location, ".")
		if in == inBody && name != "" {
			// huma writes body.list[1].name.
			name = "/" + strings.NewReplacer(".", "/", "[", "/", "]", "").Replace(name)
		}
		wrong = append(wrong, FieldError{In: in, Name: strings.ToValidUTF8(name, "�"), Detail: strings.ToValidUTF8(e.Message, "�")})
	}
	if p := wrongFields(wrong); p != nil {
		return p
	}
	return NewProblem(CodeInvalidRequest, "%s", message)
}
