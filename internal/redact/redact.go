// Package redact takes out of texts what must not be shown: the user, the
// query and the fragment of URLs. Tokens are given there, and logs, errors and
// pages go where no token may go.
package redact

import (
	"net/url"
	"regexp"
	"slices"
	"strings"
)

// Mark stands where something was taken out.
const Mark = "***"

// URL returns a URL as it may be shown: without user, query and fragment. Of a
// text that is not a URL it returns nothing but the scheme, if there is one.
func URL(text string) string {
	if text == "" {
		return ""
	}
	u, err := url.Parse(text)
	if err != nil {
		if scheme, _, ok := strings.Cut(text, "://"); ok && schemeOnly.MatchString(scheme) {
			return scheme + "://" + Mark
		}
		return Mark
	}
	return Parsed(u)
}

var schemeOnly = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9+.-]*$`)

// Parsed returns a URL as it may be shown.
func Parsed(u *url.URL) string {
	if u.Scheme == "" && u.Host != "" || u.Host == "" && strings.Contains(u.Opaque+u.Path, "@") {
		return Mark // user:password@host, where the scheme or "//" was forgotten
	}
	shown := *u
	shown.User, shown.RawQuery, shown.ForceQuery, shown.Fragment, shown.RawFragment = nil, "", false, "", ""
	return shown.String()
}

// anyURL finds what has the form of a URL within a text.
var anyURL = regexp.MustCompile("[A-Za-z][A-Za-z0-9+.-]*://[^\\s\"'`<>\\\\]+")

// Text returns text with every URL in it as URL shows it.
func Text(text string) string {
	if !strings.Contains(text, "://") {
		return text
	}
	return anyURL.ReplaceAllStringFunc(text, func(found string) string {
		rest := strings.TrimRight(found, ".,;:)]}")
		return URL(rest) + found[len(rest):]
	})
}

// Error returns err with a text that shows URLs as Text does. It wraps err.
func Error(err error) error { return Secrets(nil).Error(err) }

// Secrets are texts that must not be shown in any form.
type Secrets []string

// minSecret is the length below which a value is no secret, and a part of too
// many other words to be taken out of texts.
const minSecret = 4

// Of returns the secrets that URLs hold: users, passwords, queries with their
// values, and fragments, as they are written and as they are meant.
func Of(urls ...string) Secrets {
	var s Secrets
	for _, text := range urls {
		u, err := url.Parse(text)
		if err != nil {
			s = append(s, text)
			continue
		}
		if u.User != nil {
			password, _ := u.User.Password()
			s = append(s, u.User.String(), u.User.Username(), password, url.QueryEscape(password), url.PathEscape(password))
		}
		s = append(s, u.Opaque, u.RawQuery, u.Fragment, u.EscapedFragment())
		for pair := range strings.FieldsFuncSeq(u.RawQuery, func(r rune) bool { return r == '&' || r == ';' }) {
			s = append(s, forms(pair)...)
		}
	}
	return s.And()
}

// forms returns how the value of a pair of a query may appear.
func forms(pair string) []string {
	name, value, ok := strings.Cut(pair, "=")
	if !ok {
		value = name // a token alone
	}
	list := []string{value}
	if plain, err := url.QueryUnescape(value); err == nil {
		list = append(list, plain, url.QueryEscape(plain), url.PathEscape(plain))
	}
	if plain, err := url.PathUnescape(value); err == nil {
		list = append(list, plain)
	}
	return list
}

// And returns the secrets with further ones, the longest first.
func (s Secrets) And(more ...string) Secrets {
	all := slices.DeleteFunc(slices.Concat(s, Secrets(more)), func(v string) bool { return len(v) < minSecret })
	slices.SortFunc(all, func(a, b string) int {
		if len(a) != len(b) {
			return len(b) - len(a)
		}
		return strings.Compare(a, b)
	})
	return slices.Compact(all)
}

// Text returns text without the secrets, and with every URL in it as URL shows
// it.
func (s Secrets) Text(text string) string {
	for _, v := range s {
		text = strings.ReplaceAll(text, v, Mark)
	}
	return Text(text)
}

// Error returns err with a text without the secrets and with URLs as Text shows
// them. It wraps err.
func (s Secrets) Error(err error) error {
	if err == nil {
		return nil
	}
	before := err.Error()
	if text := s.Text(before); text != before {
		return &hidden{text, err}
	}
	return err
}

type hidden struct {
	text string
	err  error
}

func (h *hidden) Error() string { return h.text }
func (h *hidden) Unwrap() error { return h.err }
