package itest

import (
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluiceio/sluice/bridge"
	"github.com/sluiceio/sluice/bridge/config"
	"github.com/sluiceio/sluice/rule"
	"github.com/sluiceio/sluice/sink/kinesis"
	"github.com/sluiceio/sluice/template"
)

// block is a block of code of a page.
type block struct {
	page string // such as docs/mqtt.md
	line int    // of its first line
	lang string
	text string
}

func (b block) String() string { return fmt.Sprintf("%s:%d", b.page, b.line) }

func (b block) first() string {
	line, _, _ := strings.Cut(strings.TrimSpace(b.text), "\n")
	return line
}

// pages returns README.md and the pages of docs.
func pages(t *testing.T) map[string]string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(projectRoot(), "docs", "*.md"))
	require.NoError(t, err)
	list := map[string]string{}
	for _, file := range append(files, filepath.Join(projectRoot(), "README.md")) {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		name, err := filepath.Rel(projectRoot(), file)
		require.NoError(t, err)
		list[name] = string(text)
	}
	return list
}

// blocks returns all blocks of code, those within fences and those that are
// indented.
func blocks(t *testing.T) (list []block) {
	t.Helper()
	for page, text := range pages(t) {
		var in *block
		fence, blank := "", true
		for i, line := range strings.Split(text, "\n") {
			content := strings.TrimLeft(line, " ")
			switch {
			case fence != "" && content == "```":
				list, in, fence = append(list, *in), nil, ""
			case fence != "":
				in.text += strings.TrimPrefix(line, fence[1:]) + "\n"
			case strings.HasPrefix(content, "```"):
				fence = "x" + line[:len(line)-len(content)]
				in = &block{page: page, line: i + 2, lang: content[3:]}
			case in != nil && strings.HasPrefix(line, "    "):
				in.text += line[4:] + "\n"
			case in != nil && content != "":
				list, in = append(list, *in), nil
			case blank && strings.HasPrefix(line, "    "):
				in = &block{page: page, line: i + 1, text: line[4:] + "\n"}
			}
			blank = content == ""
		}
		if in != nil {
			list = append(list, *in)
		}
	}
	require.NotEmpty(t, list)
	return list
}

// plain are the blocks that are no code, by their first lines, with what keeps
// them true: a test, or why there is none.
var plain = map[string]func(*testing.T, block){
	"device ── PUBLISH ──► source ──► rules (SQL, templates) ──► queue with lanes ──► Kinesis":                    drawing,
	"device ── PUBLISH ──► source            source/mqtt, source/broker, your own":                                drawing,
	"examples, integration tests ──► everything":                                                                  drawing, // depgraph_test.go
	"messages per aggregate = messages per second / slots × BatchTime":                                            drawing, // a formula
	"hold ──► wait for flights ──► strand what does not return ──► relane ──► swap ──► release ──► close the old": drawing, // bridge/exchange.go
	"matched = sum of all outcomes + in flight + waiting":                                                         drawing, // of bridge.SinkStats
	"memory = base + (queues + in flight × expansion + windows) × garbage":                                        drawing, // a formula
	"matched = success + failed + dropped + inflight + queuing":                                                   drawing, // of bridge.SinkStats
	"20:11:03.514 #1 message from plant, t/1, QoS 1, 14 bytes: {\"temp\": 21.5}":                                  drawing, // TestRun of the example
	"$ go run ./examples/quickstart":                                                                              quickstartOutput,
	"rule r1: the records at 1:9: budget \"memory\" exceeded: too much data, the limit is 8000800 bytes":          budgetErrors,
	`device-$<clientid>                                → device-dev-1`:                                            renderings,
}

// commandLine is what a block of commands begins with.
var commandLine = regexp.MustCompile(`^([A-Z_]+=\S+ )*(go|make|docker|mqtt2kinesis) `)

func drawing(*testing.T, block) {}

// budgetErrors makes the errors of a block that shows exceeded budgets.
func budgetErrors(t *testing.T, b block) {
	t.Helper()
	var text strings.Builder
	for _, try := range [][2]string{
		{`FOREACH payload.a FROM "t"`, `{"a":[` + strings.Repeat("100,", 19_999) + `100]}`},
		{"SELECT topic,\n pad(payload.s, payload.n) AS p FROM t", `{"s":"x","n":1000000000}`},
	} {
		r, err := rule.New(rule.Config{Name: "r1", SQL: try[0], Actions: []rule.Action{{}}})
		require.NoError(t, err)
		err = r.Apply(new(bridge.Out), &bridge.Message{Topic: "t", Payload: []byte(try[1])})
		require.ErrorIs(t, err, rule.ErrBudget)
		text.WriteString(err.Error() + "\n")
	}
	require.Equal(t, text.String(), b.text)
}

