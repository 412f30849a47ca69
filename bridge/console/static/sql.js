// Syntax colours for statements and JSON.
import { h } from './dom.js';

const keywords = new Set('select from where foreach do incase as and or not in case when then else end div mod is null true false'.split(' '));
const sqlToken = /(--[^\n]*|\/\*[\s\S]*?\*\/)|('(?:[^'\\]|\\.|'')*'?)|("(?:[^"\\]|\\.)*"?)|(\b\d+(?:\.\d+)?(?:[eE][+-]?\d+)?\b)|([A-Za-z_][A-Za-z0-9_]*)(?=(\s*\()?)|([\s\S])/g;
const jsonToken = /("(?:[^"\\]|\\.)*")(\s*:)?|(-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)|\b(true|false|null)\b|([\s\S])/g;

// highlight returns the nodes of a statement. Faults are the places to underline.
export function highlight(text, faults = []) {
  const starts = [0];
  for (let i = 0; i < text.length; i++) if (text[i] === '\n') starts.push(i + 1);
  const wrong = new Map();
  for (const f of faults) {
    const line = text.slice(starts[f.line - 1] ?? text.length);
    wrong.set(text.length - line.length + [...line].slice(0, f.column - 1).join('').length, f);
  }
  const out = [];
  let plain = '';
  const flush = () => { if (plain) out.push(plain); plain = ''; };
  for (const m of text.matchAll(sqlToken)) {
    const [token, comment, string, name, number, word, call] = m;
    const kind = comment ? 'comment' : string ? 'string' : name ? 'topic' : number ? 'number'
      : word && keywords.has(word.toLowerCase()) ? 'keyword' : word && call ? 'call' : '';
    const hit = [...wrong.keys()].find((at) => at >= m.index && at < m.index + token.length);
    if (hit === undefined && !kind) { plain += token; continue; }
    flush();
    out.push(h('span', { class: (kind ? 'sql-' + kind : '') + (hit === undefined ? '' : ' wrong'), title: wrong.get(hit)?.message }, token));
    wrong.delete(hit);
  }
  flush();
  if (wrong.size) out.push(h('span', { class: 'wrong' }, ' ')); // at the end of the text
  return out;
}

export function json(text) {
  const out = [];
  let plain = '';
  for (const [token, string, colon, number, word] of text.matchAll(jsonToken)) {
    const kind = string ? (colon ? 'name' : 'string') : number ? 'number' : word ? 'keyword' : '';
    if (!kind) { plain += token; continue; }
    if (plain) out.push(plain);
    plain = '';
    out.push(h('span', { class: 'sql-' + kind }, string ?? token));
    if (colon) plain = colon;
  }
  if (plain) out.push(plain);
  return out;
}

// pretty indents JSON without touching its numbers' digits.
export function pretty(text) {
  let depth = 0, out = '', inside = false;
  for (let i = 0; i < text.length; i++) {
    const c = text[i];
    if (inside) {
      out += c;
      if (c === '\\') out += text[++i] ?? '';
      else if (c === '"') inside = false;
    } else if (c === '"') { inside = true; out += c; }
    else if ('{['.includes(c)) {
      const close = text.slice(i + 1).match(/^\s*[}\]]/);
      if (close) { out += c + close[0].trim(); i += close[0].length; }
      else out += c + '\n' + '  '.repeat(++depth);
    } else if ('}]'.includes(c)) out += '\n' + '  '.repeat(--depth) + c;
    else if (c === ',') out += ',\n' + '  '.repeat(depth);
    else if (c === ':') out += ': ';
    else if (!/\s/.test(c)) out += c;
  }
  return out;
}
