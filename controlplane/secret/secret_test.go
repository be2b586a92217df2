package secret_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/controlplane/secret"
)

const value = "s3cr3t-value"

type holder struct {
	Public secret.Text
	hidden secret.Text
}

func TestNoFormShowsTheSecret(t *testing.T) {
	t.Parallel()
	text := secret.New(value)
	subjects := map[string]any{
		"value":   text,
		"pointer": &text,
		"struct":  holder{Public: text, hidden: text},
		"map":     map[string]secret.Text{"k": text},
		"slice":   []secret.Text{text},
	}
	for name, subject := range subjects {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%t", "%T", "%p", "%10.3s"} {
				out := fmt.Sprintf(verb, subject)
				require.NotContains(t, out, value, "verb %s", verb)
				require.NotContains(t, out, fmt.Sprintf("%x", value), "verb %s", verb)
			}
			encoded, err := json.Marshal(subject)
			require.NoError(t, err)
			require.NotContains(t, string(encoded), value)
			var log bytes.Buffer
			slog.New(slog.NewJSONHandler(&log, nil)).Info("x", slog.Any("subject", subject))
			slog.New(slog.NewTextHandler(&log, nil)).Info("x", slog.Any("subject", subject))
			require.NotContains(t, log.String(), value)
		})
	}
}

func TestText(t *testing.T) {
	t.Parallel()
	var read secret.Text
	require.NoError(t, json.Unmarshal([]byte(`"`+value+`"`), &read))
	require.Equal(t, value, read.Reveal())
	require.True(t, read.Equal(secret.New(value)))
	require.False(t, read.Equal(secret.New("other")))
	require.True(t, secret.New("").IsZero())
	require.Empty(t, secret.Text{}.String())
	err := json.Unmarshal([]byte(`{"a":"`+value+`"}`), &read)
	require.Error(t, err)
	require.NotContains(t, err.Error(), value)
}
