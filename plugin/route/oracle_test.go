package route

import (
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestTableAgainstOracle compares the table with a matcher that is too simple to
// be wrong, on random tables and paths.
func TestTableAgainstOracle(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 5_000 {
		templates := randomTemplates(random)
		fold := random.IntN(4) == 0
		table := NewTable(fold)
		kept := templates[:0]
		for _, source := range templates {
			template, err := ParseTemplate(source)
			require.NoError(t, err)
			if _, added := table.Add(template, len(kept)); added {
				kept = append(kept, source)
			}
		}
		for range 4 {
			path := randomPath(random)
			p, err := ParsePath(path, "h", false)
			require.NoError(t, err)
			value, others := table.Match(p, nil)
			wantValue, wantOther := oracle(kept, path, fold)
			require.Equal(t, wantValue, nameOf(kept, value), "%v %v %s", kept, fold, path)
			require.Equal(t, wantOther, otherName(kept, others), "%v %v %s", kept, fold, path)
		}
	}
}

var oracleWords = []string{"a", "b", "A", "c"}

func randomTemplates(random *rand.Rand) []string {
	templates := make([]string, 1+random.IntN(8))
	for i := range templates {
		var b strings.Builder
		for depth := range random.IntN(4) {
			b.WriteByte('/')
			switch random.IntN(6) {
			case 0:
				b.WriteByte('*')
			case 1:
				b.WriteString("{n" + string(rune('0'+depth)) + "}")
			default:
				b.WriteString(oracleWords[random.IntN(len(oracleWords))])
			}
		}
		switch random.IntN(4) {
		case 0:
			b.WriteString("/**")
		case 1:
			b.WriteByte('/')
		}
		templates[i] = b.String()
		if templates[i] == "" {
			templates[i] = "/"
		}
	}
	return templates
}

func randomPath(random *rand.Rand) string {
	var b strings.Builder
	for range random.IntN(5) {
		b.WriteString("/" + oracleWords[random.IntN(len(oracleWords))])
	}
	if b.Len() == 0 || random.IntN(3) == 0 {
		b.WriteByte('/')
	}
	return b.String()
}

// oracle ranks every template that matches: by the kinds of its segments from
// left to right, then by the trailing slash.
func oracle(templates []string, path string, fold bool) (value, other string) {
	body, slash := cutSlash(path)
	best := ""
	for _, source := range templates {
		rank, ok := rankOf(source, body, slash, fold)
		switch {
		case ok && (best == "" || rank < best):
			best, value = rank, source
		}
	}
	// The trailing slash was not the template's: what "**" at its place would be.
	if prefix, near := strings.CutSuffix(best, "near"); near {
		prefix += "rest"
		for _, source := range templates {
			if rank, ok := rankOf(source, body, slash, fold); ok && rank == prefix {
				other = source
			}
		}
	}
	return value, other
}

// rankOf is a text that sorts the better, the earlier.
func rankOf(source string, body []string, slash, fold bool) (rank string, ok bool) {
	segments, templateSlash := cutSlash(source)
	for i, s := range segments {
		if s == "**" {
			return rank + "rest", true
		}
		if i == len(body) {
			return "", false
		}
		switch {
		case s == "*":
			rank += "3"
		case s[0] == '{':
			rank += "2"
		case s == body[i], fold && strings.EqualFold(s, body[i]):
			rank += "1"
		default:
			return "", false
		}
	}
	if len(segments) != len(body) {
		return "", false
	}
	if templateSlash == slash {
		return rank + "exact", true
	}
	return rank + "near", true
}

func cutSlash(path string) (segments []string, slash bool) {
	path = strings.TrimPrefix(path, "/")
	if path == "" {
		return nil, false
	}
	path, slash = strings.CutSuffix(path, "/")
	return strings.Split(path, "/"), slash
}
