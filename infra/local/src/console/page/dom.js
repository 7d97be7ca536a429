// The few things that every part of the page needs: elements, lists that keep their focus, words for
// times and amounts, and talking to the stack.

/** An element. `props` are attributes; `on…` are listeners, and null or false leaves one out. */
export function h(tag, props = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith('on')) node.addEventListener(name.slice(2), value);
    else if (name === 'style') for (const [key, it] of Object.entries(value)) node.style.setProperty(key, it);
    else node.setAttribute(name, value === true ? '' : value);
  }
  node.append(...children.flat().filter((it) => it !== null && it !== undefined && it !== false));
  return node;
}

/** One of the page's icons, by its path in a square of 16. */
const ICONS = {
  request: 'M2 8h9M8 4.5 11.5 8 8 11.5M14 3v10',
  function: 'M4.5 3h1.2c.8 0 1.3.4 1.6 1.2L11 13M7.6 7.2 4.6 13',
  transaction: 'M3 4.2C3 2.9 13 2.9 13 4.2v7.6c0 1.3-10 1.3-10 0zM3 4.2c0 1.3 10 1.3 10 0M3 8c0 1.3 10 1.3 10 0',
  call: 'M3 4.2C3 2.9 13 2.9 13 4.2v7.6c0 1.3-10 1.3-10 0zM3 4.2c0 1.3 10 1.3 10 0',
  event: 'M9 2 4 9h3.5L7 14l5-7H8.5z',
  queue: 'M2.5 4h11M2.5 8h11M2.5 12h11',
  vendor: 'M6 3.5H3.5v9h9V10M9 3h4v4M13 3 7.5 8.5',
  back: 'M13 8H3M7 4 3 8l4 4',
  copy: 'M5.5 5.5v-3h8v8h-3M2.5 5.5h8v8h-8z',
};

export function icon(name) {
  const svg = document.createElementNS('http://www.w3.org/2000/svg', 'svg');
  const path = document.createElementNS('http://www.w3.org/2000/svg', 'path');
  svg.setAttribute('viewBox', '0 0 16 16');
  svg.setAttribute('aria-hidden', 'true');
  svg.classList.add('icon');
  path.setAttribute('d', ICONS[name]);
  svg.append(path);
  return svg;
}

/** Fills a list, and leaves alone what is as it was: focus and scrolling stay where they are. */
export function fill(list, items, key, render) {
  const old = new Map([...list.children].map((node) => [node.dataset.key, node]));
  const focused = document.activeElement?.closest?.('[data-focus]')?.dataset.focus;
  let at = list.firstElementChild;
  for (const item of items) {
    const name = String(key(item)), print = JSON.stringify(item);
    let node = old.get(name);
    old.delete(name);
    if (node?.dataset.print !== print) {
      const made = render(item);
      made.dataset.key = name;
      made.dataset.print = print;
      if (node) {
        if (node === at) at = made;
        node.replaceWith(made);
      }
      node = made;
    }
    if (node === at) at = at.nextElementSibling;
    else list.insertBefore(node, at);
  }
  old.forEach((node) => node.remove());
  if (focused && document.activeElement?.closest?.('[data-focus]')?.dataset.focus !== focused) {
    list.querySelector(`[data-focus="${CSS.escape(focused)}"]`)?.focus({ preventScroll: true });
  }
}

/** Arrow keys, Home and End go from one button of a list to the next. */
export function walk(list, selector) {
  list.addEventListener('keydown', (event) => {
    const steps = { ArrowDown: 1, ArrowUp: -1, Home: -Infinity, End: Infinity };
    const step = steps[event.key];
    if (step === undefined || !event.target.matches(selector)) return;
    const all = [...list.querySelectorAll(selector)].filter((it) => it.offsetParent);
    const to = Math.max(0, Math.min(all.length - 1, all.indexOf(event.target) + step));
    event.preventDefault();
    all[to]?.focus();
  });
}

let ahead = 0;

/** The stack's clock may be ahead of this one. */
export function knowTime(now) {
  ahead = Date.parse(now) - Date.now();
}

export function stackNow() {
  return Date.now() + ahead;
}

/** How long ago, in a word; kept true while it is shown. */
export function ago(at) {
  return h('time', { datetime: at, title: new Date(at).toLocaleString(), 'data-ago': at }, agoText(at));
}

function agoText(at) {
  const seconds = Math.round((stackNow() - Date.parse(at)) / 1000);
  if (seconds < 0) return `in ${spell(-seconds)}`;
  return seconds < 2 ? 'now' : `${spell(seconds)} ago`;
}

function spell(seconds) {
  const units = [[86400, 'd'], [3600, 'h'], [60, 'min'], [1, 's']];
  const [size, unit] = units.find(([size]) => seconds >= size) ?? [1, 's'];
  return `${Math.floor(seconds / size)} ${unit}`;
}

setInterval(() => {
  for (const node of document.querySelectorAll('[data-ago]')) {
    const text = agoText(node.dataset.ago);
    if (node.textContent !== text) node.textContent = text;
  }
}, 1000);

/** A span of time. */
export function span(ms) {
  if (ms < 1) return `${Math.round(ms * 1000)} µs`;
  if (ms < 10) return `${ms.toFixed(1)} ms`;
  if (ms < 1000) return `${Math.round(ms)} ms`;
  if (ms < 10000) return `${(ms / 1000).toFixed(2)} s`;
  if (ms < 120000) return `${(ms / 1000).toFixed(1)} s`;
  if (ms < 7200000) return `${Math.round(ms / 60000)} min`;
  return `${(ms / 3600000).toFixed(1)} h`;
}

export function money(cents, currency) {
  return new Intl.NumberFormat(undefined, { style: 'currency', currency: currency ?? 'usd' }).format((cents ?? 0) / 100);
}

export function count(number, one, more = `${one}s`) {
  return `${number} ${number === 1 ? one : more}`;
}

/** What the console answers; an error says why. */
export async function ask(path, body) {
  const post = body === undefined ? {} : { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify(body) };
  const answer = await fetch(`/_console/api/${path}`, post);
  const said = await answer.json().catch(() => ({ error: `The stack answered ${answer.status}.` }));
  if (!answer.ok) throw new Error(said.error ?? `The stack answered ${answer.status}.`);
  return said;
}

/** Tells what came of something, for a while. */
export function toast(text, { ok = true, flow } = {}) {
  const link = flow && h('a', { href: flowLink(flow) }, 'See its flow');
  const box = h('div', { class: `toast ${ok ? 'ok' : 'bad'}` }, h('span', {}, text), link,
    h('button', { class: 'plain', 'aria-label': 'Dismiss', onclick: () => box.remove() }, '×'));
  document.querySelector('.toasts').replaceChildren(box);
  setTimeout(() => box.remove(), 12000);
}

export function flowLink(id) {
  return `#timeline/${encodeURIComponent(id)}`;
}

/** A button that does something with the stack, once at a time, and says what came of it. */
export function act(label, what, props = {}) {
  const button = h('button', {
    ...props,
    onclick: async () => {
      button.disabled = true;
      try {
        const { said, ok, flow } = await what();
        toast(said, { ok: ok ?? true, flow });
      } catch (error) {
        toast(error.message, { ok: false });
      } finally {
        button.disabled = false;
        if (document.activeElement === document.body) button.focus();
      }
    },
  }, label);
  return button;
}
