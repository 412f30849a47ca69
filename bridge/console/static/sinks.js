// Sinks: condition, queue, times, shards, dead letters.
import { chart } from './chart.js';
import { bytes, clock, compact, count, h, mark, millis, percent, rate, setLevel, setText } from './dom.js';
import { listProblems } from './flows.js';
import { allow, changer, facts, notify, parts } from './list.js';
import { blob } from './rules.js';
import { heat } from './shards.js';
import { call, level, store } from './store.js';

export const sinks = (root, chosen) => parts(root, 'sink', chosen, (f) => (f.queuing + f.inflight ? compact(f.queuing + f.inflight) + ' wait' : f.enabled ? rate(f.stored_rate) : 'disabled'), detail);

function detail(root, info) {
  const name = info.name, past = () => store.sinks[name] ?? {};
  const figures = () => store.snapshot.sinks[name];
  const sign = mark('unknown', 16), state = h('span', { class: 'muted' });
  const problems = h('div', { class: 'problems' });
  const table = facts([
    ['Stored', (f) => count(f.success)],
    ['In the queue', (f) => `${count(f.queuing)} of ${compact(f.max_records)}`, 'Records that wait, and the bound'],
    ['Memory', (f) => `${bytes(f.queuing_bytes)} of ${bytes(f.max_bytes)}`, 'Of records queued and in flight, and the bound'],
    ['In flight', (f) => count(f.inflight), 'Records in a write'],
    ['Lanes', (f) => count(f.lanes), 'Keys, or other order domains, that have records'],
    ['Batch fill', (f) => (f.batch_fill ? percent(f.batch_fill) : '–'), `Records per write, of ${info.batch_size}`],
    ['Latency p50 · p99', (f) => `${millis(f.latency.p50)} · ${millis(f.latency.p99)}`, 'From receipt until stored, over the last seconds'],
    ['Write p50 · p99', (f) => `${millis(f.request_time.p50)} · ${millis(f.request_time.p99)}`, 'Of one write'],
    ['Retried', (f) => count(f.retried), 'Records that needed more than one write'],
    ['Throttled', (f) => count(f.throttled), 'Refusals for want of capacity'],
    ['Ambiguous', (f) => count(f.ambiguous), 'Writes whose outcome is not known; each may have left a duplicate'],
    ['Given up', (f) => count(f.failed + f.dropped.expired + f.dropped.queue_full), 'Refused for good, expired, or dropped from a full queue'],
    ['Dead-lettered', (f) => count(f.dead_lettered), info.fallback ? `Taken by ${info.fallback}` : 'There is no fallback'],
  ]);
  const plots = [
    chart('Queue', [{ label: 'records', color: '--accent', get: () => past().queued }], (v) => compact(v)),
    chart('Records', [{ label: 'stored', color: '--ok', get: () => past().stored }, { label: 'in', color: '--accent', get: () => past().rate }], (v) => compact(v) + '/s'),
    chart('Memory', [{ label: 'bytes', color: '--violet', get: () => past().bytes }], (v) => bytes(v)),
    chart('Latency', [{ label: 'p99', color: '--amber', get: () => past().p99 }, { label: 'p50', color: '--violet', get: () => past().p50 }], (v) => millis(v).replace('–', '0')),
  ];
  const result = h('span', { class: 'muted', role: 'status' });
  const check = h('button', { type: 'button', disabled: !info.checkable, title: info.checkable ? null : 'This sink cannot be asked', click: async () => {
    setText(result, 'Asking …');
    try {
      const r = await call('POST', 'check/' + encodeURIComponent(name));
      setText(result, (r.ok ? 'It answers' : r.error) + ` (${millis(r.seconds * 1000)})`);
    } catch (e) { setText(result, e.message); }
  } }, 'Test connectivity');
  const toggle = changer('Disable', () => call('PUT', `sinks/${encodeURIComponent(name)}/enabled`, { enabled: !figures().enabled }));
  const strip = heat();
  const letters = info.dead_letters ? deadLetters(info) : null;
  root.append(
    h('div', { class: 'head' }, h('h1', {}, sign, ' ', name), h('div', { class: 'actions' }, check, toggle)),
    h('p', { class: 'state' }, state, ' ', result), problems,
    letters?.root ?? '', table.root, strip.root, h('div', { class: 'charts' }, plots.map((p) => p.root)),
  );
  return {
    update() {
      const f = figures();
      if (!f) return;
      setLevel(sign, level('sink', name));
      setText(state, [info.type, f.enabled ? f.health.state : 'disabled: new records are discarded', `when full: ${info.on_full}`, info.fallback && `fallback: ${info.fallback}`].filter(Boolean).join(' · '));
      listProblems(problems, (p) => p.kind === 'sink' && p.name === name);
      problems.hidden = !problems.querySelector('.problem');
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

function deadLetters(info) {
  const path = 'deadletters/' + encodeURIComponent(info.name);
  const list = h('div', { class: 'letters' }), hint = h('span', { class: 'muted' });
  let shown = [], chosen = new Set(), loaded = -1;
  const load = async () => {
    try { shown = (await call('GET', path)).letters; } catch (e) { setText(hint, e.message); return; }
    chosen = new Set(shown.filter((l) => chosen.has(l.id)).map((l) => l.id));
    list.replaceChildren(...shown.map(letter));
    buttons();
  };
  const run = (what) => async () => {
    const ids = chosen.size ? [...chosen] : shown.map((l) => l.id);
    const r = await call('POST', `${path}/${what}`, { ids });
    notify(r.error ? `${count(r.count)} done, then: ${r.error}` : `${count(r.count)} ${what === 'replay' ? 'replayed' : 'deleted'}`);
    await load();
  };
  const replay = info.replay ? changer('Replay all', run('replay')) : null;
  const remove = changer('Delete all', run('delete'));
  const buttons = () => {
    const n = chosen.size ? `${chosen.size} chosen` : 'all';
    if (replay) setText(replay, 'Replay ' + n);
    setText(remove, 'Delete ' + n);
    for (const b of [replay, remove]) if (b) { allow(b); b.disabled ||= !shown.length; }
  };
  const choose = (l) => h('input', { type: 'checkbox', 'aria-label': `Choose letter ${l.id}`, click: (e) => {
    if (e.target.checked) chosen.add(l.id); else chosen.delete(l.id);
    buttons();
  } });
  const letter = (l) => h('div', { class: 'letter' }, choose(l), h('details', {},
    h('summary', {}, h('time', {}, clock(l.time)), h('b', {}, l.sink), h('code', {}, l.topic), h('span', { class: 'error' }, l.error)),
    h('p', { class: 'muted' }, [`rule ${l.rule}`, `${l.attempts} attempts before`, l.dest && `to ${l.dest}`, l.key.text && `key ${l.key.text}`].filter(Boolean).join(' · ')),
    h('h3', {}, 'Record'), blob(l.data, true), h('h3', {}, 'Message'), blob(l.payload, true)));
  const root = h('section', { class: 'dead', 'aria-label': 'Dead letters' }, h('div', { class: 'head' }, h('h2', {}, 'Dead letters'), hint, h('div', { class: 'actions' }, replay ?? '', remove)), list);
  return {
    root,
    update(f) {
      const now = f.matched * 1e6 + (f.dead_letters_held ?? 0);
      setText(hint, store.access.change ? `${count(f.dead_letters_held ?? 0)} kept` : store.access.reason);
      if (now === loaded || !store.access.change) { buttons(); return; }
      loaded = now;
      if (!list.querySelector('details[open]')) load(); // do not pull a letter away from its reader
    },
  };
}