// Every block of code in the documentation is compiled, parsed or run.
func TestDocumentedBlocks(t *testing.T) {
	t.Parallel()
	for _, b := range blocks(t) {
		switch b.lang {
		case "go": // TestDocumentedGo
		case "yaml":
			documentedYAML(t, b)
		case "sql":
			_, err := rule.New(rule.Config{SQL: b.text})
			require.NoError(t, err, b)
		case "json":
			require.True(t, json.Valid([]byte(b.text)), b)
		case "sh":
			commands(t, b)
		case "", "text":
			if strings.HasPrefix(b.text, "bridge.yaml:") {
				documentedMistake(t, b)
				continue
			}
			check := plain[b.first()]
			if check == nil && commandLine.MatchString(b.first()) {
				check = commands
			}
			require.NotNil(t, check, "%s: say in plain what keeps %q true", b, b.first())
			check(t, b)
		default:
			require.Fail(t, "nobody knows how to check it", "%s: %s", b, b.lang)
		}
	}
}

var surroundings = config.Options{LookupEnv: func(string) (string, bool) { return "mqtt://localhost", true }}

func documentedYAML(t *testing.T, b block) {
	t.Helper()
	if schema := regexp.MustCompile(`^# yaml-language-server: \$schema=(\S+)\n$`).FindStringSubmatch(b.text); schema != nil {
		require.FileExists(t, filepath.Join(projectRoot(), "docs", schema[1]))
		return
	}
	_, err := config.Parse(b.String(), []byte(b.text), surroundings)
	require.NoError(t, err)
}

// documentedMistake makes the mistake of an error that the page shows in the
// definition that it shows.
func documentedMistake(t *testing.T, b block) {
	t.Helper()
	page := pages(t)[b.page]
	definition := regexp.MustCompile("(?s)```yaml\n(.*?)```").FindStringSubmatch(page)[1]
	names := regexp.MustCompile(`there is no sink "(.*?)"; did you mean "(.*?)"`).FindStringSubmatch(b.text)
	_, err := config.Parse("bridge.yaml", []byte(strings.Replace(definition, names[2], names[1], 1)), surroundings)
	require.EqualError(t, err, strings.TrimSpace(b.text))
}

// quickstartOutput compares what the program prints with what the page shows, but
// for ports and what the page leaves out.
func quickstartOutput(t *testing.T, b block) {
	t.Helper()
	p := start(t, "", awsEnv(), example(t, "quickstart"))
	require.Zero(t, p.wait(t))
	ports := regexp.MustCompile(`:\d{4,5}\b`)
	printed := strings.Split(ports.ReplaceAllString(p.out.String(), ":0"), "\n")
	for _, line := range strings.Split(strings.TrimSpace(ports.ReplaceAllString(b.text, ":0")), "\n")[1:] {
		if strings.TrimSpace(line) == "…" {
			continue
		}
		at := slices.Index(printed, line)
		require.GreaterOrEqual(t, at, 0, "%s: %q is not printed: %s", b, line, p.out)
		printed = printed[at+1:]
	}
}

// renderings renders the templates of a table with an arrow.
func renderings(t *testing.T, b block) {
	t.Helper()
	row := template.MapVars{"clientid": "dev-1", "payload": `{"temp":21.5}`, "topic": "t/1"}
	for _, line := range strings.Split(strings.TrimSpace(b.text), "\n") {
		text, want, ok := strings.Cut(line, "→")
		require.True(t, ok, line)
		got, err := template.Compile(strings.TrimSpace(text)).Append(nil, row)
		require.NoError(t, err)
		want, _, _ = strings.Cut(strings.TrimSpace(want), "…")
		require.Contains(t, string(got), want, b)
	}
}

// commands checks that what a shell would run exists: the programs of this
// project, their flags, targets of make, and files.
func commands(t *testing.T, b block) {
	t.Helper()
	text := strings.ReplaceAll(b.text, "\\\n", " ")
	run(t, nil, program(t, "bash"), "-n", "-c", text)
	makefile, err := os.ReadFile(filepath.Join(projectRoot(), "Makefile"))
	require.NoError(t, err)
	for _, line := range strings.Split(text, "\n") {
		words := strings.Fields(line)
		switch {
		case len(words) == 0:
		case words[0] == "make":
			require.Contains(t, string(makefile), "\n"+words[1]+":", b)
		case strings.Contains(line, "go run ./examples/mqtt2kinesis "):
			_, arguments, _ := strings.Cut(line, "mqtt2kinesis ")
			checkFlags(t, b.String(), arguments)
		}
		for _, w := range words {
			if strings.HasPrefix(w, "./") && !strings.Contains(w, "...") {
				require.DirExists(t, filepath.Join(projectRoot(), w), b)
			}
		}
	}
}

