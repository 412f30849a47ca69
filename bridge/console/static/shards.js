// How the load of a sink is spread over its shards: a strip of cells.
import { count, h, percent, setText } from './dom.js';

export function heat() {
  const canvas = h('canvas', { class: 'heat', tabindex: 0, role: 'img' });
  const info = h('span', { class: 'now' });
  const root = h('figure', { class: 'chart shards', hidden: true }, h('figcaption', {}, 'Shards', info), canvas);
  let shards = [], columns = 1, cell = 10, before = new Map(), hot = new Set(), at = -1;

  const draw = () => {
    const width = canvas.parentElement.clientWidth, ratio = devicePixelRatio || 1;
    if (!width || !shards.length) return;
    cell = shards.length > 200 ? 14 : shards.length > 40 ? 20 : 30;
    columns = Math.max(1, Math.floor(width / cell));
    const rows = Math.ceil(shards.length / columns);
    canvas.width = width * ratio;
    canvas.height = rows * cell * ratio;
    canvas.style.height = rows * cell + 'px';
    const style = getComputedStyle(document.documentElement);
    const [line, accent, bad, ink] = ['--line', '--accent', '--bad', '--ink'].map((n) => style.getPropertyValue(n).trim());
    const g = canvas.getContext('2d');
    g.scale(ratio, ratio);
    shards.forEach((s, i) => {
      const x = i % columns * cell, y = Math.floor(i / columns) * cell, n = s.of * s.share; // 1 is an even share
      g.globalAlpha = 1;
      g.fillStyle = line;
      g.fillRect(x + 1, y + 1, cell - 2, cell - 2);
      g.globalAlpha = Math.min(1, 0.12 + n * 0.4);
      g.fillStyle = accent;
      if (n > 0) g.fillRect(x + 1, y + 1, cell - 2, cell - 2);
      g.globalAlpha = 1;
      if (hot.has(s.dest + '/' + s.shard)) { g.fillStyle = bad; g.fillRect(x + 1, y + 1, cell - 2, cell - 2); }
      if (i === at) { g.strokeStyle = ink; g.lineWidth = 1.5; g.strokeRect(x + 1, y + 1, cell - 2, cell - 2); }
    });
  };
  const tell = () => {
    const s = shards[at];
    const busiest = shards.reduce((a, b) => (a && a.share * a.of >= b.share * b.of ? a : b), null);
    const show = s ?? busiest;
    if (!show) return;
    setText(info, `${s ? '' : count(shards.length) + ' shards, busiest: '}${show.shard} ${percent(show.share)}${show.share * show.of >= 2 ? ` (${(show.share * show.of).toFixed(1)}× an even share)` : ''}, throttled ${count(show.throttled)}`);
    canvas.setAttribute('aria-label', info.textContent);
  };
  const point = (i) => { at = i >= 0 && i < shards.length ? i : -1; tell(); draw(); };
  canvas.addEventListener('pointermove', (e) => point(Math.floor(e.offsetY / cell) * columns + Math.floor(e.offsetX / cell)));
  canvas.addEventListener('pointerleave', () => point(-1));
  canvas.addEventListener('keydown', (e) => {
    const step = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: columns, ArrowUp: -columns }[e.key];
    if (!step) return;
    e.preventDefault();
    point(Math.min(shards.length - 1, Math.max(0, at + step)));
  });
  addEventListener('themechange', draw);
  const resize = new ResizeObserver(draw);
  resize.observe(root);
  return {
    root,
    update(list) {
      const per = {};
      for (const s of list) per[s.dest] = (per[s.dest] ?? 0) + 1;
      hot = new Set(list.filter((s) => s.throttled > (before.get(s.dest + '/' + s.shard) ?? s.throttled)).map((s) => s.dest + '/' + s.shard));
      before = new Map(list.map((s) => [s.dest + '/' + s.shard, s.throttled]));
      shards = list.map((s) => ({ ...s, of: per[s.dest] }));
      root.hidden = !shards.length;
      tell();
      draw();
    },
    close() { removeEventListener('themechange', draw); resize.disconnect(); },
  };
}
