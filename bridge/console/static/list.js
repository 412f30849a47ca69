// A list beside the details of the chosen part, for rules and sinks.
import { h, mark, setAttr, setLevel, setText } from './dom.js';
import { level, store } from './store.js';

// parts shows the list of a kind; detail(root, info) shows one and returns
// { update, close }.
export function parts(root, kind, chosen, figure, detail) {
  const plural = kind + 's';
  const rows = new Map();
  const list = h('ul');
  const search = h('input', { type: 'search', placeholder: `Find a ${kind}`, 'aria-label': `Find a ${kind}`, input: () => filter() });
  const aside = h('aside', {}, h('div', { class: 'find' }, search), list);
  const pane = h('section', { class: 'detail', 'aria-live': 'off' });
  root.append(aside, pane);
  let open = null, name = null;

  const filter = () => {
    const want = search.value.toLowerCase();
    for (const [n, row] of rows) row.item.hidden = !n.toLowerCase().includes(want);
  };
  const show = (wanted) => {
    const infos = store.topology[plural];
    const info = infos.find((i) => i.name === wanted) ?? (matchMedia('(max-width: 760px)').matches ? null : infos[0]);
    setAttr(root, 'data-open', info ? 'detail' : 'list');
    open?.close?.();
    open = null;
    name = info?.name ?? null;
    for (const [n, row] of rows) setAttr(row.link, 'aria-current', n === name ? 'true' : null);
    if (!info) {
      pane.replaceChildren(h('p', { class: 'empty' }, infos.length ? `Choose a ${kind}.` : `There are no ${plural}.`));
      return;
    }
    const inner = h('div', {});
    pane.replaceChildren(h('a', { class: 'back', href: '#/' + plural }, '‹ All ' + plural), inner);
    open = detail(inner, info);
    update();
  };
  const build = () => {
    rows.clear();
    list.replaceChildren(...store.topology[plural].map((info) => {
      const row = { sign: mark('unknown'), value: h('span', { class: 'value' }) };
      row.link = h('a', { href: `#/${plural}/${encodeURIComponent(info.name)}` }, row.sign, h('span', { class: 'name' }, info.name), row.value);
      row.item = h('li', {}, row.link);
      rows.set(info.name, row);
      return row.item;
    }));
    filter();
  };
  const update = () => {
    for (const [n, row] of rows) {
      const f = store.snapshot[plural][n];
      if (!f) continue;
      setLevel(row.sign, level(kind, n));
      setText(row.value, figure(f));
    }
    open?.update();
  };
  build();
  show(chosen);
  return { show, update, rebuild() { build(); show(name); }, close() { open?.close?.(); } };
}

// facts is a table of figures that keeps its elements; each entry is a name and a
// function of the part's figures.
export function facts(entries) {
  const cells = entries.map(([label, of, title]) => ({ of, el: h('dd'), label, title }));
  return {
    root: h('dl', { class: 'facts' }, cells.map((c) => h('div', { title: c.title }, h('dt', {}, c.label), c.el))),
    update(f) { for (const c of cells) setText(c.el, c.of(f)); },
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

