// Mutants puts faults into the product, one at a time, and shows which of them the
// simulation finds. It prints a table in Markdown, and fails if one is not found.
//
//	go run ./internal/sim/mutants [-run REGEXP] [-seeds N]
//
// The product's files are not touched: the go command gets the changed ones as an
// overlay.
package main

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

//go:embed mutants.txt
var list string

// hunters are the tests that look for a fault, the next only if the ones before have
// not found it.
var hunters = []struct {
	name, pkg string
	args      []string
}{
	{"sim", "./internal/sim", []string{"-test.run=TestSim", "-shrink=0"}},
	{"scheduler", "./internal/sched", []string{"-test.run=Histories"}},
	{"bridge", "./bridge", []string{"-test.run=TestHistories"}},
	{"unit tests", "", nil}, // those of the package that has the fault
}

var (
	only  = flag.String("run", "", "which mutants, a regular expression of their names")
	seeds = flag.Int("seeds", 60, "how many scripts the simulation runs for each")
)

func main() {
	flag.Parse()
	if err := run(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	which, err := regexp.Compile(*only)
	if err != nil {
		return err
	}
	mutants, err := parse(list)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "mutants")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	alive, n := 0, 0
	fmt.Println("| fault | found by | how |\n|---|---|---|")
	for _, m := range mutants {
		if !which.MatchString(m.name) {
			continue
		}
		n++
		by, how, err := m.hunt(ctx, dir)
		switch {
		case err != nil:
			alive++
			by, how = "**not tried**", strings.ReplaceAll(err.Error(), "\n", " ")
		case by == "":
			alive++
			by = "**nothing**"
		}
		fmt.Printf("| %s | %s | %s |\n", m.name, by, how)
	}
	fmt.Printf("\n%d of %d found\n", n-alive, n)
	if alive > 0 {
		return fmt.Errorf("%d mutants are alive", alive)
	}
	return nil
}

// mutant is a fault.
type mutant struct {
	name, file string
	old, new   []string
}

func parse(text string) (mutants []*mutant, err error) {
	var m *mutant
	for n, line := range strings.Split(text, "\n") {
		kind, rest, _ := strings.Cut(line, " ")
		switch {
		case line == "" || kind == "#":
		case kind == "=":
			m = &mutant{name: rest}
			mutants = append(mutants, m)
		case m == nil:
			return nil, fmt.Errorf("mutants.txt:%d: no mutant has begun", n+1)
		case kind == "-":
			m.old = append(m.old, rest)
		case kind == "+":
			m.new = append(m.new, rest)
		case m.file == "":
			m.file = line
		default:
			return nil, fmt.Errorf("mutants.txt:%d: %q is neither - nor +", n+1, line)
		}
	}
	return mutants, nil
}

// apply returns the file with the fault in it.
func (m *mutant) apply() (string, error) {
	source, err := os.ReadFile(m.file)
	if err != nil {
		return "", err
	}
	lines := strings.Split(string(source), "\n")
	at := -1
	for i := 0; i+len(m.old) <= len(lines); i++ {
		if !m.begins(lines[i:]) {
			continue
		}
		if at >= 0 {
			return "", fmt.Errorf("%s has the lines twice, at %d and %d", m.file, at+1, i+1)
		}
		at = i
	}
	if at < 0 {
		return "", fmt.Errorf("%s does not have the lines %q", m.file, m.old)
	}
	last := len(m.old) - 1
	// The last line may be the beginning of one only.
	end := strings.TrimPrefix(strings.TrimSpace(lines[at+last]), m.old[last])
	changed := append(append(append([]string{}, lines[:at]...), m.new...), lines[at+len(m.old):]...)
	changed[at+len(m.new)-1] += end
	return strings.Join(changed, "\n"), nil
}

func (m *mutant) begins(lines []string) bool {
	for i, old := range m.old {
		line := strings.TrimSpace(lines[i])
		if line != old && (i < len(m.old)-1 || old == "" || !strings.HasPrefix(line, old)) {
			return false
		}
	}
	return true
}

// hunt returns who has found the fault, and how.
func (m *mutant) hunt(ctx context.Context, dir string) (by, how string, err error) {
	changed, err := m.apply()
	if err != nil {
		return "", "", err
	}
	file, err := filepath.Abs(m.file)
	if err != nil {
		return "", "", err
	}
	mutated, overlay := filepath.Join(dir, "mutated.go"), filepath.Join(dir, "overlay.json")
	text, err := json.Marshal(map[string]any{"Replace": map[string]string{file: mutated}})
	if err := errors.Join(err, os.WriteFile(mutated, []byte(changed), 0o600), os.WriteFile(overlay, text, 0o600)); err != nil {
		return "", "", err
	}
	for _, h := range hunters {
		if h.pkg == "" {
			h.pkg = "./" + filepath.Dir(m.file)
		}
		binary := filepath.Join(dir, h.name+".test")
		build := exec.CommandContext(ctx, "go", "test", "-c", "-vet=off", "-overlay", overlay, "-o", binary, h.pkg) //nolint:gosec // nothing comes from outside
		if out, err := build.CombinedOutput(); err != nil {
			return "", "", fmt.Errorf("%w: %s", err, out)
		}
		args := append([]string{"-test.timeout=2m"}, h.args...)
		if h.name == "sim" {
			args = append(args, fmt.Sprintf("-seeds=%d", *seeds))
		}
		if usesRapid(h.pkg) {
			args = append(args, "-rapid.nofailfile")
		}
		// A fault may use all memory, or never end.
		limited, cancel := context.WithTimeout(ctx, 3*time.Minute)
		test := exec.CommandContext(limited, binary, args...) //nolint:gosec // as above
		test.Dir = h.pkg
		test.Env = append(os.Environ(), "GOMEMLIMIT=2GiB")
		out, err := test.CombinedOutput()
		cancel()
		if err != nil {
			return h.name, reason(out, err), nil
		}
	}
	return "", "", nil
}

// usesRapid reports whether the tests of a folder have rapid's flags. It would write
// what it finds to the folder.
func usesRapid(dir string) bool {
	files, _ := filepath.Glob(filepath.Join(dir, "*_test.go"))
	for _, f := range files {
		if text, err := os.ReadFile(f); err == nil && bytes.Contains(text, []byte(`"pgregory.net/rapid"`)) {
			return true
		}
	}
	return false
}

// logged matches a line of the standard logger.
var logged = regexp.MustCompile(`^\d{4}/\d\d/\d\d `)

// reason is the first line that says what was wrong.
func reason(out []byte, err error) string {
	seed := regexp.MustCompile(`seed (\d+) fails`).FindSubmatch(out)
	var why string
	for line := range bytes.Lines(out) {
		line := strings.TrimSpace(string(line))
		if line == "" || strings.HasPrefix(line, "---") || strings.HasPrefix(line, "===") || strings.Contains(line, "_test.go:") || logged.MatchString(line) {
			continue
		}
		why = line
		break
	}
	why = strings.ReplaceAll(why, "|", `\|`)
	if len(why) > 90 {
		why = why[:90] + "…"
	}
	if why == "" {
		why = err.Error()
	}
	if seed != nil {
		return fmt.Sprintf("seed %s: %s", seed[1], why)
	}
	return why
}
