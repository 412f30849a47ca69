// How the load of a sink is spread over its shards: a strip of cells.
import { count, h, percent, setAttr, setText } from './dom.js';

const tall = 18;

export function shards() {
  const canvas = h('canvas', { class: 'heat', tabindex: 0, role: 'img' });
  const info = h('span', { class: 'now' });
  const legend = h('p', { class: 'legend muted', 'aria-hidden': 'true' }, 'share of the load', h('i', { class: 'ramp' }), h('span', {}, 'up to 2.2× an even share'), h('i', { class: 'hot' }), h('span', {}, 'throttled in the last second'));
  const root = h('figure', { class: 'chart shards', hidden: true }, h('figcaption', {}, h('span', {}, 'Shards'), info), canvas, legend);
  let list = [], columns = 1, cell = 10, before = new Map(), hot = new Set(), at = -1, painted = '';
  const key = (s) => s.dest + '/' + s.shard;

  const draw = () => {
    const width = canvas.parentElement.clientWidth, ratio = devicePixelRatio || 1;
    if (!width || !list.length) return;
    const most = Math.max(1, Math.floor(width / (list.length > 200 ? 13 : list.length > 40 ? 20 : 44)));
    const rows = Math.ceil(list.length / most);
    columns = Math.ceil(list.length / rows); // no lonely cell in the last row
    cell = width / columns;
    const style = getComputedStyle(document.documentElement), of = (n) => style.getPropertyValue(n).trim();
    canvas.width = width * ratio;
    canvas.height = rows * tall * ratio;
    canvas.style.height = rows * tall + 'px';
    const [line, accent, bad, ink] = ['--sunk', '--accent', '--bad', '--ink'].map(of), g = canvas.getContext('2d');
    g.scale(ratio, ratio);
    list.forEach((s, i) => {
      const x = i % columns * cell, y = Math.floor(i / columns) * tall, n = s.of * s.share; // 1 is an even share
      const fill = (colour, alpha) => { g.globalAlpha = alpha; g.fillStyle = colour; g.fillRect(x + 1, y + 1, cell - 2, tall - 2); };
      fill(line, 1);
      if (n > 0) fill(accent, Math.min(1, 0.1 + n * 0.41));
      if (hot.has(key(s))) fill(bad, 1);
      if (i !== at) return;
      g.globalAlpha = 1;
      g.strokeStyle = ink;
      g.lineWidth = 2;
      g.strokeRect(x + 1, y + 1, cell - 2, tall - 2);
    });
  };
  const tell = () => {
    const busiest = list.reduce((a, b) => (a && a.share * a.of >= b.share * b.of ? a : b), null), s = list[at] ?? busiest;
    if (!s) return;
    const even = s.share * s.of;
    const lead = at >= 0 ? '' : `${count(list.length)} shards${hot.size ? `, ${count(hot.size)} throttled now` : ''}; busiest: `;
    setText(info, `${lead}${s.shard} ${percent(s.share)}${even >= 1.5 ? ` (${even.toFixed(1)}× an even share)` : ''}${s.throttled ? `, throttled ${count(s.throttled)} times` : ''}`);
    setAttr(canvas, 'aria-label', info.textContent);
  };
  const point = (i) => { at = i >= 0 && i < list.length ? i : -1; tell(); draw(); };
  canvas.addEventListener('pointermove', (e) => { const x = Math.floor(e.offsetX / cell); point(x < columns ? Math.floor(e.offsetY / tall) * columns + x : -1); });
  canvas.addEventListener('pointerleave', () => point(-1));
  canvas.addEventListener('blur', () => point(-1));
  canvas.addEventListener('keydown', (e) => {
    const step = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: columns, ArrowUp: -columns }[e.key];
    if (!step) return;
    e.preventDefault();
    point(Math.min(list.length - 1, Math.max(0, at + step)));
  });
  addEventListener('themechange', draw);
  const resize = new ResizeObserver(draw);
  resize.observe(root);
  return {
    root,
    update(loads) {
      const per = {};
      for (const s of loads) per[s.dest] = (per[s.dest] ?? 0) + 1;
      hot = new Set(loads.filter((s) => s.throttled > (before.get(key(s)) ?? s.throttled)).map(key));
      before = new Map(loads.map((s) => [key(s), s.throttled]));
      list = loads.map((s) => ({ ...s, of: per[s.dest] }));
      root.hidden = !list.length;
      tell();
      const now = list.map((s) => s.share.toFixed(5)).join() + [...hot].join();
      if (now === painted) return;
      painted = now;
      draw();
    },
    close() { removeEventListener('themechange', draw); resize.disconnect(); },
  };
}
