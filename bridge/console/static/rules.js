// Rules: statement, counters, switch, trace.
import { chart } from './chart.js';
import { clock, compact, count, h, rate, setText } from './dom.js';
import { listProblems } from './flows.js';
import { allow, changer, facts, notify, parts } from './list.js';
import { highlight, json, pretty } from './sql.js';
import { call, store } from './store.js';

export const rules = (root, chosen) => parts(root, 'rule', chosen, (f) => (f.enabled ? rate(f.rate) : 'disabled'), detail);

function detail(root, info) {
  const name = info.name, path = 'rules/' + encodeURIComponent(name);
  const figures = () => store.snapshot.rules[name];
  const table = facts([
    ['Matched', (f) => count(f.matched), 'Messages on its topics'],
    ['Passed', (f) => count(f.passed), 'Messages that made rows'],
    ['No result', (f) => count(f['failed.no_result']), 'Messages that made no rows, such as those that WHERE refused'],
    ['Exceptions', (f) => count(f['failed.exception']), 'Messages that the rule failed on'],
    ['Records', (f) => count(f['actions.total']), 'Records made for sinks'],
    ['Stored', (f) => count(f['actions.success'])],
    ['On their way', (f) => count(Math.max(0, f['actions.total'] - f['actions.success'] - f['actions.failed'] - f['actions.discarded']))],
    ['Given up', (f) => count(f['actions.failed'])],
  ]);
  const toggle = changer('Disable', () => call('PUT', path + '/enabled', { enabled: !figures().enabled }));
  const reset = changer('Reset counters', () => call('POST', path + '/reset'));
  const trail = tracer(path);
  const plot = chart('Messages matched', [{ label: 'matched', color: '--accent', get: () => store.rules[name] }], (v) => compact(v) + '/s');
  const test = h('a', { class: 'button', href: '#/tester/' + encodeURIComponent(name) }, 'Open in the tester');
  const problems = h('div', { class: 'problems' });
  root.append(
    h('div', { class: 'head' }, h('h1', {}, name), h('div', { class: 'actions' }, trail.button, toggle, reset, info.sql ? test : null)),
    problems,
    info.sql ? h('pre', { class: 'code sql', tabindex: 0, 'aria-label': 'Statement' }, highlight(info.sql)) : h('p', { class: 'muted' }, `This rule is Go code (${info.type}).`),
    h('div', { class: 'chips' }, info.filters.map((f) => h('code', {}, f)), h('span', { class: 'arrow' }, '→'), info.actions.length ? info.actions.map(action) : h('span', { class: 'muted' }, 'its sinks are not known')),
    table.root, plot.root, trail.root,
    info.plan ? h('details', {}, h('summary', {}, 'Compiled plan'), h('pre', { class: 'code' }, info.plan)) : '',
  );
  return {
    update() {
      const f = figures();
      if (!f) return;
      table.update(f);
      plot.update();
      listProblems(problems, (p) => p.kind === 'rule' && p.name === name);
      problems.hidden = !problems.querySelector('.problem');
      setText(toggle, f.enabled ? 'Disable' : 'Enable');
      [toggle, reset, trail.button].forEach(allow);
    },
    close() { plot.close(); trail.stop(); },
  };
}

function action(a) {
  const parts = [a.dest && `to ${a.dest}`, a.key && `key ${a.key}`, a.optional && 'optional'].filter(Boolean);
  return h('a', { class: 'chip', href: '#/sinks/' + encodeURIComponent(a.sink), title: a.data ? 'data ' + a.data : null }, h('b', {}, a.sink), parts.length ? ' ' + parts.join(', ') : '');
}

const shown = 50; // messages of a trace

// tracer shows what the rule makes of the messages that pass.
function tracer(path) {
  const list = h('ol', { class: 'trace' });
  const hint = h('p', { class: 'muted' });
  const root = h('section', { hidden: true, 'aria-label': 'Trace' }, h('h2', {}, 'Trace'), hint, list);
  let abort = null, seen = 0;
  const stop = () => { abort?.abort(); abort = null; setText(button, 'Trace'); };
  const add = (t) => {
    seen++;
    setText(hint, `${count(seen)} messages, the latest first`);
    list.prepend(item(t));
    while (list.children.length > shown) list.lastChild.remove();
  };
  const button = changer('Trace', async () => {
    if (abort) { stop(); return; }
    abort = new AbortController();
    root.hidden = false;
    setText(hint, 'Waiting for messages …');
    list.replaceChildren();
    seen = 0;
    const reply = await fetch(`api/${path}/trace`, { method: 'POST', signal: abort.signal });
    if (!reply.ok) { stop(); throw new Error((await reply.json()).error); }
    setText(button, 'Stop trace');
    read(reply, add).catch((e) => { if (e.name !== 'AbortError') notify(e.message); }).finally(stop);
  });
  return { root, button, stop };
}

async function read(reply, add) {
  let rest = '';
  for (const reader = reply.body.pipeThrough(new TextDecoderStream()).getReader(); ;) {
    const { done, value } = await reader.read();
    if (done) return;
    const lines = (rest + value).split('\n');
    rest = lines.pop();
    lines.filter(Boolean).forEach((line) => add(JSON.parse(line)));
  }
}

function item(t) {
  return h('li', {},
    h('p', {}, h('time', {}, clock(t.time)), h('code', {}, t.topic), h('span', { class: 'muted' }, [t.clientid, `QoS ${t.qos}`, t.missed ? `${count(t.missed)} not shown before` : ''].filter(Boolean).join(' · ')),
      h('span', { class: 'verdict ' + (t.error ? 'bad' : t.records.length ? 'ok' : 'off') }, t.error ? 'exception' : t.records.length ? `${t.records.length} record${t.records.length > 1 ? 's' : ''}` : 'no result')),
    blob(t.payload), t.error ? h('p', { class: 'error' }, t.error) : '',
    t.records.map((r) => h('div', { class: 'record' }, h('span', { class: 'muted' }, ['→', r.sink, r.dest, r.key.text && 'key ' + r.key.text].filter(Boolean).join(' ')), blob(r.data))));
}

// blob shows bytes.
export function blob(t, indent = false) {
  const text = t.text || (t.size ? '' : '(empty)');
  const note = t.base64 ? ` (base64 of ${count(t.size)} bytes)` : t.text.length < t.size && t.size > 4096 ? ` … (${count(t.size)} bytes)` : '';
  const looks = /^\s*[{[]/.test(text) && !t.base64;
  return h('pre', { class: 'code' }, looks ? json(indent && !note ? pretty(text) : text) : text, note);
}
