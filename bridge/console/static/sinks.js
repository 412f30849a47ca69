// Sinks: condition, queue, times, shards, dead letters.
import { binary, chart } from './chart.js';
import { bytes, compact, count, h, millis, percent, rate, setText } from './dom.js';
import { deadLetters } from './letters.js';
import { allow, changer, checker, facts, head, parts, since } from './list.js';
import { shards } from './shards.js';
import { call, store } from './store.js';

const figure = (f) => (!f.enabled ? 'off' : f.queuing + f.inflight ? compact(f.queuing + f.inflight) + ' wait' : rate(f.stored_rate));

export const sinks = (root, chosen) => parts(root, 'sink', chosen, figure, detail);

function detail(root, info) {
  const name = info.name, past = () => store.past.sinks[name] ?? {}, figures = () => store.snapshot.sinks[name];
  const full = (n, of) => (of ? `${percent(n / of)} of ${of >= 1e4 ? compact(of) : count(of)}` : '');
  const table = facts([
    ['Stored', (f) => count(f.success), 'Records that it has stored', (f) => rate(f.stored_rate)],
    ['In the queue', (f) => count(f.queuing), 'Records that wait, and the bound', (f) => full(f.queuing, f.max_records)],
    ['Memory', (f) => bytes(f.queuing_bytes), 'Of records queued and in flight, and the bound', (f) => (f.max_bytes ? `${percent(f.queuing_bytes / f.max_bytes)} of ${bytes(f.max_bytes)}` : '')],
    ['In flight', (f) => count(f.inflight), 'Records in a write, and how many writes there may be at once', () => `at most ${count(info.in_flight)} writes`],
    ['Lanes', (f) => count(f.lanes), 'Keys, or other order domains, that have records', () => 'with records'],
    ['Batch fill', (f) => (f.batch_fill ? percent(f.batch_fill) : '–'), 'Records per write', () => `of ${count(info.batch_size)} records`],
    ['Latency', (f) => millis(f.latency.p50), 'From receipt until stored, over the last seconds', (f) => (f.latency.p50 ? `p95 ${millis(f.latency.p95)} · p99 ${millis(f.latency.p99)}` : '')],
    ['Write', (f) => millis(f.request_time.p50), 'Duration of one write', (f) => (f.request_time.p50 ? `p95 ${millis(f.request_time.p95)} · p99 ${millis(f.request_time.p99)}` : '')],
    ['Retried', (f) => count(f.retried), 'Records that needed more than one write', (f) => (f.retried_rate ? rate(f.retried_rate) : '')],
    ['Throttled', (f) => count(f.throttled), 'Refusals for want of capacity'],
    ['Ambiguous', (f) => count(f.ambiguous), 'Writes whose outcome is not known; each may have left a duplicate'],
    ['Given up', (f) => count(f.failed + f.dropped.expired + f.dropped.queue_full), 'Refused for good, expired, or dropped from a full queue', (f) => (f.dead_lettered ? `${count(f.dead_lettered)} to ${info.fallback || 'a fallback'}` : f.failed_rate ? 'lost: there is no fallback' : '')],
  ]);
  const plots = [
    chart('Queue', [{ label: 'records', color: 'accent', get: () => past().queued }], compact, 10),
    chart('Records', [{ label: 'stored', color: 'ok', get: () => past().stored }, { label: 'in', color: 'accent', get: () => past().rate }, { label: 'given up', color: 'bad', get: () => past().failed }], rate, 1),
    chart('Memory', [{ label: 'bytes', color: 'violet', get: () => past().bytes }], bytes, 1024, binary),
    chart('Latency', [{ label: 'p99', color: 'amber', get: () => past().p99 }, { label: 'p95', color: 'accent', get: () => past().p95 }, { label: 'p50', color: 'violet', get: () => past().p50 }], (v) => (v ? millis(v) : '0'), 1),
  ];
  const check = checker(info, () => top.result);
  const toggle = changer('Disable', () => call('PUT', `sinks/${encodeURIComponent(name)}/enabled`, { enabled: !figures().enabled }));
  const top = head('sink', info, check, toggle);
  const strip = shards(), letters = info.dead_letters ? deadLetters(info) : null;
  root.append(top.root, letters?.root ?? '', table.root, strip.root, h('div', { class: 'charts' }, plots.map((p) => p.root)));
  return {
    update() {
      const f = figures();
      if (!f) return;
      top.update([info.type, f.enabled ? since(f.health, store.snapshot.time) : 'disabled: new records are discarded', `when full: ${info.on_full}`, info.fallback && `fallback: ${info.fallback}`]);
      table.update(f);
      strip.update(f.shards ?? []);
      plots.forEach((p) => p.update());
      letters?.update(f);
      setText(toggle, f.enabled ? 'Disable' : 'Enable');
      allow(toggle);
    },
    close() { plots.forEach((p) => p.close()); strip.close(); },
  };
}
