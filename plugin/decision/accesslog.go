package decision

import (
	"strconv"

	"github.com/tidwall/gjson"
)

// AppendJSON appends the decision as one JSON object, for the access log.
// Members that do not apply are left out.
func (d *Decision) AppendJSON(b []byte) []byte {
	b = append(b, `{"decision":"`...)
	b = append(b, d.Effect.String()...)
	b = append(b, `","reason":"`...)
	b = append(b, d.Reason.String()...)
	b = append(b, '"')
	b = appendMember(b, "site", d.Site)
	b = appendMember(b, "resource", d.Resource)
	b = appendMember(b, "condition", d.Condition)
	b = appendMember(b, "problem", string(d.Problem))
	b = appendMember(b, "subject", d.Subject)
	b = appendMember(b, "client_id", d.ClientID)
	if d.Cache != CacheNone {
		b = appendMember(b, "cache", d.Cache.String())
	}
	if d.Status != 0 {
		b = append(b, `,"status":`...)
		b = strconv.AppendInt(b, int64(d.Status), 10)
	}
	return append(b, '}')
}

func appendMember(b []byte, name, value string) []byte {
	if value == "" {
		return b
	}
	b = append(b, ',', '"')
	b = append(b, name...)
	b = append(b, '"', ':')
	for i := range len(value) {
		if c := value[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			return gjson.AppendJSONString(b, value)
		}
	}
	b = append(b, '"')
	b = append(b, value...)
	return append(b, '"')
}
