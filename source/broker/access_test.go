package broker

import (
	"context"
	"crypto/pbkdf2"
	"crypto/sha512"
	"encoding/base64"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/bcrypt"
	"pgregory.net/rapid"

	"github.com/sluiceio/sluice/internal/topic"
)

func mosquittoHash(t *testing.T, password string) string {
	key, err := pbkdf2.Key(sha512.New, password, []byte("saltsaltsalt"), 101, 64)
	require.NoError(t, err)
	return "$7$101$" + base64.StdEncoding.EncodeToString([]byte("saltsaltsalt")) + "$" + base64.StdEncoding.EncodeToString(key)
}

func TestUsers(t *testing.T) {
	t.Parallel()
	b, err := bcrypt.GenerateFromPassword([]byte("bobs"), bcrypt.MinCost)
	require.NoError(t, err)
	path := filepath.Join(t.TempDir(), "users")
	write := func(text string) { require.NoError(t, os.WriteFile(path, []byte(text), 0o600)) }
	write("# users\n\nalice:" + mosquittoHash(t, "alices") + "\nbob:" + string(b) + "\n")
	u, err := LoadUsers(path)
	require.NoError(t, err)
	try := func(user, password string) error {
		return u.Authenticate(t.Context(), Login{Client: Client{Username: user}, Password: []byte(password)})
	}
	require.NoError(t, try("alice", "alices"))
	require.NoError(t, try("bob", "bobs"))
	for user, password := range map[string]string{"alice": "bobs", "bob": "", "": "", "eve": "alices"} {
		require.ErrorIs(t, try(user, password), ErrNotAuthenticated, user)
	}

	for text, want := range map[string]string{
		"alice\n":              `line 1 is not "name:hash"`,
		"\n:x":                 `line 2 is not "name:hash"`,
		"a:plain":              `line 1: user "a": the hash is neither`,
		"a:$7$0$AAAA$AAAA":     "damaged",
		"a:$7$101$!!!!$AAAA":   "damaged",
		"a:$2y$05$tooshort":    `user "a"`,
		"a:$6$salt$sha512hash": "neither",
	} {
		write(text)
		require.ErrorContains(t, u.Reload(), want, text)
		require.NoError(t, try("alice", "alices"), "the old users stay")
	}
	_, err = LoadUsers(path + ".missing")
	require.ErrorIs(t, err, os.ErrNotExist)
}

// TestUnknownUsersCostAHash: how long an answer takes does not tell whether there is
// a user, and logins do not take all cores.
func TestUnknownUsersCostAHash(t *testing.T) {
	b, err := bcrypt.GenerateFromPassword([]byte("secret"), bcrypt.MinCost)
	require.NoError(t, err)
	path := filepath.Join(t.TempDir(), "users")
	require.NoError(t, os.WriteFile(path, []byte("ann:"+string(b)+"\n"), 0o600))
	u, err := LoadUsers(path)
	require.NoError(t, err)
	try := func(ctx context.Context, user string) error {
		return u.Authenticate(ctx, Login{Client: Client{Username: user}, Password: []byte("wrong")})
	}
	allocs := func(user string) float64 {
		return testing.AllocsPerRun(10, func() { require.ErrorIs(t, try(t.Context(), user), ErrNotAuthenticated) })
	}
	known, unknown := allocs("ann"), allocs("nobody")
	require.Greater(t, known, 5.0, "as a hash takes")
	require.InDelta(t, known, unknown, 1)

	require.Equal(t, max(1, runtime.GOMAXPROCS(0)/2), cap(u.turns))
	for range cap(u.turns) {
		u.turns <- struct{}{}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, try(ctx, "ann"), context.Canceled, "it waits for its turn")
	require.ErrorIs(t, try(ctx, "nobody"), context.Canceled)
}

