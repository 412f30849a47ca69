package console_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/performance"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"github.com/stretchr/testify/require"

	"github.com/sluiceio/sluice/bridge/console"
)

// TestBrowserManyPartsOnOneScreen: 100 rules, 20 sinks and 512 shards.
func TestBrowserManyPartsOnOneScreen(t *testing.T) {
	t.Parallel()
	p := newPlant(t, 96, 512)
	p.load(t)
	ctx := window(t)
	wrong := complaints(ctx, t)
	for _, width := range []int64{1440, 1024} {
		do(ctx, t, chromedp.EmulateViewport(width, 900), chromedp.Navigate(p.url), chromedp.WaitVisible(`.stage .node`))
		until(ctx, t, `document.documentElement.scrollHeight <= innerHeight`)
		until(ctx, t, `document.querySelector('[data-node="rule/folded"]').textContent.includes('quiet rules')`)
		until(ctx, t, `document.querySelectorAll('.stage .node').length < 120`)
		until(ctx, t, `Number(document.querySelector('.stage canvas').dataset.moving) > 20`)
	}
	until(ctx, t, `document.querySelector('[data-node="rule:everything"]') !== null`) // the busiest
	if testing.Verbose() {
		measure(ctx, t)
	}
	// What was folded shows itself when it fails.
	const hidden = `[data-node="rule:plant-77-line"]`
	until(ctx, t, `document.querySelector('`+hidden+`') === null`)
	p.publish("plants/77/a/v", "not JSON")
	until(ctx, t, `document.querySelector('`+hidden+`')?.dataset.level === 'warn'`)
	until(ctx, t, `document.documentElement.scrollHeight <= innerHeight`)
	// The search finds what is folded.
	do(ctx, t, chromedp.KeyEvent("/"))
	until(ctx, t, `document.activeElement.type === 'search'`)
	do(ctx, t, script(`document.activeElement.select()`), chromedp.KeyEvent("plant-88")) // chromedp types the slash all the same
	until(ctx, t, `document.querySelectorAll('.stage .node.rule').length === 1 && document.querySelector('[data-node="rule:plant-88-line"]')`)
	require.Contains(t, text(ctx, t, `document.querySelector('.tools').innerText`), "1 of 100 rules match")
	do(ctx, t, script(`{ const s = document.querySelector('[data-find]'); s.value = ''; s.dispatchEvent(new Event('input')); }`))
	do(ctx, t, press("Show all"))
	until(ctx, t, `document.querySelectorAll('.stage .node.rule').length === 100`)
	do(ctx, t, press("Fold quiet rules"))
	until(ctx, t, `document.querySelectorAll('.stage .node.rule').length < 40`)
	require.Empty(t, wrong())
}

// measure logs what three seconds of looking cost the browser; how much that is
// depends on the machine.
func measure(ctx context.Context, t *testing.T) {
	t.Helper()
	busy := func() (seconds float64) {
		r, err := chromedp.Call(ctx, performance.GetMetrics, struct{}{})
		require.NoError(t, err)
		for _, m := range r.Metrics {
			if m.Name == "TaskDuration" {
				seconds = m.Value
			}
		}
		return seconds
	}
	_, err := chromedp.Call(ctx, performance.Enable, performance.EnableParams{})
	require.NoError(t, err)
	before := busy()
	frames := text(ctx, t, `new Promise((done) => { const at = []; const frame = (t) => { at.push(t); if (t - at[0] < 3000) requestAnimationFrame(frame); else {
		const gaps = at.slice(1).map((t, i) => t - at[i]).sort((a, b) => a - b); done(gaps.length + ' frames in 3 s, gap p50 ' + gaps[gaps.length >> 1].toFixed(1) + ' ms, p99 ' + gaps[gaps.length * 0.99 | 0].toFixed(1) + ' ms'); } };
		requestAnimationFrame(frame); })`)
	t.Logf("%s; main thread %.0f %% busy", frames, (busy()-before)/3*100)
}

