package http

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"
)

// Mode says what a request carries.
type Mode uint8

const (
	// One sends a request for each record, whose body is the record's data.
	One Mode = iota
	// Array sends the data of many records as one JSON array. A record whose
	// data is no JSON fails permanently.
	Array
)

// Config describes a Sink.
type Config struct {
	// Client sends the requests. Default: one of the sink's own that does not
	// follow redirects and keeps up to 64 connections.
	Client *http.Client
	// ContentType of the requests. Default "application/json".
	ContentType string
	// Header is sent with every request. It may hold secrets, which appear in
	// no error and no log.
	Header http.Header
	// Method of the requests. Default POST.
	Method string
	// Mode says what a request carries. Default One.
	Mode Mode
	// Timeout bounds a request with its answer. Default 10 s.
	Timeout time.Duration
	// URL is where requests go, http or https. A record's Dest is a path
	// below it. Required.
	URL string
}

// Validate reports everything that is wrong with the configuration.
func (c Config) Validate() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if _, err := c.parseURL(); err != nil {
		errs = append(errs, err)
	}
	if c.Mode > Array {
		bad("Mode: unknown mode %d", c.Mode)
	}
	if c.Timeout < 0 {
		bad("Timeout: %v is negative", c.Timeout)
	}
	return errors.Join(errs...)
}

func (c Config) parseURL() (*url.URL, error) {
	u, err := url.Parse(c.URL)
	switch {
	case err != nil:
		return nil, errors.New("URL: not a URL") // the text may hold a secret
	case u.Scheme != "http" && u.Scheme != "https" || u.Host == "":
		return nil, errors.New("URL: want http://… or https://…")
	case u.User != nil:
		return nil, errors.New("URL: must not hold a user or password; set Header")
	}
	return u, nil
}

func (c Config) withDefaults() Config {
	if c.ContentType == "" {
		c.ContentType = "application/json"
	}
	if c.Method == "" {
		c.Method = http.MethodPost
	}
	if c.Timeout == 0 {
		c.Timeout = 10 * time.Second
	}
	return c
}
