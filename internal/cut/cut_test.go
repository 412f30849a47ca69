package cut_test

import (
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/sluiceio/sluice/internal/cut"
)

func TestCut(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		text   string
		limit  int
		prefix string
		cut    string
	}{
		{"", 0, "", ""},
		{"abc", 3, "abc", "abc"},
		{"abcd", 3, "abc", "abc…"},
		{"aé", 2, "a", "a…"},
		{"aéb", 3, "aé", "aé…"},
		{"😀", 3, "", "…"},
		{"é", 0, "", "…"},
		{"\x80\x80\x80\x80\x80\x80", 5, "\x80\x80\x80\x80\x80", "\x80\x80\x80\x80\x80…"},
	} {
		require.Equal(t, c.prefix, cut.Prefix(c.text, c.limit), c)
		require.Equal(t, []byte(c.prefix), append([]byte{}, cut.Prefix([]byte(c.text), c.limit)...), c)
		require.Equal(t, c.cut, cut.Text(c.text, c.limit), c)
	}
}

// A prefix of text is text, and as long as it can be.
func TestPrefixOfText(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		text, limit := rapid.String().Draw(t, "text"), rapid.IntRange(0, 40).Draw(t, "limit")
		p := cut.Prefix(text, limit)
		if !utf8.ValidString(p) || len(p) > limit || p != text[:len(p)] {
			t.Fatalf("%q", p)
		}
		if _, size := utf8.DecodeRuneInString(text[len(p):]); len(p) < len(text) && len(p)+size <= limit {
			t.Fatalf("%q could be longer", p)
		}
	})
}

func TestShow(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		bytes, text string
		encoded     bool
	}{
		{"", "", false},
		{"grüße", "grü", false},
		{"\xff\xfe", "//4=", true},
		{"abcde\xff", "abcde", false}, // what is not shown does not count
	} {
		text, encoded := cut.Show([]byte(test.bytes), 5)
		require.Equal(t, test.text, text)
		require.Equal(t, test.encoded, encoded)
	}
}
