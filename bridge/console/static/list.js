// A list beside the details of the chosen part, for rules and sinks.
import { ago, h, hasTime, mark, millis, setAttr, setLevel, setText } from './dom.js';
import { listProblems } from './problems.js';
import { call, level, store } from './store.js';

// parts shows the list of a kind; figure(f, info) is what a row says, and
// detail(root, info) shows one and returns { update, close }.
export function parts(root, kind, chosen, figure, detail) {
  const plural = kind + 's';
  const rows = new Map();
  const list = h('ul');
  const search = h('input', { type: 'search', placeholder: `Find a ${kind}`, 'aria-label': `Find a ${kind}`, 'data-find': '', input: () => filter() });
  const none = h('p', { class: 'muted none', hidden: true }, `No ${kind} is called so.`);
  const aside = h('aside', { 'aria-label': plural[0].toUpperCase() + plural.slice(1) }, h('div', { class: 'find' }, search), list, none);
  const pane = h('section', { class: 'detail', 'aria-live': 'off' });
  const title = h('h1', { class: 'unseen' }, plural[0].toUpperCase() + plural.slice(1)); // while no part tells its name
  root.classList.add('parts');
  root.append(title, aside, pane);
  let open = null, name = null;

  const filter = () => {
    const want = search.value.toLowerCase();
    for (const [n, row] of rows) row.item.hidden = !n.toLowerCase().includes(want);
    none.hidden = [...rows.values()].some((row) => !row.item.hidden);
  };
  const show = (wanted) => {
    const infos = store.topology[plural];
    const info = infos.find((i) => i.name === wanted) ?? (matchMedia('(max-width: 760px)').matches ? null : infos[0]);
    setAttr(root, 'data-open', info ? 'detail' : 'list');
    title.hidden = Boolean(info);
    open?.close?.();
    open = null;
    name = info?.name ?? null;
    for (const [n, row] of rows) setAttr(row.link, 'aria-current', n === name ? 'true' : null);
    if (!info) {
      pane.replaceChildren(h('p', { class: 'empty' }, infos.length ? `Choose a ${kind}.` : nothing[kind]));
      return;
    }
    const inner = h('div', { class: 'stack' });
    pane.replaceChildren(h('a', { class: 'back', href: '#/' + plural }, '‹ All ' + plural), inner);
    open = detail(inner, info);
    update();
  };
  const build = () => {
    rows.clear();
    list.replaceChildren(...store.topology[plural].map((info) => {
      const row = { sign: mark('unknown'), value: h('span', { class: 'value' }) };
      row.link = h('a', { href: `#/${plural}/${encodeURIComponent(info.name)}` }, row.sign, h('span', { class: 'name', title: info.name }, info.name), row.value);
      row.item = h('li', {}, row.link);
      rows.set(info.name, row);
      return row.item;
    }));
    search.parentElement.hidden = store.topology[plural].length < 8;
    filter();
  };
  const update = () => {
    for (const [n, row] of rows) {
      const f = store.snapshot[plural][n];
      if (!f) continue;
      setLevel(row.sign, level(kind, n));
      setText(row.value, figure(f));
      setAttr(row.link, 'data-level', row.sign.dataset.level);
    }
    open?.update();
  };
  build();
  show(chosen);
  return { show, update, rebuild() { build(); show(name); }, close() { open?.close?.(); } };
}

const nothing = {
  source: 'There are no sources.',
  rule: 'There are no rules. Add one with Pipeline.SetRule, or try a statement in the tester first.',
  sink: 'There are no sinks. Add one with Pipeline.SetSink.',
};

// head is the upper line of the details: condition, name, and what can be done.
export function head(kind, info, ...buttons) {
  const sign = mark('unknown', 16), state = h('span'), result = h('span', { role: 'status' });
  const problems = h('div', { class: 'problems' });
  return {
    root: h('div', { class: 'stack' },
      h('div', { class: 'head' }, h('h1', {}, sign, h('span', {}, info.name)), h('div', { class: 'actions' }, buttons)),
      h('p', { class: 'state muted' }, state, result), problems),
    result,
    update(text) {
      setLevel(sign, level(kind, info.name));
      setText(state, text.filter(Boolean).join(' · '));
      listProblems(problems, (p) => p.kind === kind && p.name === info.name);
    },
  };
}

// checker is a button that asks a source or sink for its condition, and says in
// result what it says.
export function checker(info, result) {
  const b = h('button', { type: 'button', disabled: !info.checkable, title: info.checkable ? null : 'It cannot be asked: it does not implement bridge.Checker', click: async () => {
    const say = (text, how) => { setText(result(), text); setAttr(result(), 'class', how); };
    b.disabled = true;
    say('Asking …', 'asked');
    try {
      const r = await call('POST', 'check/' + encodeURIComponent(info.name));
      say((r.ok ? 'It answers' : r.error) + ` (${millis(r.seconds * 1000)})`, r.ok ? 'asked ok' : 'asked bad');
    } catch (e) { say(e.message, 'asked bad'); } finally { b.disabled = false; }
  } }, 'Test connectivity');
  return b;
}

// since tells a condition and since when it has been so.
export const since = (health, now) => (health.state === 'connecting' ? 'not known yet' : health.state) + (hasTime(health.since) ? ` for ${ago(health.since, now).trim()}` : '');

// facts is a table of figures that keeps its elements; each entry is a name and a
// function of the part's figures.
export function facts(entries) {
  const cells = entries.map(([label, of, title, more, colour]) => ({ of, more, label, colour, title, note: h('span', { class: 'note' }) }));
  return {
    root: h('dl', { class: 'facts', 'data-cells': entries.length }, cells.map((c) => h('div', { title: c.title }, h('dt', {}, c.colour ? h('i', { class: 'key', 'data-color': c.colour }) : '', c.label), h('dd', {}, c.el = h('b'), c.note)))),
    update(f) {
      for (const c of cells) {
        setText(c.el, c.of(f));
        setText(c.note, c.more?.(f) ?? '');
      }
    },
  };
}

// changer is a button that may only be pressed with permission.
export function changer(label, press) {
  const b = h('button', { type: 'button', click: async () => {
    b.disabled = true;
    try { await press(b); } catch (e) { notify(e.message); } finally { allow(b); }
  } }, label);
  allow(b);
  return b;
}

export function allow(b) {
  b.disabled = !store.access.change;
  setAttr(b, 'title', store.access.change ? null : store.access.reason);
}

let timer = 0;
export function notify(text) {
  const box = document.getElementById('toast') ?? document.body.appendChild(h('div', { id: 'toast', role: 'alert' }));
  box.textContent = text;
  box.classList.add('shown');
  clearTimeout(timer);
  timer = setTimeout(() => box.classList.remove('shown'), 6000);
}

