package decision_test

import (
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func decodeStrictly(t *testing.T, body string, to any) {
	t.Helper()
	d := json.NewDecoder(strings.NewReader(body))
	d.DisallowUnknownFields()
	require.NoError(t, d.Decode(to))
}

func encode(payload string) string { return base64.RawURLEncoding.EncodeToString([]byte(payload)) }
