package broker

import (
	"bufio"
	"bytes"
	"fmt"
	"strings"
	"sync/atomic"

	"github.com/sluiceio/sluice/internal/topic"
)

// ACL says who may publish and subscribe to what, from a file in Mosquitto's
// format. Its Authorize method fits Config.Authorize.
//
//	# Lines before the first "user" are for clients without a user name.
//	topic read public/#
//
//	user alice
//	topic readwrite devices/alice/#
//	topic deny devices/alice/secret
//
//	# A pattern is for every client; %c is its client id, %u its user name.
//	pattern write devices/%c/up
//
// "write" allows to publish, "read" to subscribe and to receive, and no such word
// means both. "deny" takes precedence over everything else. What nothing allows is
// refused.
//
// A subscription is allowed when its filter matches no topic beyond an allowed
// one, which is decided when the client subscribes: "a/+" is allowed by "a/#"
// and not the other way round. A "deny" refuses each subscription that could
// match a denied topic.
type ACL struct {
	path  string
	rules atomic.Pointer[aclRules]
}

type aclRules struct {
	users    map[string][]aclRule // "" for clients without a user name
	patterns []aclRule
}

type aclRule struct {
	filter      string
	read, write bool
	deny        bool
}

// LoadACL reads an access control file.
func LoadACL(path string) (*ACL, error) {
	a := &ACL{path: path}
	return a, a.Reload()
}

// Reload reads the file again. On an error the rules stay as they were. What
// clients are subscribed to stays so, and what they may not read any more does not
// reach them.
func (a *ACL) Reload() error {
	text, err := readFile(a.path)
	if err != nil {
		return err
	}
	rules, err := parseACL(text)
	if err != nil {
		return fmt.Errorf("%s: %w", a.path, err)
	}
	a.rules.Store(rules)
	return nil
}

// Authorize reports whether the client may do this.
func (a *ACL) Authorize(c Client, access Access, name string) bool {
	rules := a.rules.Load()
	allowed := false
	for _, r := range rules.users[c.Username] {
		switch r.judge(r.filter, access, name) {
		case denied:
			return false
		case granted:
			allowed = true
		}
	}
	for _, r := range rules.patterns {
		filter, ok := expand(r.filter, c)
		if !ok {
			continue
		}
		switch r.judge(filter, access, name) {
		case denied:
			return false
		case granted:
			allowed = true
		}
	}
	return allowed
}

type verdict int

const (
	none verdict = iota
	granted
	denied
)

func (r *aclRule) judge(filter string, access Access, name string) verdict {
	switch {
	case access == Publish && !r.write, access != Publish && !r.read:
		return none
	case r.deny && (access != Subscribe && topic.Match(filter, name) || access == Subscribe && overlap(filter, name)):
		return denied
	case !r.deny && (access != Subscribe && topic.Match(filter, name) || access == Subscribe && within(name, filter)):
		return granted
	default:
		return none
	}
}

// expand puts the client id and user name into a pattern. A name that would
// change the pattern's meaning matches nothing.
func expand(pattern string, c Client) (string, bool) {
	for _, v := range [...]struct{ mark, name string }{{"%c", c.ID}, {"%u", c.Username}} {
		if !strings.Contains(pattern, v.mark) {
			continue
		}
		if v.name == "" || strings.ContainsAny(v.name, "+#/") {
			return "", false
		}
		pattern = strings.ReplaceAll(pattern, v.mark, v.name)
	}
	return pattern, true
}

// within reports whether every topic that the filter sub matches is matched by
// outer, too.
func within(sub, outer string) bool {
	if wildcardFirst(outer) && strings.HasPrefix(sub, "$") {
		return false
	}
	for {
		o, outerRest, outerMore := strings.Cut(outer, "/")
		s, subRest, subMore := strings.Cut(sub, "/")
		switch {
		case o == "#":
			return true
		case s == "#", o != "+" && o != s:
			return false
		case !subMore:
			return !outerMore || outerRest == "#"
		case !outerMore:
			return false
		}
		outer, sub = outerRest, subRest
	}
}

// overlap reports whether there is a topic that both filters match.
func overlap(a, b string) bool {
	if wildcardFirst(a) && strings.HasPrefix(b, "$") || wildcardFirst(b) && strings.HasPrefix(a, "$") {
		return false
	}
	for {
		x, aRest, aMore := strings.Cut(a, "/")
		y, bRest, bMore := strings.Cut(b, "/")
		switch {
		case x == "#" || y == "#":
			return true
		case x != "+" && y != "+" && x != y:
			return false
		case !aMore && !bMore:
			return true
		case !aMore:
			return bRest == "#"
		case !bMore:
			return aRest == "#"
		}
		a, b = aRest, bRest
	}
}

func wildcardFirst(filter string) bool { return filter[0] == '+' || filter[0] == '#' }

func parseACL(text []byte) (*aclRules, error) {
	rules := &aclRules{users: make(map[string][]aclRule)}
	user := ""
	lines := bufio.NewScanner(bytes.NewReader(text))
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || line[0] == '#' {
			continue
		}
		word, rest, _ := strings.Cut(line, " ")
		rest = strings.TrimSpace(rest)
		switch word {
		case "user":
			if rest == "" {
				return nil, fmt.Errorf("line %d: the user has no name", n)
			}
			user = rest
		case "topic", "pattern":
			r, err := parseACLRule(rest)
			if err != nil {
				return nil, fmt.Errorf("line %d: %w", n, err)
			}
			if word == "pattern" {
				rules.patterns = append(rules.patterns, r)
			} else {
				rules.users[user] = append(rules.users[user], r)
			}
		default:
			return nil, fmt.Errorf("line %d: %q is not user, topic or pattern", n, word)
		}
	}
	return rules, lines.Err()
}

func parseACLRule(s string) (aclRule, error) {
	r := aclRule{filter: s, read: true, write: true}
	if word, rest, ok := strings.Cut(s, " "); ok {
		switch word {
		case "read":
			r = aclRule{filter: rest, read: true}
		case "write":
			r = aclRule{filter: rest, write: true}
		case "readwrite":
			r.filter = rest
		case "deny":
			r.filter, r.deny = rest, true
		}
	}
	r.filter = strings.TrimSpace(r.filter)
	return r, topic.ValidateFilter(r.filter)
}
