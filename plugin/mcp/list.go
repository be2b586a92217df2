package mcp

import (
	"strings"

	"github.com/tidwall/gjson"

	"github.com/umagate/umagate/plugin/internal/ascii"
	"github.com/umagate/umagate/plugin/route"
)

// List is what a server lists, and how its answer says so.
type List struct {
	// Target is what the items are.
	Target Target
	// Member is the array of the result, Key what names an item.
	Member, Key string
}

// ListOf returns what a method lists; ok tells whether it lists anything.
func ListOf(method string) (list List, ok bool) {
	switch method {
	case "tools/list":
		return List{TargetTool, "tools", "name"}, true
	case "prompts/list":
		return List{TargetPrompt, "prompts", "name"}, true
	case "resources/list":
		return List{TargetResource, "resources", "uri"}, true
	case "resources/templates/list":
		return List{TargetResource, "resourceTemplates", templateKey}, true
	}
	return List{}, false
}

const templateKey = "uriTemplate"

// The media types of an answer.
const (
	mediaJSON   = "application/json"
	mediaEvents = "text/event-stream"
)

// IsJSON reports whether a media type is JSON, in UTF-8.
func IsJSON(mediaType string) bool { return isMedia(mediaType, mediaJSON) }

func isMedia(mediaType, wanted string) bool {
	media, parameter, more := strings.Cut(mediaType, ";")
	parameter = strings.Trim(parameter, " \t")
	return ascii.EqualFold(strings.Trim(media, " \t"), wanted) &&
		(!more || ascii.EqualFold(parameter, "charset=utf-8") || ascii.EqualFold(parameter, `charset="utf-8"`))
}

// Filter takes out of a server's answer what may not be shown, and returns what is left of
// it, in the same media type. id is that of the request, see [Message]. show is asked for the
// name of each item, of a resource its URI; in a template of a URI, a variable is
// [route.Varies]. An item that is not read in one way only is taken out; where that is true
// of the answer, or none of it has the id, there is a problem and no answer.
//
// Of a stream of events, what is no answer passes: notifications, and what the server asks
// the client. Answers to other requests do not, and no event has an id: who resumes a stream
// would get the answer as the server has kept it.
func (l List) Filter(mediaType string, body []byte, id string, show func(name string) bool) ([]byte, Problem) {
	f := filter{list: l, id: gjson.Parse(id), show: show}
	switch {
	case isMedia(mediaType, mediaJSON):
		f.message(body, false)
	case isMedia(mediaType, mediaEvents):
		f.events(string(body))
	default:
		return nil, ProblemMedia
	}
	if f.problem == "" && !f.answered {
		f.problem = ProblemNoAnswer
	}
	if f.problem != "" {
		return nil, f.problem
	}
	return f.out, ""
}

// IsFailure reports whether a body is an error of JSON-RPC and nothing else, so that it lists
// nothing.
func IsFailure(mediaType string, body []byte) bool {
	var r reader
	if !isMedia(mediaType, mediaJSON) {
		return false
	}
	_, problem := r.read(body)
	return problem == "" && r.rpcError.Exists()
}

// filter makes an answer of what a server has sent.
type filter struct {
	list     List
	id       gjson.Result
	show     func(name string) bool
	out      []byte
	answered bool
	problem  Problem
}

// message takes one message, of an event or alone.
func (f *filter) message(body []byte, event bool) {
	var r reader
	if _, f.problem = r.read(body); f.problem != "" {
		return
	}
	answers := r.result.Exists() || r.rpcError.Exists()
	if answers && !sameID(r.id, f.id) {
		return
	}
	if event {
		f.out = append(f.out, "event: message\ndata: "...)
	}
	begins := len(f.out)
	if r.result.Exists() {
		f.out = append(append(f.out, `{"jsonrpc":"2.0","id":`...), r.id.Raw...)
		f.out = append(f.out, `,"result":`...)
		f.result(r.result)
		f.out = append(f.out, '}')
	} else {
		f.out = append(f.out, body...)
	}
	f.answered = f.answered || answers
	if !event {
		return
	}
	message := string(f.out[begins:])
	f.out = f.out[:begins]
	for line := range strings.SplitSeq(message, "\n") { // each is one of the event's
		if len(f.out) > begins {
			f.out = append(f.out, "\ndata: "...)
		}
		f.out = append(f.out, line...)
	}
	f.out = append(f.out, "\n\n"...)
}

