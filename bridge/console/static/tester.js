// The tester: a statement, an event, and what the one makes of the other.
import { h } from './dom.js';
import { highlight, json, pretty } from './sql.js';
import { call, store } from './store.js';

const example = 'SELECT payload.temp AS temp, clientid, topic\nFROM "sensors/#"\nWHERE payload.temp > 20';
// What was written last, so that looking at another section loses nothing.
const draft = { sql: '', topic: 'sensors/hall/temp', payload: '{\n  "temp": 23.5\n}', columns: '', template: '', source: '' };

export function tester(root, chosen) {
  const editor = editorOf('Statement', draft.sql || example, (text, faults) => highlight(text, faults));
  const payload = editorOf('Payload', draft.payload, (text) => json(text));
  const topic = h('input', { value: draft.topic, spellcheck: 'false', list: 'events', placeholder: 'a/topic' });
  const columns = h('input', { value: draft.columns, spellcheck: 'false', placeholder: '{"clientid": "c1", "qos": 1}' });
  const names = store.topology.sources.map((s) => s.name);
  const source = h('select', {}, h('option', { value: '' }, 'any of them'), names.map((name) => h('option', { value: name }, name)));
  source.value = draft.source;
  const template = h('input', { value: draft.template, spellcheck: 'false', placeholder: '${.}' });
  const result = h('section', { class: 'result', 'aria-live': 'polite', 'aria-label': 'Result' });
  const run = h('button', { type: 'button', class: 'primary', click: () => test() }, 'Run');
  const field = (label, input) => h('label', {}, h('span', {}, label), input);
  root.append(
    h('div', { class: 'input' },
      h('h1', {}, 'Try a statement'),
      h('div', { class: 'field' }, h('span', { class: 'label' }, 'Statement'), editor.root),
      field('Topic, or event', topic),
      h('datalist', { id: 'events' }, ['client/connected', 'client/disconnected', 'session/subscribed', 'session/unsubscribed', 'message/delivered', 'message/acked', 'message/dropped'].map((e) => h('option', { value: '$events/' + e }))),
      names.length > 1 ? field('Source, whose columns the event has', source) : '',
      h('div', { class: 'field' }, h('span', { class: 'label' }, 'Payload'), payload.root),
      field('Further columns, as JSON', columns), field('Template for each row', template),
      h('div', { class: 'actions' }, run, h('span', { class: 'muted' }, 'Runs as you type; Ctrl+Enter runs at once'))),
    result);

  let turn = 0, timer = 0;
  const later = () => { clearTimeout(timer); timer = setTimeout(test, 350); };
  async function test() {
    clearTimeout(timer);
    const mine = ++turn;
    Object.assign(draft, { sql: editor.text(), payload: payload.text(), topic: topic.value, columns: columns.value, template: template.value, source: source.value });
    let more;
    try { more = draft.columns.trim() ? JSON.parse(draft.columns) : undefined; } catch (e) {
      result.replaceChildren(h('div', { class: 'problem blocked' }, 'Further columns: ' + e.message));
      return;
    }
    let reply;
    try {
      reply = await call('POST', 'test', { sql: draft.sql, topic: draft.topic, payload: draft.payload, columns: more, template: draft.template, source: draft.source || undefined });
    } catch (e) { reply = { rows: [], error: e.message }; }
    if (mine !== turn) return; // a later one is under way
    editor.faults(reply.faults ?? []);
    result.replaceChildren(...outcome(reply, editor));
  }
  for (const el of [editor.root, payload.root, topic, source, columns, template]) el.addEventListener('input', later);
  root.addEventListener('keydown', (e) => { if (e.key === 'Enter' && (e.ctrlKey || e.metaKey)) { e.preventDefault(); test(); } });
  const show = (name) => {
    const rule = store.topology.rules.find((r) => r.name === name);
    if (rule?.sql) {
      editor.set(rule.sql);
      topic.value = rule.filters[0].startsWith('$events/') ? rule.filters[0] : rule.filters[0].replace(/^\$share\/[^/]+\//, '').replaceAll('+', 'x').replace('#', 'x');
    }
    test();
  };
  show(chosen);
  return { show, close() { clearTimeout(timer); } };
}

function outcome(r, editor) {
  const out = [];
  if (r.error) {
    out.push(h('h2', { class: 'bad' }, r.faults?.length ? 'The statement is refused' : 'The statement fails on this event'));
    for (const f of r.faults ?? []) {
      out.push(h('button', { type: 'button', class: 'fault', click: () => editor.go(f) }, h('b', {}, `Line ${f.line}, column ${f.column}`), h('span', {}, f.message.replace(/^\d+:\d+: */, '')), f.hint ? h('span', { class: 'muted' }, f.hint) : ''));
    }
    out.push(h('pre', { class: 'code' }, r.error));
  } else if (r.rows.length) {
    out.push(h('h2', {}, `${r.rows.length} row${r.rows.length > 1 ? 's' : ''}`));
    r.rows.forEach((row, i) => {
      out.push(h('pre', { class: 'code row', tabindex: 0 }, json(pretty(row))));
      if (r.rendered?.[i] !== undefined) out.push(h('p', { class: 'muted' }, 'rendered'), h('pre', { class: 'code' }, r.rendered[i]));
    });
  } else {
    out.push(h('h2', {}, 'No rows'), h('p', { class: 'why' }, r.reason || 'The statement made no rows of this event.'));
  }
  for (const w of r.warnings ?? []) out.push(h('div', { class: 'problem warning' }, `Line ${w.line}, column ${w.column}: ${w.message}`));
  if (r.plan) out.push(h('details', { open: true }, h('summary', {}, 'Compiled plan'), h('pre', { class: 'code', tabindex: 0 }, r.plan)));
  return out;
}

// editorOf is a text area over a copy of its text in colours.
function editorOf(label, text, paint) {
  const under = h('pre', { 'aria-hidden': 'true' });
  const area = h('textarea', { 'aria-label': label, spellcheck: 'false', autocapitalize: 'off', autocomplete: 'off' });
  const root = h('div', { class: 'editor' }, under, area);
  let marks = [];
  const show = () => {
    under.replaceChildren(...paint(area.value, marks), '\n');
    area.rows = Math.min(16, Math.max(3, area.value.split('\n').length + 1));
  };
  area.addEventListener('input', () => { marks = []; show(); });
  area.addEventListener('scroll', () => { under.scrollTop = area.scrollTop; under.scrollLeft = area.scrollLeft; });
  area.value = text;
  show();
  return {
    root,
    text: () => area.value,
    set(value) { area.value = value; marks = []; show(); },
    faults(list) { marks = list; show(); },
    go(f) {
      const at = area.value.split('\n').slice(0, f.line - 1).reduce((n, l) => n + l.length + 1, 0) + f.column - 1;
      area.focus();
      area.setSelectionRange(at, at + 1);
    },
  };
}
