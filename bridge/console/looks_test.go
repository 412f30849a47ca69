package console_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"
)

// axe returns the program that checks accessibility, of the npm package axe-core.
func axe(t *testing.T) string {
	t.Helper()
	dir := os.Getenv("SLUICE_NPM_DIR")
	if dir == "" {
		dir = "../../.cache/npm"
	}
	program, err := os.ReadFile(filepath.Join(dir, "node_modules/axe-core/axe.min.js"))
	if err != nil && !inCI() {
		t.Log("the checks of axe-core are left out: npm's axe-core is not installed; run internal/itest/with-parts.sh go test ./bridge/console")
		return ""
	}
	require.NoError(t, err)
	return string(program)
}

// TestBrowserLooks walks through the page at three widths in light and dark. It
// fails when the page complains, is wider than its window, or breaks a rule of
// axe-core; with SLUICE_SCREENSHOTS set to a folder it leaves pictures there.
func TestBrowserLooks(t *testing.T) {
	t.Parallel()
	program := axe(t)
	for _, scene := range []string{"empty", "load", "faults", "many"} {
		t.Run(scene, func(t *testing.T) {
			t.Parallel()
			rules, shards := 0, 8
			if scene == "many" {
				rules, shards = 96, 512
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
			ctx := window(t)
			wrong := complaints(ctx, t)
			do(ctx, t, chromedp.Navigate(p.url), chromedp.WaitVisible(`.stage .node`))
			if program != "" {
				do(ctx, t, script(program+"; 0"))
			}
			if scene == "faults" {
				until(ctx, t, `document.querySelector('[data-level=bad]') !== null`)
			}
			if scene != "empty" && os.Getenv("SLUICE_SCREENSHOTS") != "" {
				do(ctx, t, chromedp.Sleep(20*time.Second)) // for plots to look at
			}
			l := looker{ctx: ctx, t: t, scene: scene, axe: program != "", found: new([]string)}
			for _, page := range pagesOf(scene) {
				for _, v := range viewsOf(scene) {
					l.look(page, v.theme, v.width)
				}
			}
			require.Empty(t, wrong())
			require.Empty(t, *l.found, "rules of axe-core")
		})
	}
}

// pagesOf are the pages to look at: all of them with faults, elsewhere those that
// differ, or all for pictures.
func pagesOf(scene string) []string {
	pictures := os.Getenv("SLUICE_SCREENSHOTS") != ""
	switch {
	case scene == "faults":
		return []string{"flows", "sources/mqtt", "rules/alarms", "rules/temps", "sinks/orders", "sinks/archive", "sinks/dead", "tester", "trace/all-orders"}
	case scene == "many" && pictures:
		return []string{"flows", "rules", "rules/plant-07-line", "sinks", "sinks/readings"}
	case scene == "many":
		return []string{"flows", "rules", "sinks/readings"}
	case pictures:
		return []string{"flows", "sources/mqtt", "rules", "rules/temps", "sinks", "sinks/readings", "sinks/dead", "tester", "trace/temps"}
	case scene == "empty":
		return []string{"flows", "sources/mqtt", "sinks", "sinks/dead", "trace/temps"}
	default:
		return []string{"flows", "rules/temps", "sinks/readings", "tester", "trace/temps"}
	}
}

type view struct {
	width int64
	theme string
}

// viewsOf are the widths and colours to look at: all of them with faults, elsewhere
// some, or all for pictures.
func viewsOf(scene string) []view {
	if scene != "faults" && os.Getenv("SLUICE_SCREENSHOTS") == "" {
		return []view{{1440, "light"}, {1024, "dark"}, {390, "dark"}}
	}
	return []view{{1440, "light"}, {1440, "dark"}, {1024, "light"}, {1024, "dark"}, {390, "light"}, {390, "dark"}}
}

type looker struct {
	ctx   context.Context
	t     *testing.T
	scene string
	axe   bool
	found *[]string
}

func (l looker) look(page, theme string, width int64) {
	l.t.Helper()
	do(l.ctx, l.t, chromedp.EmulateViewport(width, 900),
		script(`(async () => { location.hash = '#/`+page+`'; dispatchEvent(new Event('hashchange')); document.documentElement.dataset.theme = '`+theme+`'; dispatchEvent(new Event('themechange'));
			await new Promise((done) => setTimeout(done, 0)); // the address has changed
			`+l.first(page)+`
			document.querySelectorAll('.letter:first-child details').forEach((d) => d.open = true);
			await new Promise((done) => setTimeout(() => requestAnimationFrame(() => requestAnimationFrame(done)), 50)); })()`))
	spill, err := chromedp.Run(l.ctx, chromedp.Evaluate[int](`document.documentElement.scrollWidth - innerWidth`))
	require.NoError(l.t, err)
	require.LessOrEqual(l.t, spill, 0, "%s at %d pixels is wider than its window", page, width)
	name := fmt.Sprintf("%s-%s-%d-%s", l.scene, strings.ReplaceAll(page, "/", "-"), width, theme)
	if dir := os.Getenv("SLUICE_SCREENSHOTS"); dir != "" {
		do(l.ctx, l.t, chromedp.Sleep(600*time.Millisecond))
		picture, err := chromedp.Run(l.ctx, chromedp.FullScreenshot(100))
		require.NoError(l.t, err)
		require.NoError(l.t, os.WriteFile(filepath.Join(dir, name+".png"), picture, 0o600))
	}
	if l.axe {
		for _, v := range violations(l.ctx, l.t) {
			*l.found = append(*l.found, name+": "+v)
		}
	}
}

// first is what is done before a page is looked at.
func (l looker) first(page string) string {
	switch {
	case strings.HasPrefix(page, "trace") && l.scene != "empty":
		return `const traced = () => document.querySelectorAll('.traced li .ruled').length; const button = document.querySelector('.asked button');
			if (button && !traced()) { button.click(); while (traced() < 2) await new Promise((done) => setTimeout(done, 50)); button.click(); }`
	case page == "tester" && l.scene == "faults":
		return `{ const a = document.querySelector('textarea'); if (a) { a.value = 'SELECT payload.temp AS t\nFROM "sensors/#"\nWHERE payload.temp >'; a.dispatchEvent(new Event('input', {bubbles: true})); } }`
	default:
		return ""
	}
}

// violations are the rules of axe-core that the page breaks, and where.
func violations(ctx context.Context, t *testing.T) (list []string) {
	t.Helper()
	found, err := chromedp.Run(ctx, chromedp.Evaluate[string](`axe.run(document, {resultTypes: ['violations']}).then((r) => JSON.stringify(
		r.violations.map((v) => v.id + ': ' + v.nodes.slice(0, 3).map((n) => n.html.slice(0, 160) + ' ' + n.failureSummary).join(' | '))))`, chromedp.EvalAwaitPromise))
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal([]byte(found), &list))
	return list
}
