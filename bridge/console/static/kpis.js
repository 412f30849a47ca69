// The figures of the whole pipeline, each with its last minutes.
import { compact, h, millis, percent, rate, setAttr, setText } from './dom.js';
import { store, totals } from './store.js';

const width = 120, height = 30, seconds = 180;

export function kpis() {
  const tiles = [
    tile('Received', 'accent', 'received', (t) => rate(t.received), (s) => `${compact(sum(s.sources, 'received'))} in all`),
    tile('Stored', 'ok', 'stored', (t) => rate(t.stored), (s) => `${compact(sum(s.sinks, 'success'))} in all`),
    tile('Waiting', 'violet', 'waiting', (t) => compact(t.waiting), (s) => { const f = fullest(s); return f > 0 ? `fullest queue ${percent(f)}` : 'queues are empty'; }),
    tile('Latency p99', 'amber', 'p99', (t) => millis(t.p99), (s) => { const p50 = Math.max(0, ...Object.values(s.sinks).map((f) => f.latency.p50)); return p50 ? `p50 ${millis(p50)}` : 'of the slowest sink'; }),
    tile('Given up', 'bad', 'failed', (t) => rate(t.failed), (s) => { const n = lost(s); return n ? `${compact(n)} in all` : 'none so far'; }),
  ];
  return {
    root: h('section', { class: 'kpis', 'aria-label': 'The whole pipeline' }, tiles.map((t) => t.root)),
    update() { const s = store.snapshot, t = totals(s); for (const k of tiles) k.update(s, t); },
  };
}

const sum = (parts, key) => Object.values(parts).reduce((n, p) => n + p[key], 0);
const fullest = (s) => Math.max(0, ...Object.values(s.sinks).map((f) => Math.max((f.queuing + f.inflight) / (f.max_records || Infinity), f.queuing_bytes / (f.max_bytes || Infinity))));
const lost = (s) => Object.values(s.sinks).reduce((n, f) => n + f.failed + f.dropped.expired + f.dropped.queue_full, 0);

function tile(title, colour, key, value, note) {
  const figure = h('strong'), small = h('span', { class: 'note' });
  const area = h('path', { class: 'area' }), line = h('path', { class: 'trend' });
  const root = h('div', { class: 'kpi', 'data-color': colour, 'data-kpi': key }, h('span', { class: 'label' }, title), figure, small,
    h('svg', { viewBox: `0 0 ${width} ${height}`, preserveAspectRatio: 'none', 'aria-hidden': 'true' }, area, line));
  return {
    root,
    update(s, t) {
      setText(figure, value(t));
      setText(small, note(s));
      setAttr(root, 'data-zero', t[key] ? null : '');
      const d = trend(store.past.totals[key] ?? []);
      setAttr(line, 'd', d);
      setAttr(area, 'd', d && `${d}L${width} ${height}L${d.slice(1).split(' ')[0]} ${height}Z`);
    },
  };
}

// trend is a line over the last minutes; what is not known is left out.
function trend(list) {
  const last = list.slice(-seconds), max = Math.max(...last.map((v) => v ?? 0));
  if (last.length < 2 || !max) return '';
  const step = width / (Math.max(60, last.length) - 1), x0 = width - step * (last.length - 1);
  return 'M' + last.map((v, i) => `${(x0 + i * step).toFixed(1)} ${(height - 2 - (v ?? 0) / max * (height - 5)).toFixed(1)}`).join('L');
}
