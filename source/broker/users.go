package broker

import (
	"bufio"
	"bytes"
	"context"
	"crypto/pbkdf2"
	"crypto/sha512"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"maps"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"

	"golang.org/x/crypto/bcrypt"
)

// ErrNotAuthenticated is why Users refuses a client.
var ErrNotAuthenticated = errors.New("unknown user or wrong password")

// Users are user names and hashes of their passwords, from a file as
// mosquitto_passwd (PBKDF2) or htpasswd -B (bcrypt) writes it: a line
// "name:hash" for each user; empty lines and lines that start with "#" are
// skipped. Its Authenticate method fits Config.Authenticate.
//
// Bcrypt takes some 50 ms of CPU per connection by design; with many devices
// that reconnect at the same time PBKDF2 hashes are the better choice. No more than
// half of the cores compute hashes at the same time; other clients wait.
//
// How long the answer takes does not tell whether there is a user: for an unknown
// one the hash of another is computed.
type Users struct {
	path  string
	users atomic.Pointer[userTable]
	seed  maphash.Seed
	turns chan struct{} // holds a value for each hash that is computed
}

// userTable is what a file of users holds.
type userTable struct {
	byName map[string]passwordHash
	hashes []passwordHash
}

// LoadUsers reads a file of users.
func LoadUsers(path string) (*Users, error) {
	u := &Users{path: path, seed: maphash.MakeSeed(), turns: make(chan struct{}, max(1, runtime.GOMAXPROCS(0)/2))}
	return u, u.Reload()
}

// Reload reads the file again. On an error the users stay as they were.
// Connected clients are not affected.
func (u *Users) Reload() error {
	text, err := readFile(u.path)
	if err != nil {
		return err
	}
	users, err := parseUsers(text)
	if err != nil {
		return fmt.Errorf("%s: %w", u.path, err)
	}
	u.users.Store(&userTable{users, slices.Collect(maps.Values(users))})
	return nil
}

// readFile reads a file that would be a mistake if it were large.
func readFile(path string) ([]byte, error) {
	const most = 64 << 20
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, most+1))
	if err == nil && len(text) > most {
		err = fmt.Errorf("%s is larger than %d bytes", path, most)
	}
	return text, err
}

// Authenticate returns ErrNotAuthenticated unless the client has named a user
// and given the user's password, and an error of ctx when that ends first.
func (u *Users) Authenticate(ctx context.Context, login Login) error {
	table := u.users.Load()
	h, known := table.byName[login.Username]
	if !known {
		if len(table.hashes) == 0 {
			return ErrNotAuthenticated
		}
		// The same one each time, as a known user would have it.
		h = table.hashes[maphash.String(u.seed, login.Username)%uint64(len(table.hashes))]
	}
	select {
	case u.turns <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-u.turns }()
	if !h.matches(login.Password) || !known {
		return ErrNotAuthenticated
	}
	return nil
}

func parseUsers(text []byte) (map[string]passwordHash, error) {
	users := make(map[string]passwordHash)
	lines := bufio.NewScanner(bytes.NewReader(text))
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || line[0] == '#' {
			continue
		}
		name, text, ok := strings.Cut(line, ":")
		if !ok || name == "" {
			return nil, fmt.Errorf(`line %d is not "name:hash"`, n)
		}
		h, err := parseHash(text)
		if err != nil {
			return nil, fmt.Errorf("line %d: user %q: %w", n, name, err)
		}
		users[name] = h
	}
	return users, lines.Err()
}

// passwordHash is either a bcrypt hash or one of PBKDF2 with its parameters.
type passwordHash struct {
	bcrypt     []byte
	iterations int
	salt, key  []byte
}

func (h *passwordHash) matches(password []byte) bool {
	if h.bcrypt != nil {
		return bcrypt.CompareHashAndPassword(h.bcrypt, password) == nil
	}
	key, err := pbkdf2.Key(sha512.New, string(password), h.salt, h.iterations, len(h.key))
	return err == nil && subtle.ConstantTimeCompare(key, h.key) == 1
}

// parseHash reads $2y$… (bcrypt) and $7$iterations$salt$key (PBKDF2 with SHA-512,
// salt and key in base64).
func parseHash(s string) (passwordHash, error) {
	if strings.HasPrefix(s, "$2") {
		if _, err := bcrypt.Cost([]byte(s)); err != nil {
			return passwordHash{}, err
		}
		return passwordHash{bcrypt: []byte(s)}, nil
	}
	parts := strings.Split(s, "$")
	if len(parts) != 5 || parts[0] != "" || parts[1] != "7" {
		return passwordHash{}, errors.New("the hash is neither bcrypt ($2…) nor PBKDF2 ($7$…)")
	}
	var h passwordHash
	var errs [3]error
	h.iterations, errs[0] = strconv.Atoi(parts[2])
	h.salt, errs[1] = base64.StdEncoding.DecodeString(parts[3])
	h.key, errs[2] = base64.StdEncoding.DecodeString(parts[4])
	if errors.Join(errs[:]...) != nil || h.iterations < 1 || len(h.key) < 16 {
		return passwordHash{}, errors.New("the PBKDF2 hash is damaged")
	}
	return h, nil
}
