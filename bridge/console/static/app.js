// The frame of the page: navigation, the line at the top, and the view.
import { compact, h, rate, setAttr, setText } from './dom.js';
import { connect, store, totals, watch } from './store.js';
import { flows } from './flows.js';
import { rules } from './rules.js';
import { sinks } from './sinks.js';
import { sources } from './sources.js';
import { trace } from './trace.js';
import { tester } from './tester.js';

const views = { flows, sources, rules, sinks, tester, trace };
const main = document.getElementById('main');
let view = null, where = '';

// route shows the view that the address names: #/rules/temps.
function route() {
  const [name, ...rest] = location.hash.replace(/^#\/?/, '').split('/');
  const section = views[name] ? name : 'flows';
  const argument = rest.map(decodeURIComponent).join('/');
  for (const a of document.querySelectorAll('nav a')) setAttr(a, 'aria-current', a.hash === '#/' + section ? 'page' : null);
  if (!store.topology || !store.snapshot) return;
  if (where === section && view?.show) {
    view.show(argument);
    return;
  }
  view?.close?.();
  where = section;
  const root = h('div', { class: 'view ' + section });
  main.replaceChildren(root);
  view = views[section](root, argument);
  view.update?.();
}

function header() {
  const s = store.snapshot, t = store.topology;
  if (t) {
    setText(document.getElementById('title'), t.title);
    document.title = (s?.problems.length ? `(${s.problems.length}) ` : '') + t.title;
  }
  const live = document.getElementById('live');
  setAttr(live, 'class', store.connected ? 'live' : 'lost');
  setText(live, store.connected ? 'live' : 'connection lost, trying again');
  if (!s) return;
  const all = totals(s);
  setText(document.getElementById('totals'), `${rate(all.received)} in · ${rate(all.stored)} stored · ${compact(all.waiting)} waiting`);
}

function changed(what) {
  header();
  if (!store.topology || !store.snapshot) return;
  if (!view) route();
  else if (what === 'topology') view.rebuild?.();
  if (document.visibilityState === 'visible') view.update?.();
}

// The slash key leads to the field that finds things, Escape out of it.
addEventListener('keydown', (e) => {
  const typing = e.target.matches?.('input, textarea');
  if (e.key === 'Escape' && typing) e.target.blur();
  if (e.key !== '/' || typing || e.ctrlKey || e.metaKey || e.altKey) return;
  const find = main.querySelector('[data-find]');
  if (!find?.checkVisibility()) return;
  e.preventDefault();
  find.focus();
});

document.getElementById('theme').addEventListener('click', () => {
  const root = document.documentElement;
  const dark = root.dataset.theme ? root.dataset.theme === 'dark' : matchMedia('(prefers-color-scheme: dark)').matches;
  root.dataset.theme = dark ? 'light' : 'dark';
  try { localStorage.setItem('sluice-theme', root.dataset.theme); } catch { /* it lasts as long as the page */ }
  dispatchEvent(new Event('themechange'));
});
matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => dispatchEvent(new Event('themechange')));
addEventListener('hashchange', route);
watch(changed);
route();
connect();
