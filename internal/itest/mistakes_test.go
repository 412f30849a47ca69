package itest

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sluiceio/sluice/sink/kinesis/kinesistest"
)

// Each mistake of an operator ends the program with one sentence that says what
// is wrong.
func TestMistakes(t *testing.T) {
	t.Parallel()
	kinesis := kinesistest.Start(t, kinesistest.Config{Streams: []kinesistest.StreamConfig{{Name: stream}}}).URL()
	open := mosquitto(t).url
	nobody := "127.0.0.1:" + freePort(t)
	ours, theirs := newAuthority(t, "ours"), newAuthority(t, "theirs")
	right := []string{"-mqtt", open, "-endpoint", kinesis, "-stream", stream, "-sql", walkSQL, "-start-timeout", "5s"}

	for _, c := range []struct {
		name  string
		flags []string // after the right ones, which they override
		says  []string // all in the one sentence
	}{
		{"flag", []string{"-strem", "x"}, []string{"-strem"}},
		{"no rule", []string{"-sql", ""}, []string{"-sql is missing"}},
		{"no stream", []string{"-stream", ""}, []string{"-stream is missing"}},
		{"wrong SQL", []string{"-sql", `SELECT * FORM "t/#"`}, []string{"1:10"}},
		{"unknown function", []string{"-sql", `SELECT lowr(topic) AS t FROM "t/#"`}, []string{"lowr", "lower"}},
		{"wrong QoS", []string{"-qos", "3"}, []string{"-qos", "3"}},
		{"unknown stream", []string{"-stream", "no-such-stream"}, []string{"no-such-stream", "ResourceNotFoundException"}},
		{"no Kinesis", []string{"-endpoint", "http://" + nobody}, []string{nobody, "refused"}},
		{"no broker", []string{"-mqtt", "mqtt://" + nobody}, []string{nobody, "refused"}},
		{"not a broker", []string{"-mqtt", "mqtt://" + strings.TrimPrefix(kinesis, "http://")}, []string{"mqtt"}},
		{"wrong password", []string{"-mqtt", withPasswords(t), "-username", "bridge", "-password", "guessed"}, []string{"not authorized"}},
		{"unknown authority", []string{"-mqtt", withTLS(t, theirs), "-ca", ours.file}, []string{"certificate", "unknown authority"}},
		{"no CA file", []string{"-mqtt", withTLS(t, theirs), "-ca", "/no/such/file"}, []string{"/no/such/file"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			p := start(t, "", awsEnv(), append(append([]string{example(t, "mqtt2kinesis")}, right...), c.flags...)...)
			require.NotZero(t, p.wait(t))
			sentence := lastSentence(p.out.String())
			for _, text := range c.says {
				require.Contains(t, sentence, text)
			}
			require.NotContains(t, p.out.String(), "guessed", "a secret")
		})
	}
}

// lastSentence is the line in which the program says why it ends.
func lastSentence(output string) string {
	found := ""
	for line := range strings.Lines(output) {
		if strings.HasPrefix(line, "mqtt2kinesis: ") {
			found = line
		}
	}
	return found
}

func withPasswords(t *testing.T) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "passwords")
	run(t, nil, program(t, "mosquitto_passwd"), "-c", "-b", file, "bridge", "secret")
	require.NoError(t, os.Chmod(file, 0o600))
	return mosquitto(t, "allow_anonymous false", "password_file "+file).url
}

func withTLS(t *testing.T, by *authority) string {
	t.Helper()
	cert, key := by.issue(t, "broker")
	b := mosquitto(t, "certfile "+cert, "keyfile "+key)
	return "mqtts://" + b.address()
}
