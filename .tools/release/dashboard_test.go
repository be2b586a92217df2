package main

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/grafana/grafana-foundation-sdk/go/cog/plugins"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
	"github.com/stretchr/testify/require"
)

// TestDashboard reads the dashboard by Grafana's own schema, which knows each member of
// it, of its panels and of their queries.
func TestDashboard(t *testing.T) {
	t.Parallel()
	plugins.RegisterDefaultPlugins()
	text, err := os.ReadFile(filepath.Join("..", "..", "envoy", "monitoring", "dashboard.json"))
	require.NoError(t, err)
	require.Empty(t, faults(text))
	for _, wrong := range [][2]string{{`"gridPos"`, `"gridpos"`}, {`"schemaVersion": 38`, `"schemaVersion": "38"`}, {`"expr"`, `"expression"`}} {
		require.Contains(t, string(text), wrong[0])
		require.NotEmpty(t, faults(bytes.Replace(text, []byte(wrong[0]), []byte(wrong[1]), 1)), "%s", wrong)
	}
}

// faults are those of a dashboard; empty for none, for which the schema's own package may
// return an error without words.
func faults(text []byte) string {
	var d dashboard.Dashboard //nolint:staticcheck // the successor is another form, which Grafana imports from 12 on
	if err := d.UnmarshalJSONStrict(text); err != nil && err.Error() != "" {
		return err.Error()
	}
	if err := d.Validate(); err != nil {
		return err.Error()
	}
	return ""
}
