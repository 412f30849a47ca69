// Command testsum reads the output of go test -json and prints what a person
// wants of it: go test's own line per package, the whole output of tests that
// failed, the reason of each skip, and a last line with the counts.
//
//	go test -json ./... | testsum
//
// With -o the package lines and the counts are also written to a file. With
// -noskip a skipped test makes it fail, as a failed one does.
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
)

func main() {
	file := flag.String("o", "", "also write the summary to this `file`")
	noskip := flag.Bool("noskip", false, "fail when a test was skipped")
	flag.Parse()

	s := summary{output: map[string][]string{}, noskip: *noskip}
	if err := s.read(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "testsum:", err)
		os.Exit(2)
	}
	text := s.text()
	fmt.Print(text[strings.LastIndexByte(strings.TrimSuffix(text, "\n"), '\n')+1:])
	if *file != "" {
		if err := os.WriteFile(*file, []byte(text), 0o644); err != nil {
			fmt.Fprintln(os.Stderr, "testsum:", err)
			os.Exit(2)
		}
	}
	if s.failed > 0 || s.broken > 0 || (s.noskip && s.skipped > 0) {
		os.Exit(1)
	}
}

// event is one line of go test -json; see go doc test2json.
type event struct {
	Action, Package, ImportPath, Test, Output string
}

// summary is what has been seen so far.
type summary struct {
	noskip                  bool
	passed, failed, skipped int
	broken                  int                 // packages that failed without a failed test: build errors, panics
	output                  map[string][]string // by package and test, until its result is known
	lines                   []string            // go test's own line per package
	failedIn                map[string]bool     // packages with a failed test
}

// read consumes the events and prints what is worth printing as it comes.
func (s *summary) read(r io.Reader, w io.Writer) error {
	s.failedIn = map[string]bool{}
	in := bufio.NewReader(r)
	for {
		line, err := in.ReadBytes('\n')
		if len(line) > 0 {
			var e event
			if json.Unmarshal(line, &e) != nil {
				fmt.Fprintf(w, "%s", line) // not an event: a word of the go command itself
			} else {
				s.add(e, w)
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func (s *summary) add(e event, w io.Writer) {
	key := e.Package + "\x00" + e.Test
	switch e.Action {
	case "build-output":
		fmt.Fprint(w, e.Output)
	case "output":
		if e.Test == "" && isPackageLine(e.Output) {
			fmt.Fprint(w, e.Output)
			s.lines = append(s.lines, e.Output)
			return
		}
		s.output[key] = append(s.output[key], e.Output)
	case "pass":
		if e.Test != "" {
			s.passed++
		}
		delete(s.output, key)
	case "skip":
		if e.Test != "" {
			s.skipped++
			fmt.Fprint(w, strings.Join(s.output[key], ""))
		}
		delete(s.output, key)
	case "fail":
		fmt.Fprint(w, strings.Join(s.output[key], ""))
		delete(s.output, key)
		if e.Test != "" {
			s.failed++
			s.failedIn[e.Package] = true
		} else if !s.failedIn[e.Package] {
			s.broken++
		}
	}
}

// isPackageLine reports whether a line of output is go test's result of a package.
func isPackageLine(line string) bool {
	for _, prefix := range []string{"ok  \t", "FAIL\t", "?   \t"} {
		if strings.HasPrefix(line, prefix) {
			return true
		}
	}
	return false
}

// text is the summary: the package lines and, last, the counts.
func (s *summary) text() string {
	last := fmt.Sprintf("%d passed, %d failed, %d skipped", s.passed, s.failed, s.skipped)
	if s.broken > 0 {
		last += fmt.Sprintf(", %d packages broken", s.broken)
	}
	if s.noskip && s.skipped > 0 {
		last += " (a skip counts as a failure here)"
	}
	return strings.Join(s.lines, "") + last + "\n"
}
