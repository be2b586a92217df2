package decision

import (
	"strconv"

	"github.com/tidwall/gjson"
)

// AppendJSON appends the decision as one JSON object, for the access log.
// Members that do not apply are left out.
func (d *Decision) AppendJSON(b []byte) []byte {
	start := len(b)
	b = appendMember(b, "decision", d.Effect.String())
	b = appendMember(b, "reason", d.Reason.String())
	b = appendMember(b, "site", d.Site)
	b = appendMember(b, "resource", d.Resource)
	b = appendMember(b, "condition", d.Condition)
	b = appendMember(b, "problem", string(d.Problem))
	b = appendMember(b, "subject", d.Subject)
	b = appendMember(b, "client_id", d.ClientID)
	if d.Cache != CacheNone {
		b = appendMember(b, "cache", d.Cache.String())
	}
	if f := d.Failed; f.Outcome != CallOK {
		b = appendMember(b, "as_outcome", f.Outcome.String())
		b = appendNumber(b, "as_status", f.Status)
	}
	if d.Status != 0 {
		b = appendNumber(b, "status", d.Status)
	}
	b[start] = '{' // in place of the first comma
	return append(b, '}')
}

func appendNumber(b []byte, name string, value int) []byte {
	return strconv.AppendInt(appendName(b, name), int64(value), 10)
}

func appendName(b []byte, name string) []byte {
	b = append(append(b, ',', '"'), name...)
	return append(b, '"', ':')
}

func appendMember(b []byte, name, value string) []byte {
	if value == "" {
		return b
	}
	b = appendName(b, name)
	for i := range len(value) {
		if c := value[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			return gjson.AppendJSONString(b, value)
		}
	}
	b = append(b, '"')
	b = append(b, value...)
	return append(b, '"')
}
