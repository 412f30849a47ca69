package console_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"

	"github.com/sluiceio/sluice/bridge"
	"github.com/sluiceio/sluice/bridge/bridgetest"
	"github.com/sluiceio/sluice/bridge/console"
	"github.com/sluiceio/sluice/rule"
)

// chromium starts a browser for the test. Where none is installed the test is
// skipped, or fails if the real parts were asked for.
func chromium(t *testing.T) context.Context {
	t.Helper()
	var path string
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if p, err := exec.LookPath(name); err == nil {
			path = p
			break
		}
	}
	if path == "" {
		const why = "no chromium on the PATH; install Debian's package chromium"
		if os.Getenv("CI") == "true" && os.Getenv("SLUICE_REAL_PARTS") == "1" {
			t.Fatal(why)
		}
		t.Skip(why)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewExecAllocator(ctx, append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(path), chromedp.NoSandbox, chromedp.DisableGPU, chromedp.UserDataDir(t.TempDir()),
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-component-update", true))...)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	do(ctx, t, chromedp.Navigate("about:blank"))
	return ctx
}

func do(ctx context.Context, t *testing.T, steps ...chromedp.Action[chromedp.Void]) {
	t.Helper()
	require.NoError(t, chromedp.Do(ctx, steps...))
}

func script(js string) chromedp.Action[chromedp.Void] {
	return chromedp.Evaluate[chromedp.Void](js, chromedp.EvalAwaitPromise)
}

// complaints collects what the page writes to its console as errors, and what it
// throws.
func complaints(ctx context.Context, t *testing.T) func() []string {
	t.Helper()
	var mu sync.Mutex
	var list []string
	add := func(s string) { mu.Lock(); defer mu.Unlock(); list = append(list, s) }
	require.NoError(t, chromedp.Listen(ctx, func(e any) {
		switch e := e.(type) {
		case *runtime.EventExceptionThrown:
			add(fmt.Sprintf("%s:%d: %s", e.ExceptionDetails.URL, e.ExceptionDetails.LineNumber+1, e.ExceptionDetails.Exception.Description))
		case *runtime.EventConsoleAPICalled:
			if e.Type == runtime.ConsoleAPICalledTypeError || e.Type == runtime.ConsoleAPICalledTypeWarning {
				add(fmt.Sprint(e.Args))
			}
		case *log.EventEntryAdded:
			if e.Entry.Level == log.EntryLevelError || e.Entry.Level == log.EntryLevelWarning {
				add(e.Entry.Text + " " + e.Entry.URL)
			}
		}
	}))
	return func() []string { mu.Lock(); defer mu.Unlock(); return list }
}

// plant is a pipeline with a console, for a browser to look at.
type plant struct {
	pipeline *bridge.Pipeline
	source   *bridgetest.Source
	url      string
	replayed atomic.Int64
	broken   atomic.Bool // the sink "orders" refuses everything
	picky    atomic.Bool // the sink "archive" refuses records for good
}

type checked struct {
	bridge.Sink
	check func() error
}

func (c checked) Check(context.Context) error { return c.check() }

func newPlant(t *testing.T, rules, shards int) *plant {
	t.Helper()
	p := &plant{source: &bridgetest.Source{}}
	stored := bridge.SinkFunc(func(context.Context, *bridge.Batch) error { return nil })
	orders := bridge.SinkFunc(func(context.Context, *bridge.Batch) error {
		if p.broken.Load() {
			return bridge.Unavailable(errors.New("stream orders: ResourceNotFoundException: Stream orders under account 111122223333 not found"))
		}
		return nil
	})
	archive := bridge.SinkFunc(func(context.Context, *bridge.Batch) error {
		if p.picky.Load() {
			return bridge.Permanent(errors.New("record is larger than 10 MiB"))
		}
		return nil
	})
	dead := console.NewDeadLetters(console.DeadLettersConfig{Replay: func(context.Context, console.DeadLetter) error {
		p.replayed.Add(1)
		return nil
	}})
	kept := map[string]console.RuleConfig{}
	made := map[string]bridge.Rule{}
	add := func(name, sql string, sinks ...string) {
		cfg := rule.Config{Name: name, SQL: sql}
		for _, s := range sinks {
			cfg.Actions = append(cfg.Actions, rule.Action{Sink: s, Key: "${clientid}"})
		}
		r, err := rule.New(cfg)
		require.NoError(t, err)
		made[name], kept[name] = r, console.RuleConfig{SQL: sql, Actions: cfg.Actions}
	}
	add("temps", "SELECT payload.id AS id, payload.temp AS temp, clientid\nFROM \"sensors/+/temp\"\nWHERE payload.temp > 20", "readings")
	add("all-orders", "SELECT * FROM \"shop/orders/#\"", "orders", "archive")
	add("everything", "SELECT topic, payload, clientid FROM \"sensors/#\", \"shop/#\"", "archive")
	for i := range rules {
		add(fmt.Sprintf("plant-%02d-line", i), fmt.Sprintf("SELECT payload.v AS v, clientid FROM \"plants/%d/+/v\"", i), []string{"readings", "archive"}[i%2])
	}
	sinks := map[string]bridge.Sink{
		"readings": stored, "archive": archive, "dead": dead,
		"orders": checked{orders, func() error {
			if p.broken.Load() {
				return errors.New("stream orders does not exist")
			}
			return nil
		}},
	}
	if rules > 50 {
		for i := range 16 {
			sinks[fmt.Sprintf("region-%02d", i)] = stored
		}
	}
	var err error
	p.pipeline, err = bridge.New(bridge.Config{
		Sources: map[string]bridge.Source{"mqtt": p.source},
		Rules:   made, Sinks: sinks,
		Queue:         bridge.QueueConfig{Fallback: "dead"},
		CheckInterval: -1, DrainTimeout: 100 * time.Millisecond,
		Logger: slog.New(slog.DiscardHandler),
	})
	require.NoError(t, err)
	c, err := console.New(console.Config{
		Pipeline: p.pipeline, Rules: kept, Title: "Sluice", Authorize: func(*http.Request) error { return nil },
		Logger: slog.New(slog.DiscardHandler),
		Shards: map[string]func() []bridge.ShardLoad{"readings": func() []bridge.ShardLoad { return loads(shards) }},
	})
	require.NoError(t, err)
	mux := http.NewServeMux()
	mux.Handle("/any/path/", http.StripPrefix("/any/path", c))
	server := httptest.NewServer(mux)
	p.url = server.URL + "/any/path/"
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { defer close(ended); _ = p.pipeline.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		<-ended
		c.Close()
		server.CloseClientConnections()
		server.Close()
	})
	return p
}

