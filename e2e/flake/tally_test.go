package main

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const good = `{"Action":"start","Package":"p"}
{"Action":"run","Package":"p","Test":"TestA"}
{"Action":"output","Package":"p","Test":"TestA","Output":"a\n"}
{"Action":"pass","Package":"p","Test":"TestA"}
{"Action":"skip","Package":"p","Test":"TestB"}
{"Action":"pass","Package":"p"}
`

func TestTally(t *testing.T) {
	t.Parallel()
	bad := strings.Replace(good, `"pass","Package":"p","Test":"TestA"`, `"fail","Package":"p","Test":"TestA"`, 1)
	bad = strings.Replace(bad, `"pass","Package":"p"}`, `"fail","Package":"p"}`, 1)
	for _, c := range []struct {
		name     string
		runs     []string
		failures string
		suspects []string
	}{
		{name: "steady", runs: []string{good, good}, suspects: nil},
		{name: "differs", runs: []string{good, bad}, failures: "--- p TestA\na\n", suspects: []string{"p TestA: fail 1, pass 1", "p: fail 1, pass 1"}},
		{name: "fails each time", runs: []string{bad}, failures: "--- p TestA\na\n", suspects: []string{"p TestA: fail 1", "p: fail 1"}},
		{
			name: "not there each time", runs: []string{good, `{"Action":"pass","Package":"p"}` + "\n"},
			suspects: []string{"p TestA: pass 1, not run 1", "p TestB: skip 1, not run 1"},
		},
		{
			name: "killed", runs: []string{good, `{"Action":"run","Package":"p","Test":"TestA"}` + "\n"},
			suspects: []string{"p TestA: pass 1, not run 1", "p TestB: skip 1, not run 1", "p: fail 1, pass 1"},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			tally := newTally()
			var failures strings.Builder
			for _, run := range c.runs {
				text, err := tally.add("p", strings.NewReader(run))
				require.NoError(t, err)
				failures.WriteString(text)
			}
			require.Equal(t, c.failures, failures.String())
			require.Equal(t, c.suspects, tally.suspects())
		})
	}
}

func TestTallyOfWhatIsNoEvent(t *testing.T) {
	t.Parallel()
	_, err := newTally().add("p", strings.NewReader("panic\n"))
	require.ErrorContains(t, err, `p: not an event of test2json: "panic\n"`)
}
