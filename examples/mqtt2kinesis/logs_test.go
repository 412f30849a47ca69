package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// logCalls are methods of *slog.Logger by the argument that is the first key.
var logCalls = map[string]int{
	"Debug": 1, "Info": 1, "Warn": 1, "Error": 1, "With": 0,
	"DebugContext": 2, "InfoContext": 2, "WarnContext": 2, "ErrorContext": 2,
}

// envCalls are methods of the engine's environment that log, by the argument that
// is a key, or the first of them.
var envCalls = map[string]int{"excerpt": 0, "healthChanged": 0, "warn": 0}

// logKeys returns the keys of all log lines in the packages that a bridge is made
// of, each with a place.
func logKeys(t *testing.T) map[string]string {
	t.Helper()
	keys := map[string]string{}
	fset := token.NewFileSet()
	for _, root := range []string{"../../bridge", "../../source", "../../sink", "../../rule", "."} {
		require.NoError(t, filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			if d.IsDir() && (d.Name() == "kinesistest" || d.Name() == "bridgetest") {
				return fs.SkipDir // parts of tests
			}
			if !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return nil
			}
			file, err := parser.ParseFile(fset, path, nil, parser.SkipObjectResolution)
			if err != nil {
				return err
			}
			ast.Inspect(file, func(n ast.Node) bool {
				if call, ok := n.(*ast.CallExpr); ok {
					for _, key := range keysOf(call) {
						keys[key] = fset.Position(call.Pos()).String()
					}
				}
				return true
			})
			return nil
		}))
	}
	return keys
}

// keysOf returns the keys in a call of slog.String and the like, or of a logger.
func keysOf(call *ast.CallExpr) (keys []string) {
	f, ok := call.Fun.(*ast.SelectorExpr)
	if !ok {
		return nil
	}
	if x, ok := f.X.(*ast.Ident); ok && x.Name == "slog" {
		if len(call.Args) == 2 {
			return literal(call.Args[0])
		}
		return nil
	}
	x, _ := f.X.(*ast.SelectorExpr)
	if i, ok := envCalls[f.Sel.Name]; ok && x != nil && x.Sel.Name == "env" && i < len(call.Args) {
		return literal(call.Args[i])
	}
	first, ok := logCalls[f.Sel.Name]
	if !ok || !isLogger(f.X) {
		return nil
	}
	for i := first; i+1 < len(call.Args); i += 2 {
		keys = append(keys, literal(call.Args[i])...)
	}
	return keys
}

func isLogger(x ast.Expr) bool {
	switch x := x.(type) {
	case *ast.Ident:
		return x.Name == "log" || x.Name == "logger"
	case *ast.SelectorExpr:
		return x.Sel.Name == "log" || x.Sel.Name == "Logger" || x.Sel.Name == "logger"
	default:
		return false
	}
}

func literal(x ast.Expr) []string {
	if b, ok := x.(*ast.BasicLit); ok && b.Kind == token.STRING {
		s, _ := strconv.Unquote(b.Value)
		return []string{s}
	}
	return nil
}

// TestLogKeysAreDocumented holds the log to a fixed set of keys: those in the table
// of the documentation.
func TestLogKeysAreDocumented(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../docs/operations.md")
	require.NoError(t, err)
	_, section, ok := strings.Cut(string(text), "\n## Logs\n")
	require.True(t, ok)
	section, _, _ = strings.Cut(section, "\n## ")
	documented := map[string]bool{}
	for _, row := range regexp.MustCompile("(?m)^\\| (`.*?) \\|").FindAllStringSubmatch(section, -1) {
		for _, key := range regexp.MustCompile("`(\\w+)`").FindAllStringSubmatch(row[1], -1) {
			documented[key[1]] = true
		}
	}
	used := logKeys(t)
	require.Greater(t, len(used), 20)
	for key, place := range used {
		require.True(t, documented[key], "the key %q of the log line at %s is not in the table", key, place)
	}
	for _, key := range slices.Sorted(maps.Keys(documented)) {
		require.Contains(t, used, key, "no line has the key")
	}
}