func loads(n int) []bridge.ShardLoad {
	list := make([]bridge.ShardLoad, n)
	sum := 0.0
	for i := range list {
		list[i] = bridge.ShardLoad{Dest: "readings", Shard: fmt.Sprintf("shardId-%012d", i), Share: 1 + float64(i*7919%13)/8}
		if i == n/3 {
			list[i].Share, list[i].Throttled = 6, uint64(time.Now().Unix())
		}
		sum += list[i].Share
	}
	for i := range list {
		list[i].Share /= sum
	}
	return list
}

func (p *plant) publish(topic, payload string) {
	p.source.Publish(bridge.Message{Topic: topic, Payload: []byte(payload), ClientID: "device-7", QoS: 1})
}

// load publishes messages until the test ends.
func (p *plant) load(t *testing.T) {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for i := 0; ; i++ {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			for j := range 12 {
				p.publish(fmt.Sprintf("sensors/hall-%d/temp", j), fmt.Sprintf(`{"id":"hall-%d","temp":%d.5}`, j, 14+(i+j)%14))
				p.publish(fmt.Sprintf("plants/%d/a/v", (i+j)%40), `{"v":1}`)
			}
			if p.picky.Load() {
				p.publish("sensors/attic/temp", "not JSON")
			}
			p.publish(fmt.Sprintf("shop/orders/%d", i), fmt.Sprintf(`{"order":%d,"items":[{"sku":"A-%d","n":2}],"total":19.9}`, i, i%9))
		}
	}()
	t.Cleanup(func() { stop(); <-ended })
}

func text(ctx context.Context, t *testing.T, js string) string {
	t.Helper()
	s, err := chromedp.Run(ctx, chromedp.Evaluate[string](js))
	require.NoError(t, err)
	return s
}

