package trace

import (
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// TestExcerpt cuts texts and other bytes.
func TestExcerpt(t *testing.T) {
	t.Parallel()
	require.Equal(t, Excerpt{Text: "aé", Size: 5}, excerpt([]byte("aéé"), 4))
	require.Equal(t, Excerpt{Text: "aéé", Size: 5}, excerpt([]byte("aéé"), 5))
	require.Equal(t, Excerpt{Text: "/w==", Base64: true, Size: 1}, excerpt([]byte{0xff}, 5))
	require.Equal(t, Excerpt{Text: "gICA", Base64: true, Size: 9}, excerpt([]byte("\x80\x80\x80\x80\x80\x80\x80\x80\x80"), 3))
	rapid.Check(t, func(t *rapid.T) {
		text, limit := rapid.String().Draw(t, "text"), rapid.IntRange(1, 20).Draw(t, "limit")
		e := excerpt([]byte(text), limit)
		require.False(t, e.Base64)
		require.True(t, utf8.ValidString(e.Text))
		require.LessOrEqual(t, len(e.Text), limit)
		require.Equal(t, text[:len(e.Text)], e.Text)
		require.Greater(t, len(e.Text)+utf8.UTFMax, min(limit, len(text)), "no more is cut than it takes")
		_ = excerpt(rapid.SliceOf(rapid.Byte()).Draw(t, "bytes"), limit)
	})
}