func sameID(a, b gjson.Result) bool {
	return a.Type == b.Type && (a.Type == gjson.String && a.Str == b.Str || a.Type == gjson.Number && a.Num == b.Num)
}

// result writes the result of the answer.
func (f *filter) result(result gjson.Result) {
	if !result.IsObject() {
		f.problem = ProblemType
		return
	}
	items, problem := only(result, f.list.Member)
	switch {
	case problem != "":
		f.problem = problem
		return
	case !items.IsArray():
		f.problem = ProblemNoList
		return
	}
	lives, scoped := false, false
	f.out = append(f.out, '{')
	result.ForEach(func(key, value gjson.Result) bool {
		f.comma('{')
		f.out = append(append(f.out, key.Raw...), ':')
		switch key.Str {
		case f.list.Member:
			f.items(items)
			return true
		case "cacheScope": // what is left is for this caller only
			f.out, scoped = append(f.out, private...), true
			return true
		case "ttlMs":
			lives = true
		}
		f.out = append(f.out, value.Raw...)
		return true
	})
	if lives && !scoped {
		f.out = append(append(f.out, `,"cacheScope":`...), private...)
	}
	f.out = append(f.out, '}')
}

const private = `"private"`

func (f *filter) comma(open byte) {
	if f.out[len(f.out)-1] != open {
		f.out = append(f.out, ',')
	}
}

func (f *filter) items(items gjson.Result) {
	f.out = append(f.out, '[')
	items.ForEach(func(_, item gjson.Result) bool {
		if f.shows(item) {
			f.comma('[')
			f.out = append(f.out, item.Raw...)
		}
		return true
	})
	f.out = append(f.out, ']')
}

func (f *filter) shows(item gjson.Result) bool {
	if !item.IsObject() {
		return false
	}
	name, problem := named(item, f.list.Key)
	if problem != "" {
		return false
	}
	if f.list.Key == templateKey {
		plain, varying, ok := expand(name)
		return ok && PlainURI(plain) && f.show(varying)
	}
	return (f.list.Target != TargetResource || PlainURI(name)) && f.show(name)
}

// expand makes of a URI template (RFC 6570) a URI with plain values, and the text that varies
// where it does.
func expand(template string) (plain, varying string, ok bool) {
	var p, v []byte
	for {
		before, rest, more := strings.Cut(template, "{")
		if strings.IndexByte(before, '}') >= 0 {
			return "", "", false
		}
		p, v = append(p, before...), append(v, before...)
		if !more {
			return string(p), string(v), true
		}
		expression, after, ended := strings.Cut(rest, "}")
		if !ended || expression == "" || strings.IndexByte(expression, '{') >= 0 {
			return "", "", false
		}
		p, v = append(p, 'x'), append(v, route.Varies...)
		template = after
	}
}

// events takes a stream of events (HTML standard, "server-sent events").
func (f *filter) events(body string) {
	body = strings.TrimPrefix(body, "\uFEFF")
	var data []byte
	kind := ""
	end := func() {
		switch {
		case len(data) == 0: // nothing that a client is told
		case kind != "" && kind != "message":
			f.problem = ProblemEvents
		default:
			f.message(data[1:], true)
		}
		data, kind = nil, ""
	}
	for body != "" && f.problem == "" {
		var line string
		line, body = cutLine(body)
		if line == "" {
			end()
			continue
		}
		field, value, _ := strings.Cut(line, ":")
		value = strings.TrimPrefix(value, " ")
		switch {
		case field == "data" && (value != "" || len(data) > 0):
			data = append(append(data, '\n'), value...)
		case field == "event":
			kind = value
		}
	}
	if f.problem == "" {
		end() // some clients take what the end of the stream has cut off
	}
}

// cutLine returns a line and what comes after it. Lines end with CR, LF, or both.
func cutLine(text string) (line, rest string) {
	for i := range len(text) {
		switch text[i] {
		case '\n':
			return text[:i], text[i+1:]
		case '\r':
			return text[:i], strings.TrimPrefix(text[i+1:], "\n")
		}
	}
	return text, ""
}