func TestBrowserKeyboard(t *testing.T) {
	t.Parallel()
	p := newPlant(t, 0, 40)
	ctx := window(t)
	wrong := complaints(ctx, t)
	node := `document.activeElement.dataset.node ?? ''`
	do(ctx, t, chromedp.Navigate(p.url), chromedp.WaitVisible(`.stage .node`), chromedp.KeyEvent(kb.Tab))
	until(ctx, t, `document.activeElement.className === 'skip'`)
	do(ctx, t, script(`document.querySelector('.stage [tabindex="0"]').focus()`))
	require.Equal(t, "source:mqtt", text(ctx, t, node), "one stop of the tab key for the whole graph")
	do(ctx, t, chromedp.KeyEvent(kb.ArrowRight)) // filters lead nowhere
	until(ctx, t, node+`.startsWith('rule:')`)
	until(ctx, t, `document.querySelector('.stage.tracing') !== null`) // what it is connected with is lit
	do(ctx, t, chromedp.KeyEvent(kb.ArrowRight))
	until(ctx, t, node+`.startsWith('action:')`)
	do(ctx, t, chromedp.KeyEvent(kb.ArrowRight))
	until(ctx, t, node+`.startsWith('sink:')`)
	for _, key := range []string{kb.ArrowUp, kb.ArrowUp, kb.ArrowDown} {
		do(ctx, t, chromedp.KeyEvent(key))
	}
	sink := text(ctx, t, node)
	do(ctx, t, chromedp.KeyEvent(kb.Enter))
	until(ctx, t, `location.hash === '#/sinks/`+sink[len("sink:"):]+`' && document.querySelector('.detail h1').innerText === '`+sink[len("sink:"):]+`'`)

	do(ctx, t, chromedp.Navigate(p.url+"#/sinks/readings"), chromedp.WaitVisible(`.heat`), chromedp.Focus(`.heat`), chromedp.KeyEvent(kb.ArrowRight))
	do(ctx, t, chromedp.KeyEvent(kb.ArrowRight))
	until(ctx, t, `document.querySelector('.heat').getAttribute('aria-label').includes('shardId-000000000001')`)
	require.Empty(t, wrong())
}

func TestBrowserPhone(t *testing.T) {
	t.Parallel()
	p := newPlant(t, 0, 8)
	ctx := window(t)
	wrong := complaints(ctx, t)
	p.broken.Store(true)
	p.publish("shop/orders/1", `{"order":1}`)
	do(ctx, t, chromedp.EmulateViewport(390, 844, chromedp.EmulateMobile, chromedp.EmulateTouch), chromedp.Navigate(p.url), chromedp.WaitVisible(`.stage.stacked .node`))
	until(ctx, t, `document.querySelector('.stacked .sink').dataset.node === 'sink:orders' && document.querySelector('.stacked .sink').dataset.level === 'bad'`) // the worst first
	until(ctx, t, `document.querySelector('nav').getBoundingClientRect().bottom === innerHeight`)
	do(ctx, t, chromedp.Click(`nav a[href="#/sinks"]`), chromedp.WaitVisible(`aside a[href="#/sinks/orders"]`))
	until(ctx, t, `!document.querySelector('.detail').checkVisibility()`)
	do(ctx, t, chromedp.Click(`aside a[href="#/sinks/orders"]`), chromedp.WaitVisible(`.detail .facts`))
	until(ctx, t, `document.querySelector('.detail .problem').innerText.includes('ResourceNotFoundException')`)
	do(ctx, t, chromedp.Click(`.back`), chromedp.WaitVisible(`aside`))
	require.Empty(t, wrong())
}

func TestBrowserReducedMotion(t *testing.T) {
	t.Parallel()
	p := newPlant(t, 0, 0)
	p.load(t)
	ctx := window(t)
	_, err := chromedp.Call(ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-reduced-motion", Value: "reduce"}}})
	require.NoError(t, err)
	do(ctx, t, chromedp.Navigate(p.url), chromedp.WaitVisible(`.stage .node`))
	until(ctx, t, `document.querySelectorAll('.edge[data-flow=on]').length > 3`)
	require.Equal(t, "0", text(ctx, t, `document.querySelector('.stage canvas').dataset.moving`))
	_, err = chromedp.Call(ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{})
	require.NoError(t, err)
	until(ctx, t, `Number(document.querySelector('.stage canvas').dataset.moving) > 3`)
}

// TestBrowserPolicy: the page can run nothing and ask nobody but its own server.
func TestBrowserPolicy(t *testing.T) {
	t.Parallel()
	p := newPlant(t, 0, 0)
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("asked") }))
	t.Cleanup(other.Close)
	ctx := window(t)
	do(ctx, t, chromedp.Navigate(p.url), chromedp.WaitVisible(`.stage .node`),
		script(`{ const s = document.createElement('script'); s.textContent = 'window.intruder = 1'; document.body.append(s); }`))
	require.Equal(t, "undefined", text(ctx, t, `typeof window.intruder`))
	require.Equal(t, "refused", text(ctx, t, fmt.Sprintf(`fetch(%q, {mode: 'no-cors'}).then(() => 'sent', () => 'refused')`, other.URL)))
}