// until waits until a condition holds in the page.
func until(ctx context.Context, t *testing.T, js string) {
	t.Helper()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); <-tick.C {
		if holds, err := chromedp.Run(ctx, chromedp.Evaluate[bool]("Boolean("+js+")")); err == nil && holds {
			return
		}
	}
	t.Fatalf("%s does not become true; the page shows:\n%s", js, text(ctx, t, `document.body.innerText`))
}

func TestBrowserFlows(t *testing.T) {
	p := newPlant(t, 0, 8)
	ctx := chromium(t)
	wrong := complaints(ctx, t)
	do(ctx, t, chromedp.Navigate(p.url), chromedp.WaitVisible(`[data-node="rule:temps"]`))
	until(ctx, t, `document.querySelector('.problems').innerText.includes('No message has arrived yet')`)

	p.publish("sensors/hall/temp", `{"id":"hall","temp":23.5}`)
	until(ctx, t, `document.querySelector('[data-node="source:mqtt"]').textContent.includes('1 in all')`)
	until(ctx, t, `document.querySelector('[data-node="rule:temps"]').textContent.includes('100 % pass')`)
	until(ctx, t, `document.querySelectorAll('.moving[data-speed]').length > 0`)

	p.broken.Store(true)
	p.publish("shop/orders/1", `{"order":1}`)
	until(ctx, t, `document.querySelector('[data-node="sink:orders"]').dataset.level === 'bad'`)
	said := text(ctx, t, `document.querySelector('.problems').innerText`)
	require.Contains(t, said, "Sink orders is ")
	require.Contains(t, said, "ResourceNotFoundException")
	require.Contains(t, said, "since ")
	require.Contains(t, said, "1 record waits")
	p.broken.Store(false)
	until(ctx, t, `document.querySelector('.problems').innerText.includes('All is well')`)
	require.Empty(t, wrong())
}

func TestBrowserRuleIsDisabledTracedEnabled(t *testing.T) {
	p := newPlant(t, 0, 0)
	ctx := chromium(t)
	wrong := complaints(ctx, t)
	press := func(label string) chromedp.Action[chromedp.Void] {
		return script(`[...document.querySelectorAll('button')].find(b => b.textContent === '` + label + `').click()`)
	}
	do(ctx, t, chromedp.Navigate(p.url+"#/rules/temps"), chromedp.WaitVisible(`.facts`), press("Disable"))
	until(ctx, t, `document.querySelector('.actions').textContent.includes('Enable')`)
	require.False(t, p.pipeline.Stats().Rules["temps"].Enabled)
	do(ctx, t, press("Enable"))
	until(ctx, t, `document.querySelector('.actions').textContent.includes('Disable')`)
	require.True(t, p.pipeline.Stats().Rules["temps"].Enabled)

	do(ctx, t, press("Trace"))
	until(ctx, t, `document.querySelector('.actions').textContent.includes('Stop trace')`)
	p.publish("sensors/hall/temp", `{"id":"hall","temp":23.5}`)
	p.publish("sensors/hall/temp", `no json`)
	until(ctx, t, `document.querySelectorAll('.trace li').length === 2`)
	said := text(ctx, t, `document.querySelector('.trace').innerText`)
	require.Contains(t, said, "sensors/hall/temp")
	require.Contains(t, said, `"temp":23.5`)
	require.Contains(t, said, "exception")
	require.Empty(t, wrong())
}

func TestBrowserTester(t *testing.T) {
	p := newPlant(t, 0, 0)
	ctx := chromium(t)
	wrong := complaints(ctx, t)
	write := func(sql string) chromedp.Action[chromedp.Void] {
		return script(fmt.Sprintf(`(() => { const a = document.querySelector('textarea'); a.value = %q; a.dispatchEvent(new Event('input', {bubbles: true})); })()`, sql))
	}
	do(ctx, t, chromedp.Navigate(p.url+"#/tester"), chromedp.WaitVisible(`.result .row`))
	require.Contains(t, text(ctx, t, `document.querySelector('.result .row').innerText`), `"temp": 23.5`)
	require.Contains(t, text(ctx, t, `document.querySelector('.result details').innerText`), "triggers")

	do(ctx, t, write("SELECT payload.temp AS t\nFROM \"sensors/#\"\nWHERE payload.temp >"))
	until(ctx, t, `document.querySelector('.fault') !== null`)
	require.Contains(t, text(ctx, t, `document.querySelector('.fault').innerText`), "Line 3")
	until(ctx, t, `document.querySelector('.editor .wrong') !== null`)

	do(ctx, t, write(`SELECT * FROM "sensors/#" WHERE payload.temp > 30`))
	until(ctx, t, `document.querySelector('.result').innerText.includes('No rows')`)
	require.Contains(t, text(ctx, t, `document.querySelector('.why').innerText`), "23.5")
	require.Empty(t, wrong())
}

