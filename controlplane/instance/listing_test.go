package instance_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestListingAfterRemoval: where the AS cannot search by name, what was removed is
// not found in the list that was read before.
func TestListingAfterRemoval(t *testing.T) {
	w := newWorld(t)
	w.as.byName = false
	_, err := w.lookup("8") // somebody asks: all resources are read
	require.Error(t, err)
	_, err = w.register("7")
	require.NoError(t, err)
	w.after(2 * time.Minute)
	_, err = w.lookup("9") // a listing that has it
	require.Error(t, err)
	_, err = w.manager.Remove(t.Context(), "album-7")
	require.NoError(t, err)
	_, err = w.lookup("7")
	require.Error(t, err, "it was removed")
	in, err := w.register("7")
	require.NoError(t, err)
	require.Contains(t, w.as.resources, in.ID)
}
