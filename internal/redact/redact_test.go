package redact_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/sluiceio/sluice/internal/redact"
)

func TestURL(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"":                                      "",
		"mqtt://broker:1883":                    "mqtt://broker:1883",
		"wss://u:p@broker/mqtt?token=s3cret#f":  "wss://broker/mqtt",
		"https://host?s3cret":                   "https://host",
		"https://host/?":                        "https://host/",
		"unix:///run/mqtt.sock":                 "unix:///run/mqtt.sock",
		"http://host:s3cret/":                   "http://***",
		"mqtt:user:s3cret@host":                 "***",
		"\x00s3cret":                            "***",
		"me:s3cret@host":                        "***",
		"s3cret@host":                           "***",
		"localhost:1883":                        "localhost:1883",
		"localhost":                             "localhost",
		"//s3cret":                              "***",
		"https://[::1]:8080/a%2Fb?x=s3cret&y=1": "https://[::1]:8080/a%2Fb",
	} {
		require.Equal(t, want, redact.URL(text), text)
	}
}

func TestText(t *testing.T) {
	t.Parallel()
	require.Equal(t, `Post "http://h/p": refused (see https://h/x).`, redact.Text(`Post "http://u:p@h/p?t=s3cret": refused (see https://h/x?s3cret).`))
	require.Equal(t, "no URL ? in & it", redact.Text("no URL ? in & it"))
}

func TestErrorKeepsWhatItWraps(t *testing.T) {
	t.Parallel()
	err := redact.Error(fmt.Errorf("dial: %w", &url.Error{Op: "Get", URL: "http://h/?token=s3cret", Err: io.EOF}))
	require.EqualError(t, err, `dial: Get "http://h/": EOF`)
	require.ErrorIs(t, err, io.EOF)
	plain := errors.New("plain")
	require.Same(t, plain, redact.Error(plain))
	require.NoError(t, redact.Error(nil))
}

// What is a secret of a URL is found in whatever form an error of net/http, or
// a server that repeats the request, shows it.
func TestNoSecretIsShown(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		token := "T0k" + rapid.StringMatching(`[a-zA-Z0-9 %&+=/'"é:?#-]{3,30}`).Draw(t, "token") + "n9"
		at := rapid.SampledFrom([]string{"query", "bare query", "password", "user", "fragment"}).Draw(t, "at")
		u := url.URL{Scheme: "http", Host: "127.0.0.1:1", Path: "/p"}
		switch at {
		case "query":
			u.RawQuery = url.Values{"a": {"1"}, "token": {token}}.Encode()
		case "bare query":
			u.RawQuery = url.QueryEscape(token)
		case "password":
			u.User = url.UserPassword("me", token)
		case "user":
			u.User = url.User(token)
		case "fragment":
			u.Fragment = token
		}
		text := u.String()
		secrets := redact.Of(text)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, text, http.NoBody)
		require.NoError(t, err)
		resp, err := http.DefaultClient.Do(r)
		require.Nil(t, resp)
		for _, shown := range []string{
			redact.URL(text), redact.Error(err).Error(), secrets.Error(err).Error(),
			secrets.Text("the server says: " + token + " is wrong"), secrets.Text("GET " + r.URL.RequestURI() + " is not here"),
			secrets.Text(fmt.Sprintf("parse %q", text)),
		} {
			for _, form := range []string{token, url.QueryEscape(token), url.PathEscape(token)} {
				require.NotContains(t, shown, form)
			}
		}
	})
}