func TestACL(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "acl")
	write := func(text string) { require.NoError(t, os.WriteFile(path, []byte(text), 0o600)) }
	write(`
# everybody without a name
topic read public/#

user alice
topic a/#
topic deny a/secret
topic write only/up
user bob
topic read #
pattern write dev/%c/up
pattern read user/%u/+
`)
	acl, err := LoadACL(path)
	require.NoError(t, err)
	for _, c := range []struct {
		client, user string
		access       Access
		topic        string
		want         bool
	}{
		{"c", "", Subscribe, "public/x", true},
		{"c", "", Subscribe, "public/#", true},
		{"c", "", Subscribe, "#", false},
		{"c", "", Publish, "public/x", false},
		{"c", "alice", Publish, "a/b/c", true},
		{"c", "alice", Publish, "a/secret", false},
		{"c", "alice", Subscribe, "a/+/x", true},
		{"c", "alice", Subscribe, "a/+", false}, // would show the secret
		{"c", "alice", Publish, "only/up", true},
		{"c", "alice", Subscribe, "only/up", false},
		{"c", "alice", Subscribe, "public/x", false},
		{"c", "bob", Subscribe, "#", true},
		{"c", "bob", Subscribe, "$SYS/#", false},
		{"d1", "eve", Publish, "dev/d1/up", true},
		{"d1", "eve", Publish, "dev/d2/up", false},
		{"+", "eve", Publish, "dev/+/up", false},
		{"d1/up", "eve", Publish, "dev/d1/up/up", false},
		{"d1", "eve", Subscribe, "user/eve/x", true},
		{"d1", "", Subscribe, "user//x", false},
	} {
		got := acl.Authorize(Client{ID: c.client, Username: c.user}, c.access, c.topic)
		require.Equal(t, c.want, got, "%+v", c)
	}
	for text, want := range map[string]string{
		"allow x":     `line 1: "allow" is not user, topic or pattern`,
		"user ":       "no name",
		"topic":       "must not be empty",
		"topic a/#/b": `"#" must be the last level`,
	} {
		write(text)
		require.ErrorContains(t, acl.Reload(), want)
		require.True(t, acl.Authorize(Client{Username: "bob"}, Subscribe, "#"), "the old rules stay")
	}
}

// TestFilterRelations compares within and overlap with what they mean, over all
// topics of up to four levels of a small alphabet.
func TestFilterRelations(t *testing.T) {
	t.Parallel()
	names := []string{"a", "b", "$x", ""}
	var topics []string
	level := []string{""}
	for range 4 {
		var next []string
		for _, prefix := range level {
			for _, n := range names {
				next = append(next, prefix+n+"/")
			}
		}
		for _, n := range next {
			topics = append(topics, strings.TrimSuffix(n, "/"))
		}
		level = next
	}
	filter := rapid.Custom(func(t *rapid.T) string {
		f := rapid.SliceOfN(rapid.SampledFrom([]string{"a", "b", "$x", "", "+", "+"}), 1, 3).Draw(t, "levels")
		if rapid.Bool().Draw(t, "hash") {
			f[len(f)-1] = "#"
		}
		return strings.Join(f, "/")
	}).Filter(func(f string) bool { return f != "" })
	rapid.Check(t, func(t *rapid.T) {
		x, y := filter.Draw(t, "x"), filter.Draw(t, "y")
		wantWithin, wantOverlap := true, false
		for _, name := range topics {
			mx, my := topic.Match(x, name), topic.Match(y, name)
			wantWithin = wantWithin && (!mx || my)
			wantOverlap = wantOverlap || mx && my
		}
		require.Equal(t, wantOverlap, overlap(x, y), "%s %s", x, y)
		if within(x, y) {
			require.True(t, wantWithin, "%s within %s", x, y)
		}
		// The alphabet is small enough that a filter can be within another
		// by accident only through "$".
		if wantWithin && !strings.Contains(x+y, "$") {
			require.True(t, within(x, y) || strings.HasPrefix(x, "+") || strings.HasPrefix(x, "#"), "%s within %s", x, y)
		}
	})
}
