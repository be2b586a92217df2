package uma

import "github.com/tidwall/gjson"

// AppendPermissionRequest appends the entry of one resource to a permission
// request (UMA Federated Authorization section 4.1). The request itself is an
// array, which every server takes; a single object is refused by some. claims is a JSON
// object that is pushed with it (Keycloak's "claims"), empty for none.
func AppendPermissionRequest(dst []byte, resourceID string, scopes []string, claims string) []byte {
	dst = append(dst, `{"resource_id":`...)
	dst = gjson.AppendJSONString(dst, resourceID)
	dst = append(dst, `,"resource_scopes":[`...)
	for i, s := range scopes {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = gjson.AppendJSONString(dst, s)
	}
	dst = append(dst, ']')
	if claims != "" {
		dst = append(dst, `,"claims":`...)
		dst = append(dst, claims...)
	}
	return append(dst, '}')
}

// ParseTicket reads the answer to a permission request. A ticket may be as long as
// an answer.
func ParseTicket(body []byte) (string, error) {
	var ticket string
	var r reader
	err := r.object(body, func(name string, v gjson.Result) error {
		if name == "ticket" {
			return r.text(0, v, &ticket)
		}
		return nil
	})
	switch {
	case err != nil:
		return "", err
	case ticket == "":
		return "", ErrNoTicket
	case !isQuotable(ticket):
		return "", ErrBadTicket
	}
	return ticket, nil
}

// isQuotable tells that s can stand in a quoted-string as it is.
func isQuotable(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			return false
		}
	}
	return true
}
