package route

import (
	"strings"
	"testing"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// TestConfusableCharacters asks Unicode's own tables for every character above
// ASCII that a normalisation form turns into text with a delimiter in it.
func TestConfusableCharacters(t *testing.T) {
	const delimiters = `./\;%?#`
	// What no normalisation form has, but Windows' best-fit mapping.
	bestFit := map[rune]bool{0x2044: true, 0x2215: true, 0x2216: true, 0x29F5: true, 0x29F8: true}
	for r := rune(utf8.RuneSelf); r <= utf8.MaxRune; r++ {
		if !utf8.ValidRune(r) {
			continue
		}
		becomes := ""
		for _, form := range []norm.Form{norm.NFC, norm.NFD, norm.NFKC, norm.NFKD} {
			becomes += form.String(string(r))
		}
		want := strings.ContainsAny(becomes, delimiters) || bestFit[r]
		if isConfusable(r) != want {
			t.Errorf("%U becomes %q, want %v", r, becomes, want)
		}
	}
}
