package console_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"
)

// browser is the one Chromium that all tests share; each has a window of its own.
type browser struct {
	once sync.Once
	ctx  context.Context
	stop []func()
	err  error
}

var errNoBrowser = errors.New("no chromium on the PATH; install Debian's package chromium")

func (b *browser) start() {
	var path string
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if p, err := exec.LookPath(name); err == nil {
			path = p
			break
		}
	}
	if path == "" {
		b.err = errNoBrowser
		return
	}
	dir, err := os.MkdirTemp("", "sluice-console")
	if err != nil {
		b.err = err
		return
	}
	ctx, cancel := chromedp.NewExecAllocator(context.Background(), append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(path), chromedp.NoSandbox, chromedp.DisableGPU, chromedp.UserDataDir(dir),
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-component-update", true))...)
	b.stop = append(b.stop, func() { _ = os.RemoveAll(dir) }, cancel)
	b.ctx, cancel = chromedp.NewContext(ctx)
	b.stop = append(b.stop, cancel)
	b.err = chromedp.Do(b.ctx, chromedp.Navigate("about:blank"))
}

func (b *browser) close() {
	for i := len(b.stop) - 1; i >= 0; i-- {
		b.stop[i]()
	}
}

var shared browser

// inCI reports whether what a test needs must be there.
func inCI() bool { return os.Getenv("CI") == "true" && os.Getenv("SLUICE_REAL_PARTS") == "1" }

// window opens a window of its own in the browser. Where no browser is installed
// the test is skipped, or fails if the real parts were asked for.
func window(t *testing.T) context.Context {
	t.Helper()
	if testing.Short() {
		t.Skip("-short: no browser")
	}
	shared.once.Do(shared.start)
	if errors.Is(shared.err, errNoBrowser) && !inCI() {
		t.Skip(shared.err)
	}
	require.NoError(t, shared.err)
	ctx, cancel := chromedp.NewContext(shared.ctx, chromedp.WithNewBrowserContext())
	t.Cleanup(cancel)
	ctx, cancel = context.WithTimeout(ctx, 3*time.Minute)
	t.Cleanup(cancel)
	do(ctx, t, chromedp.Navigate("about:blank"), chromedp.EmulateViewport(1280, 900))
	return ctx
}

func do(ctx context.Context, t *testing.T, steps ...chromedp.Action[chromedp.Void]) {
	t.Helper()
	require.NoError(t, chromedp.Do(ctx, steps...))
}

func script(js string) chromedp.Action[chromedp.Void] {
	return chromedp.Evaluate[chromedp.Void](js, chromedp.EvalAwaitPromise)
}

func press(label string) chromedp.Action[chromedp.Void] {
	return script(`[...document.querySelectorAll('button')].find(b => b.textContent === '` + label + `').click()`)
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

func text(ctx context.Context, t *testing.T, js string) string {
	t.Helper()
	s, err := chromedp.Run(ctx, chromedp.Evaluate[string](js, chromedp.EvalAwaitPromise))
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

// dots is a picture of the moving dots.
const dots = `document.querySelector('.stage canvas').toDataURL()`

func TestBrowserFlows(t *testing.T) {
	t.Parallel()
	p := newPlant(t, 0, 8)
	ctx := window(t)
	wrong := complaints(ctx, t)
	do(ctx, t, chromedp.Navigate(p.url), chromedp.WaitVisible(`[data-node="rule:temps"]`))
	until(ctx, t, `document.querySelector('.problems').innerText.includes('No message has arrived yet')`)

	p.publish("sensors/hall/temp", `{"id":"hall","temp":23.5}`)
	until(ctx, t, `document.querySelector('[data-node="source:mqtt"]').textContent.includes('1 in all')`)
	until(ctx, t, `document.querySelector('[data-node="rule:temps"]').textContent.includes('100 % pass')`)
	until(ctx, t, `Number(document.querySelector('.stage canvas').dataset.moving) >= 4`) // source, filter, rule, action
	before := text(ctx, t, dots)
	until(ctx, t, `(`+dots+`) !== `+fmt.Sprintf("%q", before)) // they move

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
	t.Parallel()
	p := newPlant(t, 0, 0)
	ctx := window(t)
	wrong := complaints(ctx, t)
	do(ctx, t, chromedp.Navigate(p.url+"#/rules/temps"), chromedp.WaitVisible(`.facts`), press("Disable"))
	until(ctx, t, `document.querySelector('.actions').textContent.includes('Enable')`)
	require.False(t, p.pipeline.Stats().Rules["temps"].Enabled)
	do(ctx, t, press("Enable"))
	until(ctx, t, `document.querySelector('.actions').textContent.includes('Disable')`)
	require.True(t, p.pipeline.Stats().Rules["temps"].Enabled)

	require.Empty(t, wrong())
}

func TestBrowserTrace(t *testing.T) {
	t.Parallel()
	p := newPlant(t, 0, 0)
	ctx := window(t)
	wrong := complaints(ctx, t)
	do(ctx, t, chromedp.Navigate(p.url+"#/rules/temps"), chromedp.WaitVisible(`.facts`), chromedp.Click(`a[href="#/trace/temps"]`), chromedp.WaitVisible(`.asked button`), press("Start"))
	until(ctx, t, `document.querySelector('.asked').textContent.includes('Waiting for messages')`)
	p.publish("sensors/hall/temp", `{"id":"hall","temp":23.5}`)
	p.publish("sensors/cold/temp", `{"id":"cold","temp":3}`)
	p.publish("sensors/bad/temp", `no json`)
	p.publish("shop/orders/1", `{}`) // nothing for this rule
	until(ctx, t, `[...document.querySelectorAll('.traced li .verdict')].map((v) => v.textContent).sort().join() === 'exception,no result,stored'`)
	said := text(ctx, t, `document.querySelector('.traced').innerText`)
	require.Contains(t, said, "sensors/hall/temp")
	require.Contains(t, said, "payload.temp > 20 is false, with 3", "the result of each clause")
	require.Contains(t, said, "${clientid}", "the template")
	require.Contains(t, said, "device-7", "and what it gave")
	require.Contains(t, said, "write 1 to readings")
	require.NotContains(t, said, "shop/orders")
	do(ctx, t, press("Stop"))
	until(ctx, t, `document.querySelector('.asked').textContent.includes('Start')`)
	require.Empty(t, wrong())
}

func TestBrowserTester(t *testing.T) {
	t.Parallel()
	p := newPlant(t, 0, 0)
	ctx := window(t)
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
	t.Parallel()
	p := newPlant(t, 0, 0)
	p.picky.Store(true)
	ctx := window(t)
	wrong := complaints(ctx, t)
	p.publish("shop/orders/1", `{"order":1}`)
	do(ctx, t, chromedp.Navigate(p.url+"#/sinks/dead"), chromedp.WaitVisible(`.letter`))
	require.Contains(t, text(ctx, t, `document.querySelector('.letters').innerText`), "larger than 10 MiB")
	do(ctx, t, chromedp.Click(`.letter summary b`))
	until(ctx, t, `document.querySelector('.letter').innerText.includes('"order": 1')`)
	do(ctx, t, press("Replay all"))
	until(ctx, t, `document.querySelectorAll('.letter').length === 0`)
	require.Positive(t, p.replayed.Load())
	require.Empty(t, wrong())
}
