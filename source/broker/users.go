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
	"os"
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
// that reconnect at the same time PBKDF2 hashes are the better choice.
type Users struct {
	path  string
	users atomic.Pointer[map[string]passwordHash]
}

// LoadUsers reads a file of users.
func LoadUsers(path string) (*Users, error) {
	u := &Users{path: path}
	return u, u.Reload()
}

// Reload reads the file again. On an error the users stay as they were.
// Connected clients are not affected.
func (u *Users) Reload() error {
	text, err := os.ReadFile(u.path)
	if err != nil {
		return err
	}
	users, err := parseUsers(text)
	if err != nil {
		return fmt.Errorf("%s: %w", u.path, err)
	}
	u.users.Store(&users)
	return nil
}

// Authenticate returns ErrNotAuthenticated unless the client has named a user
// and given the user's password.
func (u *Users) Authenticate(_ context.Context, login Login) error {
	h, ok := (*u.users.Load())[login.Username]
	if !ok || !h.matches(login.Password) {
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
