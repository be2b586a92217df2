package health_test

import (
	"errors"
	"log/slog"
	"regexp"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/controlplane/health"
)

func TestBoard(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		remedy := func(err error) string {
			if err.Error() == "it answers 500" {
				return "Ask there."
			}
			return ""
		}
		b := health.NewBoard("photos", slog.New(slog.DiscardHandler), remedy)
		b.Set(health.NotBeforeUnknown, errors.New("it answers 404"))
		b.Set(health.ClientKeyNotReplaced, errors.New("no key"))
		since := time.Now()
		time.Sleep(time.Minute) // virtual
		b.Set(health.NotBeforeUnknown, errors.New("it answers 500"))
		list := b.Conditions()
		require.Equal(t, []string{"ClientKeyNotReplaced", "NotBeforeUnknown"}, health.Names(list))
		require.Equal(t, "it answers 500", list[1].Message)
		require.Equal(t, "Ask there.", list[1].Remedy)
		require.Equal(t, health.ClientKeyNotReplaced.Remedy, list[0].Remedy)
		require.Equal(t, since, list[1].Since, "it is the same condition, in other words")
		require.Equal(t, "photos", list[0].Site)
		b.Set(health.NotBeforeUnknown, nil)
		b.Set(health.NotBeforeUnknown, nil)
		require.Len(t, b.Conditions(), 1)
		b.Set(health.NotBeforeUnknown, errors.New("again"))
		require.Equal(t, time.Now(), b.Conditions()[1].Since)
	})
}

// TestKinds: each says what an operator needs, in whole sentences, under a name of its own.
func TestKinds(t *testing.T) {
	seen := map[string]bool{}
	name, sentence := regexp.MustCompile(`^([A-Z][a-zA-Z]+)$`), regexp.MustCompile(`^[A-Zu].*\.$`)
	for _, k := range health.Kinds() {
		require.Regexp(t, name, k.Name)
		require.False(t, seen[k.Name], k.Name)
		seen[k.Name] = true
		for _, text := range []string{k.Summary, k.Affects, k.Remedy} {
			require.Regexp(t, sentence, text, k.Name)
			require.NotContains(t, text, "|", "it stands in a table")
		}
	}
}
