package spool_test

import (
	"encoding/json"
	"errors"
	"os"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(childDir); dir != "" {
		appendForever(dir)
	}
	if text := os.Getenv(childOutage); text != "" {
		var o outage
		err := json.Unmarshal([]byte(text), &o)
		if err == nil {
			var out outcome
			out, err = o.run()
			err = errors.Join(err, json.NewEncoder(os.Stdout).Encode(out))
		}
		if err != nil {
			panic(err)
		}
		return
	}
	goleak.VerifyTestMain(m)
}
