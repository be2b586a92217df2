package manifest_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/controlplane/manifest"
)

// kubectl reads YAML 1.1, in which more words than true and false are booleans, and more
// than digits are numbers: a scope of that name stays a text.
func TestTextsStayTexts(t *testing.T) {
	node, err := manifest.Document([]byte(`{"scopes": ["on", "yes", "y", "NO", "off", "1:20", "012", "0o7", "1_000", ".inf", "~", "null", "true", "2026-01-01", "=", "<<", "1e3", "view"]}`))
	require.NoError(t, err)
	text, err := manifest.YAML([]manifest.Object{{APIVersion: "v1", Kind: "X", Metadata: manifest.Metadata{Name: "on"}, Spec: node}})
	require.NoError(t, err)
	require.Equal(t, `---
apiVersion: v1
kind: X
metadata:
  name: 'on'
spec:
  scopes:
  - 'on'
  - 'yes'
  - 'y'
  - 'NO'
  - 'off'
  - '1:20'
  - '012'
  - '0o7'
  - '1_000'
  - '.inf'
  - '~'
  - 'null'
  - 'true'
  - '2026-01-01'
  - '='
  - '<<'
  - '1e3'
  - view
`, string(text))
}