func TestBrowserReadOnly(t *testing.T) {
	t.Parallel()
	p := newPlant(t, 0, 0)
	c, err := console.New(console.Config{Pipeline: p.pipeline, Logger: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	server := httptest.NewServer(c) // at the root
	t.Cleanup(func() { c.Close(); server.CloseClientConnections(); server.Close() })
	ctx := window(t)
	wrong := complaints(ctx, t)
	do(ctx, t, chromedp.Navigate(server.URL+"/#/rules/temps"), chromedp.WaitVisible(`.facts`))
	until(ctx, t, `[...document.querySelectorAll('.actions button')].length === 2`)
	until(ctx, t, `[...document.querySelectorAll('.actions button')].every((b) => b.disabled && b.title.includes('read-only'))`)
	do(ctx, t, chromedp.Navigate(server.URL+"/#/trace"), chromedp.WaitVisible(`.asked button`))
	until(ctx, t, `document.querySelector('.asked').innerText.includes('read-only') && document.querySelector('.asked button').disabled`)
	require.Empty(t, wrong())
}

func TestBrowserSources(t *testing.T) {
	t.Parallel()
	p := newPlant(t, 0, 0)
	ctx := window(t)
	wrong := complaints(ctx, t)
	do(ctx, t, chromedp.Navigate(p.url+"#/sources/mqtt"), chromedp.WaitVisible(`.facts`), press("Test connectivity"))
	until(ctx, t, `document.querySelector('.state').innerText.includes('It answers')`)
	for range 7 {
		p.publish("nobody/wants", "12345")
	}
	until(ctx, t, `document.querySelector('.facts').innerText.replace(/\s+/g, ' ').includes('Received 7 ')`)
	said := text(ctx, t, `document.querySelector('.detail').innerText.replace(/\s+/g, ' ')`)
	for _, want := range []string{"connected", "Payload bytes 35 B", "Wanted by no rule 7 100 %", "plants/#"} {
		require.Contains(t, said, want)
	}
	require.Empty(t, wrong())
}

// TestBrowserPlotsAreRight compares what the plots say with Pipeline.Stats.
func TestBrowserPlotsAreRight(t *testing.T) {
	t.Parallel()
	p := newPlant(t, 0, 0)
	p.broken.Store(true)
	for i := range 1234 {
		p.publish(fmt.Sprintf("shop/orders/%d", i), `{}`)
	}
	ctx := window(t)
	do(ctx, t, chromedp.Navigate(p.url+"#/sinks/orders"), chromedp.WaitVisible(`[data-chart=Queue] canvas`))
	until(ctx, t, `document.querySelector('[data-chart=Queue] .plot').getAttribute('aria-label') === 'Queue: records 1,234'`)
	s := p.pipeline.Stats().Sinks["orders"]
	require.Equal(t, 1234, s.Queue.Waiting+s.Queue.Inflight)
	mib := fmt.Sprintf("Memory: bytes %.0f KiB", float64(s.Queue.Bytes)/1024)
	until(ctx, t, `document.querySelector('[data-chart=Memory] .plot').getAttribute('aria-label') === '`+mib+`'`)
	// The pointer on the plot shows the figures of that moment.
	do(ctx, t, script(`{ const over = document.querySelector('[data-chart=Queue] .u-over'), r = over.getBoundingClientRect();
		over.dispatchEvent(new MouseEvent('mousemove', {bubbles: true, clientX: r.right - 2, clientY: r.top + 20})); }`))
	until(ctx, t, `document.querySelector('[data-chart=Queue] .tip').innerText.includes('records 1,234')`)
	p.broken.Store(false)
	until(ctx, t, `document.querySelector('[data-chart=Queue] .plot').getAttribute('aria-label') === 'Queue: records 0'`)
}

// TestBrowserHistory: who comes later sees the past of those who looked before.
func TestBrowserHistory(t *testing.T) {
	t.Parallel()
	p := newPlant(t, 0, 0)
	p.load(t)
	first := window(t)
	do(first, t, chromedp.Navigate(p.url), chromedp.WaitVisible(`.stage .node`))
	until(first, t, `document.querySelector('[data-kpi=received] .trend').getAttribute('d').split('L').length >= 4`)
	second := window(t)
	do(second, t, chromedp.Navigate(p.url), chromedp.WaitVisible(`.stage .node`))
	require.GreaterOrEqual(t, len(text(second, t, `document.querySelector('[data-kpi=received] .trend').getAttribute('d')`)), 30, "a line at once")
}