func TestBrowserDeadLetters(t *testing.T) {
	p := newPlant(t, 0, 0)
	p.picky.Store(true)
	ctx := chromium(t)
	wrong := complaints(ctx, t)
	p.publish("shop/orders/1", `{"order":1}`)
	do(ctx, t, chromedp.Navigate(p.url+"#/sinks/dead"), chromedp.WaitVisible(`.letter`))
	require.Contains(t, text(ctx, t, `document.querySelector('.letters').innerText`), "larger than 10 MiB")
	do(ctx, t, chromedp.Click(`.letter summary b`))
	until(ctx, t, `document.querySelector('.letter').innerText.includes('"order": 1')`)
	do(ctx, t, script(`[...document.querySelectorAll('button')].find(b => b.textContent === 'Replay all').click()`))
	until(ctx, t, `document.querySelectorAll('.letter').length === 0`)
	require.Positive(t, p.replayed.Load())
	require.Empty(t, wrong())
}

// TestBrowserLooks walks through the page at three widths in light and dark. It
// fails when the page complains, or is wider than its window; with
// SLUICE_SCREENSHOTS set to a folder it leaves pictures there.
func TestBrowserLooks(t *testing.T) {
	pages := []string{"flows", "rules/temps", "sinks/readings", "tester"}
	for _, scene := range []string{"empty", "load", "faults", "many"} {
		t.Run(scene, func(t *testing.T) {
			rules, shards := 0, 8
			if scene == "many" {
				rules, shards = 97, 512
			}
			p := newPlant(t, rules, shards)
			if scene != "empty" {
				p.load(t)
			}
			if scene == "faults" {
				p.broken.Store(true)
				p.picky.Store(true)
				require.NoError(t, p.pipeline.EnableRule("temps", false))
			}
			ctx := chromium(t)
			wrong := complaints(ctx, t)
			do(ctx, t, chromedp.Navigate(p.url), chromedp.WaitVisible(`.graph svg`))
			if scene == "faults" {
				until(ctx, t, `document.querySelector('[data-level=bad]') !== null`)
			}
			if dir := os.Getenv("SLUICE_SCREENSHOTS"); dir != "" && scene != "empty" {
				do(ctx, t, chromedp.Sleep(5*time.Second))
			}
			for _, page := range pages {
				if scene == "faults" && page == "sinks/readings" {
					page = "sinks/orders"
				}
				for _, width := range []int64{1440, 1024, 390} {
					for _, theme := range []string{"light", "dark"} {
						look(ctx, t, p.url, scene, page, theme, width)
					}
				}
			}
			require.Empty(t, wrong())
		})
	}
}

func look(ctx context.Context, t *testing.T, url, scene, page, theme string, width int64) {
	t.Helper()
	do(ctx, t, chromedp.EmulateViewport(width, 900),
		script(`location.hash = '#/`+page+`'; document.documentElement.dataset.theme = '`+theme+`'; dispatchEvent(new Event('themechange'))`))
	spill, err := chromedp.Run(ctx, chromedp.Evaluate[int](
		`new Promise(done => setTimeout(() => requestAnimationFrame(() => done(document.documentElement.scrollWidth - innerWidth)), 150))`,
		chromedp.EvalAwaitPromise))
	require.NoError(t, err)
	require.LessOrEqual(t, spill, 0, "%s at %d pixels is wider than its window", page, width)
	dir := os.Getenv("SLUICE_SCREENSHOTS")
	if dir == "" {
		return
	}
	do(ctx, t, chromedp.Sleep(250*time.Millisecond))
	picture, err := chromedp.Run(ctx, chromedp.CaptureScreenshot())
	require.NoError(t, err)
	name := fmt.Sprintf("%s-%s-%d-%s.png", scene, strings.ReplaceAll(page, "/", "-"), width, theme)
	require.NoError(t, os.WriteFile(filepath.Join(dir, name), picture, 0o600))
}