// The commands in the text of the pages exist, with their flags.
func TestDocumentedCommands(t *testing.T) {
	t.Parallel()
	found := 0
	for page, text := range pages(t) {
		for _, m := range regexp.MustCompile("`mqtt2kinesis ([^`]+)`").FindAllStringSubmatch(text, -1) {
			found++
			checkFlags(t, page, m[1])
		}
	}
	require.Greater(t, found, 3)
}

// What docs/troubleshooting.md quotes is in the source: a line of the log, an error,
// a metric or an option.
func TestDocumentedSymptoms(t *testing.T) {
	t.Parallel()
	var source strings.Builder
	require.NoError(t, filepath.WalkDir(projectRoot(), func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() || filepath.Ext(path) != ".go" || strings.HasSuffix(path, "_test.go") {
			return err
		}
		text, err := os.ReadFile(path)
		source.Write(text)
		return err
	}))
	all := pages(t)
	text, metrics := source.String(), all["docs/operations.md"]
	found := 0
	for _, row := range regexp.MustCompile(`(?m)^\| ([^|]+) \|`).FindAllStringSubmatch(all["docs/troubleshooting.md"], -1) {
		for _, quoted := range regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(row[1], -1) {
			found++
			switch symptom := quoted[1]; {
			case strings.HasPrefix(symptom, "sluice_"):
				require.Contains(t, metrics, "`"+symptom+"`")
			case !strings.Contains(text, symptom): // Contains would print all of the source
				require.Fail(t, "said nowhere", symptom)
			}
		}
	}
	require.Greater(t, found, 20)
}

// checkFlags checks the arguments of a command line of mqtt2kinesis against what
// -help says.
func checkFlags(t *testing.T, where, arguments string) {
	t.Helper()
	arguments = regexp.MustCompile(`'[^']*'|"[^"]*"`).ReplaceAllString(arguments, "x")
	words := strings.Fields(arguments)
	help := []string{"-help"}
	if !strings.HasPrefix(words[0], "-") {
		help = []string{words[0], "-help"}
	}
	usage, err := exec.CommandContext(t.Context(), example(t, "mqtt2kinesis"), help...).CombinedOutput()
	require.NoError(t, err, "%s: %s", where, usage)
	for _, w := range words {
		if strings.HasPrefix(w, "-") {
			require.Regexp(t, `(?m)^  `+regexp.QuoteMeta(w)+`\b`, string(usage), "%s: %s", where, arguments)
		}
	}
}

// The table of costs is what kinesis.Plan says.
func TestDocumentedCosts(t *testing.T) {
	t.Parallel()
	rows := regexp.MustCompile(`(?m)^\| (\d+) \| (plain|aggregated) \| (\S+) \| (\d+ \| \d+ \| \$\d+ \| \$\d+) \|$`).
		FindAllStringSubmatch(pages(t)["docs/kinesis.md"], -1)
	require.Len(t, rows, 9)
	for _, row := range rows {
		w := kinesis.Workload{MessageBytes: 200, KeyBytes: 16, Keys: 10_000, Slots: 64, Aggregate: row[2] == "aggregated"}
		_, err := fmt.Sscan(row[1], &w.MessagesPerSecond)
		require.NoError(t, err)
		if w.MessagesPerSecond == 100_000 {
			w.Slots = 128
		}
		if w.Aggregate {
			w.MaxDelay, err = time.ParseDuration(row[3])
			require.NoError(t, err)
		}
		prices, ok := kinesis.PricesOf("us-east-1")
		require.True(t, ok)
		e := kinesis.Plan(w, prices)
		require.Equal(t, row[4], fmt.Sprintf("%.0f | %d | $%.0f | $%.0f", e.MessagesPerEntry, e.Shards, e.Provisioned, e.OnDemand), row[0])
	}
}

// surrounding declares what the blocks of Go take for granted.
const surrounding = `
var (
	acl       *broker.ACL
	actions   []rule.Action
	buf       []byte
	ctx       context.Context
	devices   bridge.Source
	mux       *http.ServeMux
	p         *bridge.Pipeline
	session   func(*http.Request) (struct{ Operator bool }, error)
	sql       string
	src       *broker.Source
	store     broker.Store
	temps     bridge.Rule
	tlsConfig *tls.Config
	users     *broker.Users
)
`

// fragment is what one block needs around it to compile beside that.
type fragment struct{ declarations, before, after string }

