// The trace: what becomes of messages, from receipt to the fate of each record.
import { blob } from './blob.js';
import { clock, count, h, millis, setText } from './dom.js';
import { changer, notify } from './list.js';
import { json } from './sql.js';
import { store } from './store.js';

const most = 50, opened = 3; // messages shown, and of those the first that are opened

// kept is what the user asked for, so that looking at another section loses nothing.
const kept = { rule: '', source: '', topic: '', clientid: '', address: '' };

export function trace(root, chosen) {
  if (chosen) Object.assign(kept, { rule: chosen });
  const pick = (key, names, any) => h('select', { change: (e) => { kept[key] = e.target.value; } }, h('option', { value: '' }, any), names.map((n) => h('option', { value: n, selected: kept[key] === n }, n)));
  const text = (key, placeholder) => h('input', { value: kept[key], placeholder, spellcheck: 'false', autocapitalize: 'off', input: (e) => { kept[key] = e.target.value.trim(); }, keydown: (e) => { if (e.key === 'Enter' && !run) button.click(); } });
  const field = (label, input) => h('label', {}, h('span', {}, label), input);
  const t = store.topology;
  const hint = h('span', { class: 'muted', role: 'status' }), list = h('ol', { class: 'traced' });
  const empty = h('p', { class: 'empty' }, 'Nothing yet. Press Start, and each message that fits shows here what the clauses of its rules gave, the rendered templates, the writes, and how it ended.');
  let run = null, messages = new Map(), seen = 0, missed = 0;

  const stop = () => { run?.abort(); run = null; setText(button, 'Start'); button.classList.add('primary'); };
  const add = (e) => {
    missed += e.missed ?? 0;
    let m = messages.get(e.id);
    if (!m && e.message) {
      seen++;
      m = card(e, seen <= opened);
      messages.set(e.id, m);
      list.prepend(m.root);
      empty.hidden = true;
      while (list.children.length > most) { messages.delete(Number(list.lastChild.dataset.id)); list.lastChild.remove(); }
    }
    m?.add(e);
    setText(hint, `${count(seen)} message${seen === 1 ? '' : 's'}, the latest first` + (missed ? `; ${count(missed)} events left out, there are too many` : ''));
  };
  const button = changer('Start', async () => {
    if (run) { stop(); setText(hint, 'Stopped'); return; }
    const mine = run = new AbortController();
    list.replaceChildren();
    messages = new Map();
    seen = missed = 0;
    empty.hidden = false;
    const body = Object.fromEntries(Object.entries(kept).filter(([, v]) => v));
    const reply = await fetch('api/trace', { method: 'POST', signal: mine.signal, headers: { 'Content-Type': 'application/json' }, body: JSON.stringify(body) }).catch((e) => { stop(); throw e; });
    if (!reply.ok) { stop(); throw new Error((await reply.json()).error); }
    setText(button, 'Stop');
    button.classList.remove('primary');
    setText(hint, 'Waiting for messages …');
    read(reply, (e) => { if (run === mine) add(e); }).catch((e) => { if (e.name !== 'AbortError') notify(e.message); }).finally(() => { if (run === mine) stop(); });
  });
  button.classList.add('primary');
  root.append(
    h('section', { class: 'asked', 'aria-label': 'What to trace' },
      h('h1', {}, 'Trace'),
      h('div', { class: 'form' },
        field('Rule', pick('rule', t.rules.map((r) => r.name), 'any rule')),
        t.sources.length > 1 ? field('Source', pick('source', t.sources.map((s) => s.name), 'any source')) : '',
        field('Topic filter', text('topic', 'any topic')), field('Client', text('clientid', 'any client')), field('Address', text('address', 'any, or 10.1.0.0/16'))),
      h('div', { class: 'actions' }, button, hint)),
    h('section', { class: 'found', 'aria-label': 'Messages' }, empty, list));
  if (!store.access.change) setText(hint, store.access.reason);
  return {
    close: stop,
    show(name) { if (!name) return; kept.rule = name; root.querySelector('select').value = name; },
  };
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

// card shows a message and what becomes of it.
function card(e, open) {
  const m = e.message, verdict = h('span', { class: 'verdict' }, '…'), body = h('div', { class: 'events' });
  const who = [m.source, m.clientid && `client ${m.clientid}`, m.peername, m.username && `user ${m.username}`, `QoS ${m.qos}`, m.retain && 'retained', m.dup && 'sent again'].filter(Boolean).join(' · ');
  const root = h('li', { 'data-id': e.id }, h('details', { open }, h('summary', {}, h('time', {}, clock(e.time)), h('code', {}, m.topic || m.event), h('span', { class: 'muted' }, who), verdict), m.payload.size ? blob(m.payload) : '', body));
  const ends = [], records = new Map();
  let made = 0, failed = '', rules = 0;
  const judge = (settled) => {
    const bad = ends.find((x) => x.outcome !== 'stored');
    const [text, how] = failed ? ['exception', 'bad'] : bad ? [bad.outcome, 'bad'] : ends.length && ends.length >= made ? ['stored', 'ok']
      : made ? ['on its way', 'off'] : settled || rules >= m.rules.length ? [m.rules.length ? 'no result' : 'no rule wants it', 'off'] : ['…', 'off'];
    setText(verdict, text);
    verdict.className = 'verdict ' + how;
  };
  return {
    root,
    add(x) {
      if (x.rule) {
        rules++;
        made += x.rule.records.length;
        failed ||= x.rule.error;
        body.append(ruleOf(x.rule, records));
      } else if (x.write) records.get(x.write.record)?.append(writeOf(x.write));
      else if (x.end) {
        ends.push(x.end);
        records.get(x.end.record)?.append(h('p', { class: x.end.outcome === 'stored' ? 'ok' : 'error' }, x.end.outcome + (x.end.error ? ': ' + x.end.error : '')));
      } else if (x.settled?.error) body.append(h('p', { class: 'error' }, `${x.settled.outcome === 'abandoned' ? 'not acknowledged' : `acknowledged, ${x.settled.outcome}`}: ${x.settled.error}`));
      judge(x.settled);
    },
  };
}

function ruleOf(r, records) {
  // What the record shows anyway is left out.
  const all = r.steps ?? [], steps = all.filter((s) => s.name !== 'columns' && s.name !== 'action' && !(s.name === 'data' && s.text === '${.}'));
  const columns = all.find((s) => s.name === 'columns'), rows = new Set(all.filter((s) => s.name === 'row').map((s) => s.result));
  return h('div', { class: 'ruled' },
    h('p', {}, 'rule ', h('a', { href: '#/rules/' + encodeURIComponent(r.rule) }, r.rule), h('span', { class: 'muted' }, ` took ${millis(r.duration_ns / 1e6)}`)),
    steps.length ? h('dl', { class: 'steps' }, steps.map(stepOf)) : '',
    r.error ? h('p', { class: 'error' }, r.error) : '',
    columns ? h('details', {}, h('summary', {}, 'The columns of the event'), h('pre', { class: 'code' }, json(columns.result))) : '',
    r.records.map((x) => {
      const el = h('div', { class: 'record' }, h('p', {}, '→ ', h('b', {}, x.sink ?? 'the sink'), h('span', { class: 'muted' }, [x.dest && ` to ${x.dest}`, x.key.text && ` key ${x.key.text}`, x.optional && ' optional', rows.has(x.data.text) && ' the row as it is'].filter(Boolean).join(','))), rows.has(x.data.text) ? '' : blob(x.data));
      records.set(x.record, el);
      return el;
    }),
    r.more ? h('p', { class: 'muted' }, `and ${count(r.more)} more records`) : '');
}

const refused = (s) => (s.name === 'WHERE' || s.name === 'INCASE') && s.result !== 'true';

const looksLikeJSON = /^([[{"]|(-?\d[\d.eE+-]*|true|false|null)$)/;

const stepOf = (s) => h('div', { class: refused(s) ? 'no' : null }, h('dt', {}, s.name), h('dd', {}, s.text ? h('code', {}, s.text) : '', s.text ? h('span', { class: 'muted' }, ' → ') : '', h('code', { class: 'result' }, looksLikeJSON.test(s.result) ? json(s.result) : s.result)));

function writeOf(w) {
  const words = w.fallback ? `goes on to ${w.fallback}` : `write ${w.attempt || ''} to ${w.sink} took ${millis((w.duration_ns ?? 0) / 1e6)}` + (w.wait_ns ? ` after ${millis(w.wait_ns / 1e6)} in the queue` : '');
  return h('p', { class: 'muted' }, words, w.error ? h('span', { class: 'error' }, ': ' + w.error) : '');
}
