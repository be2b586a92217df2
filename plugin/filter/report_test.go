package filter

import (
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/umagate/umagate/plugin/config"
)

// TestDeclaration: what Envoy is told of the report has the lengths that it says.
func TestDeclaration(t *testing.T) {
	var want []byte
	want = protowire.AppendTag(want, 1, protowire.BytesType)
	want = protowire.AppendString(want, config.DecisionProperty)
	want = protowire.AppendTag(want, 3, protowire.VarintType)
	want = protowire.AppendVarint(want, 3)
	want = protowire.AppendTag(want, 4, protowire.BytesType)
	want = protowire.AppendString(want, "type.googleapis.com/google.protobuf.Struct")
	require.Equal(t, string(want), declaration)
}