// fragments are those of the blocks that need any, by first line.
var fragments = map[string]fragment{
	`buffer, err := spool.Open(spool.Config{Dir: "/var/lib/bridge/kinesis", MaxBytes: 20 << 30})`: {
		declarations: "var kinesis bridge.Sink",
	},
	"var dedup kinesis.Dedup // one for each consumer; Window: 1_000_000 if repeats may be that far apart": {
		declarations: "var records iter.Seq[kinesis.UserRecord]\nfunc handle(kinesis.UserRecord) {}",
	},
	"Authorize: func(r *http.Request) error {": {before: "_ = console.Config{\n", after: "}\n"},
	`shout := rule.Func1("shout", func(_ *rule.Call, s string) (any, error) { return strings.ToUpper(s) + "!", nil })`: {
		declarations: "type logSink struct{ config.SinkDefinition }",
	},
}

// Every block of Go compiles, with what its page says around it.
func TestDocumentedGo(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	replace := map[string]string{}
	for _, b := range blocks(t) {
		if b.lang != "go" {
			continue
		}
		name := fmt.Sprintf("snippet%d", len(replace))
		file := filepath.Join(dir, name+".go")
		require.NoError(t, os.WriteFile(file, []byte(wrapped(t, b)), 0o600))
		replace[filepath.Join(projectRoot(), "internal/itest/snippets", name, name+".go")] = file
	}
	overlay, err := json.Marshal(map[string]any{"Replace": replace})
	require.NoError(t, err)
	file := filepath.Join(dir, "overlay.json")
	require.NoError(t, os.WriteFile(file, overlay, 0o600))
	build := exec.CommandContext(t.Context(), "go", "build", "-overlay", file, "./internal/itest/snippets/...")
	build.Dir = projectRoot()
	out, err := build.CombinedOutput()
	require.NoError(t, err, "%s", out)
}

// imported are the packages that blocks may use, by name.
var imported = map[string]string{
	"bridge": "bridge", "config": "bridge/config", "console": "bridge/console", "metrics": "bridge/metrics", "rule": "rule",
	"template": "template", "mqtt": "source/mqtt", "broker": "source/broker", "boltstore": "source/broker/boltstore", "firehose": "sink/firehose", "tracing": "bridge/tracing", "sparkplug": "rule/sparkplug", "sink": "sink", "replay": "source/replay", "kinesis": "sink/kinesis",
	"spool": "sink/spool", "file": "sink/file", "republish": "sink/republish", "httpsink": "sink/http",
}

// wrapped makes a file of a block.
func wrapped(t *testing.T, b block) string {
	t.Helper()
	f := fragments[b.first()]
	text := regexp.MustCompile(`(?m)^\.\.\.$`).ReplaceAllString(b.text, "")
	around := surrounding + f.declarations
	if b.page == "docs/mqtt.md" { // where src is another one
		around = strings.Replace(around, "*broker.Source", "*mqtt.Source", 1)
	}
	head := header(text+f.before+around) + around
	if regexp.MustCompile(`(?m)^(type|func) `).MatchString(text) {
		return fmt.Sprintf("%s\n//line %s:%d\n%s", head, b.page, b.line, text)
	}
	text = regexp.MustCompile(`(?m)^([a-z]+\.[A-Z]\w*\{)$`).ReplaceAllString(text, "_ = $1")
	return fmt.Sprintf("%s\nfunc _() {\n%s//line %s:%d\n%s%s%s}\n", head, f.before, b.page, b.line, text, f.after, uses(t, f.before+text+f.after))
}

// header declares the package and imports what text uses.
func header(text string) string {
	var b strings.Builder
	b.WriteString("package snippet\n")
	for _, std := range []string{"context", "errors", "fmt", "net/http", "crypto/tls", "strings", "time", "log/slog", "os", "iter"} {
		if regexp.MustCompile(`\b` + std[strings.LastIndex(std, "/")+1:] + `\.[A-Z]`).MatchString(text) {
			fmt.Fprintf(&b, "import %q\n", std)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(imported)) {
		declared := regexp.MustCompile(`\bvar ` + name + `\b`).MatchString(text)
		if !declared && regexp.MustCompile(`\b`+name+`\.[A-Z]`).MatchString(text) {
			fmt.Fprintf(&b, "import %s %q\n", name, "github.com/sluiceio/sluice/"+imported[name])
		}
	}
	return b.String()
}

// uses uses the variables that a fragment declares, which are for the reader.
func uses(t *testing.T, text string) string {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "", "package p\nfunc _() {\n"+text+"\n}", 0)
	require.NoError(t, err, text)
	var b strings.Builder
	body := file.Decls[0].(*ast.FuncDecl).Body
	for _, s := range body.List {
		if a, ok := s.(*ast.AssignStmt); ok && a.Tok == token.DEFINE {
			for _, name := range a.Lhs {
				if id := name.(*ast.Ident); id.Name != "_" {
					fmt.Fprintf(&b, "_ = %s\n", id.Name)
				}
			}
		}
	}
	return b.String()
}
