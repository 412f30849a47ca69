package main

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// checkpoint says how far a file of dead letters is done with.
type checkpoint struct {
	Offset int64 `json:"offset"`
	// Head is the hash of the beginning of the file, HeadBytes of it, by which
	// another file under the same name is noticed.
	Head      string `json:"head"`
	HeadBytes int64  `json:"head_bytes"`
}

const headBytes = 4096

// readCheckpoint returns the checkpoint at a path for a file, the beginning if there is
// none.
func readCheckpoint(path, file string) (checkpoint, error) {
	var c checkpoint
	text, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return c, nil
	}
	if err == nil {
		err = json.Unmarshal(text, &c)
	}
	if err != nil {
		return c, fmt.Errorf("checkpoint %s: %w", path, err)
	}
	head, err := hashHead(file, c.HeadBytes)
	if err != nil {
		return c, err
	}
	if head != c.Head {
		return c, fmt.Errorf("%s is not the file of the checkpoint %s: remove the checkpoint to begin anew", file, path)
	}
	return c, nil
}

func hashHead(file string, n int64) (string, error) {
	f, err := os.Open(file)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.CopyN(h, f, n); err != nil && !errors.Is(err, io.EOF) {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// write replaces the checkpoint at a path.
func (c checkpoint) write(path, file string) (err error) {
	c.HeadBytes = min(c.Offset, headBytes)
	if c.Head, err = hashHead(file, c.HeadBytes); err != nil {
		return err
	}
	return writeJSON(path, c)
}

// writeJSON replaces a file by a value as JSON, so that a crash leaves the old or the
// new one.
func writeJSON(path string, v any) error {
	text, err := json.Marshal(v)
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	_, err = f.Write(append(text, '\n'))
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		err = errors.Join(err, os.Remove(f.Name()))
	}
	return err
}
