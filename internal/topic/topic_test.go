package topic_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/sluiceio/sluice/internal/topic"
)

func TestValidateFilter(t *testing.T) {
	t.Parallel()
	for _, filter := range []string{
		"a", "/", "a/b", "a//b", "+", "#", "a/#", "a/+/#", "+/+", "/#", "$SYS/#", "$events/client/connected",
		"$share/g/a/#", "$share/g/#", "$share/g//", "$shared/x", "größe/+", strings.Repeat("x", topic.MaxLen),
	} {
		require.NoError(t, topic.ValidateFilter(filter), filter)
	}
	for _, c := range []struct {
		filter string
		offset int
		reason string
	}{
		{"", 0, "must not be empty"},
		{"a/#/b", 2, `"#" must be the last level`},
		{"#/", 0, `"#" must be the last level`},
		{"a/b#", 3, `"#" must stand alone in its level`},
		{"a/+b", 2, `"+" must stand alone in its level`},
		{"++", 0, `"+" must stand alone in its level`},
		{"a\x00b", 1, "must not contain U+0000"},
		{"a/\xff", 2, "is not valid UTF-8"},
		{"\uFFFD\xff", 3, "is not valid UTF-8"},
		{strings.Repeat("x", topic.MaxLen+1), topic.MaxLen, "is longer than 65535 bytes"},
		{"$share/", 7, "the group must not be empty"},
		{"$share//a", 7, "the group must not be empty"},
		{"$share/g", 8, "a topic filter must follow the group"},
		{"$share/g/", 9, "a topic filter must follow the group"},
		{"$share/g+/a", 8, "the group must not contain a wildcard"},
		{"$share/g/a/#/b", 11, `"#" must be the last level`},
	} {
		var bad *topic.Error
		require.ErrorAs(t, topic.ValidateFilter(c.filter), &bad, c.filter)
		require.Equal(t, c.offset, bad.Offset, c.filter)
		require.Contains(t, bad.Error(), c.reason)
		require.Less(t, len(bad.Error()), 250)
	}
}

func TestValidateName(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"a", "/", "a/b c/ü", "$SYS/x", "$share/g/a"} {
		require.NoError(t, topic.ValidateName(name), name)
	}
	for name, offset := range map[string]int{"": 0, "a/+": 2, "a#": 1, "\x00": 0, "\xff": 0} {
		var bad *topic.Error
		require.ErrorAs(t, topic.ValidateName(name), &bad, name)
		require.Equal(t, offset, bad.Offset, name)
	}
}

func TestMatch(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		filter, topic string
		want          bool
	}{
		{"a/b", "a/b", true},
		{"a/b", "a", false},
		{"a", "a/b", false},
		{"a/b", "a/bc", false},
		{"A", "a", false},
		{"#", "a", true},
		{"#", "a/b/c", true},
		{"#", "/", true},
		{"a/#", "a", true},
		{"a/#", "a/", true},
		{"a/#", "a/b/c", true},
		{"a/#", "ab", false},
		{"a/+", "a", false},
		{"a/+", "a/", true},
		{"a/+", "a/b", true},
		{"a/+", "a/b/c", false},
		{"+", "a", true},
		{"+", "/", false},
		{"+/+", "/", true},
		{"/+", "/a", true},
		{"+/b/#", "a/b", true},
		{"+/#", "a", true},
		{"a/+/c", "a//c", true},
		{"a//c", "a/c", false},
		{"#", "$SYS/x", false},
		{"+/x", "$SYS/x", false},
		{"+", "$SYS", false},
		{"$SYS/#", "$SYS", true},
		{"$SYS/+", "$SYS/x", true},
		{"$events/#", "$events/client/connected", true},
		{"$events/+/connected", "$events/client/connected", true},
		{"a/+", "a/$b", true},
	} {
		require.Equal(t, c.want, topic.Match(c.filter, c.topic), "%s %s", c.filter, c.topic)
	}
}

func TestShare(t *testing.T) {
	t.Parallel()
	group, rest, ok := topic.Share("$share/g/a/#")
	require.True(t, ok)
	require.Equal(t, "g", group)
	require.Equal(t, "a/#", rest)
	for _, filter := range []string{"a/#", "$share", "$share/g", "$share/g/", "$share//a", "$share/+/a"} {
		_, rest, ok := topic.Share(filter)
		require.False(t, ok)
		require.Equal(t, filter, rest)
	}
}

// naive is the definition of MQTT 5.0, section 4.7, level by level.
func naive(filter, name string) bool {
	if strings.HasPrefix(name, "$") && (filter[0] == '+' || filter[0] == '#') {
		return false
	}
	f, n := strings.Split(filter, "/"), strings.Split(name, "/")
	for i, level := range f {
		switch {
		case level == "#":
			return true
		case i >= len(n) || level != "+" && level != n[i]:
			return false
		}
	}
	return len(f) == len(n)
}

// Few distinct levels make filters share nodes and match often.
var (
	levels  = rapid.SampledFrom([]string{"a", "b", "$c", "", "d0", "d1", "d2"})
	names   = rapid.Map(rapid.SliceOfN(levels, 1, 5), func(l []string) string { return strings.Join(l, "/") })
	filters = rapid.Custom(func(t *rapid.T) string {
		f := rapid.SliceOfN(rapid.OneOf(levels, rapid.Just("+")), 0, 5).Draw(t, "levels")
		if len(f) == 0 || rapid.IntRange(0, 3).Draw(t, "hash") == 0 {
			f = append(f, "#")
		}
		return strings.Join(f, "/")
	})
)

func TestMatchLikeNaive(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		f, n := filters.Draw(t, "filter"), names.Draw(t, "name")
		if f != "" {
			require.Equal(t, naive(f, n), topic.Match(f, n))
		}
	})
}

func FuzzMatch(f *testing.F) {
	f.Add("a/+/#", "a/b")
	f.Add("$share/g/+", "$SYS/x")
	f.Fuzz(func(t *testing.T, filter, name string) {
		_, rest, shared := topic.Share(filter)
		valid := topic.ValidateFilter(filter)
		var bad *topic.Error
		if valid != nil && (!errors.As(valid, &bad) || bad.Offset < 0 || bad.Offset > len(filter)) {
			t.Fatalf("%q: %v", filter, valid)
		}
		x := topic.NewIndex(func(yield func(string, int) bool) { yield(filter, 1) })
		if got := len(x.Append(nil, name)) == 1; got != topic.Match(filter, name) {
			t.Fatalf("index %v, match %v", got, !got)
		}
		if valid == nil && !shared && topic.ValidateName(name) == nil && topic.Match(rest, name) != naive(rest, name) {
			t.Fatalf("%q %q: %v", rest, name, !naive(rest, name))
		}
	})
}

func ExampleMatch() {
	fmt.Println(topic.Match("t/#", "t/1/temp"), topic.Match("t/#", "t"), topic.Match("#", "$SYS/uptime"))
	// Output: true true false
}

func ExampleValidateFilter() {
	fmt.Println(topic.ValidateFilter("t/#/temp"))
	// Output: topic filter "t/#/temp": "#" must be the last level (at byte 2)
}
