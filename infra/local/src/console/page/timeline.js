// The timeline: on the left what began lately, on the right what followed from one of them.

import { h, icon, fill, walk, ask, ago, span as duration, count, knowTime, flowLink, toast } from './dom.js';

const OUTCOMES = {
  done: 'Done', running: 'Running', retrying: 'To be tried again', recovered: 'Recovered',
  refused: 'Refused', failed: 'Failed', dead: 'Dead letter',
};
const FILTERS = {
  changes: ['Changes', (flow) => hasEffect(flow)],
  trouble: ['Trouble', (flow) => !['done', 'running'].includes(flow.outcome) || flow.retries > 0],
  all: ['All', () => true],
};
const KINDS = {
  request: 'Request', function: 'Function', transaction: 'Transaction', call: 'AWS call', event: 'Event', queue: 'Queue', vendor: 'Vendor call',
};
/** More flows that this one led to are shown when asked for. */
const MOST_LINKS = 6;
/** A pause in the work this many times as long as the work is cut out. */
const LONG_PAUSE = 0.35;

export function timeline() {
  let filter = 'changes', search = '', picked = null, flows = [], calls = false, folded = true, allLinks = false;
  const open = new Set();

  const list = h('ol', { class: 'flows', 'aria-label': 'Flows, newest first' });
  const chips = h('div', { class: 'chips', role: 'group', 'aria-label': 'Which flows' });
  const box = h('input', {
    type: 'search', placeholder: 'Find a correlation id, path or event', 'aria-label': 'Find a flow', 'aria-keyshortcuts': '/',
    oninput: () => { search = box.value.trim().toLowerCase(); showList(); },
  });
  const detail = h('section', { class: 'flow', 'aria-label': 'The flow' });
  const node = h('div', { class: 'timeline' },
    h('aside', {}, h('div', { class: 'find' }, box, chips), list), detail);
  walk(list, 'a');
  walk(detail, '.row');

  for (const [name, [label]] of Object.entries(FILTERS)) {
    chips.append(h('button', { 'data-filter': name, onclick: () => { filter = name; showList(); } }, label, h('span')));
  }

  function showList() {
    for (const chip of chips.children) {
      const fits = flows.filter(FILTERS[chip.dataset.filter][1]);
      chip.setAttribute('aria-pressed', chip.dataset.filter === filter);
      chip.querySelector('span').textContent = fits.length;
    }
    const words = (flow) => [flow.id, flow.title, flow.about, ...flow.events].join(' ').toLowerCase();
    const fits = flows.filter((flow) => FILTERS[filter][1](flow) && words(flow).includes(search));
    fill(list, fits.map((flow) => ({ ...flow, on: flow.id === picked })), (flow) => flow.id, listed);
    node.classList.toggle('none', flows.length === 0);
  }

  function listed(flow) {
    const facts = [
      flow.events.length > 0 && (flow.events.length === 1 ? flow.events[0] : count(flow.events.length, 'event')),
      flow.retries > 0 ? h('em', {}, count(flow.retries, 'retry', 'retries')) : flow.vendor_calls > 0 && count(flow.vendor_calls, 'vendor call'),
    ].filter(Boolean);
    if (facts.length === 0) facts.push(flow.status ? `answered ${flow.status}` : count(flow.functions, 'function'));
    return h('li', {}, h('a', {
      href: flowLink(flow.id), class: 'item', 'aria-current': flow.on && 'true', 'data-focus': `flow ${flow.id}`,
    },
    h('span', { class: `dot ${flow.outcome}`, title: OUTCOMES[flow.outcome] }),
    h('b', {}, ...titled(flow, false)),
    ago(flow.begun_at),
    h('span', { class: 'facts' }, ...between(facts)),
    h('span', { class: 'took' }, flow.outcome === 'running' ? '…' : duration(flow.took_ms))));
  }

  async function load() {
    const shownBefore = picked;
    const { now, flows: all } = await ask('flows');
    knowTime(now);
    flows = all;
    showList();
    const first = flows.find(FILTERS[filter][1]);
    const id = picked ?? (matchMedia('(min-width: 900px)').matches ? first?.id : undefined);
    if (!id) return void detail.replaceChildren(empty());
    const flow = await ask(`flows/${encodeURIComponent(id)}`).catch((error) => ({ error: error.message }));
    if (picked === shownBefore) showFlow(flow);
  }

  function empty() {
    return h('div', { class: 'empty' }, h('h2', {}, 'Nothing went through yet'),
      h('p', {}, 'Whatever is asked of the API, or fired, is followed here as it happens. Take the tour:'),
      h('pre', {}, 'cargo local demo'));
  }

  function showFlow(flow) {
    if (flow.error) {
      detail.replaceChildren(backLink(), h('div', { class: 'empty' }, h('h2', {}, 'Not remembered'), h('p', {}, flow.error)));
      return;
    }
    const isAnother = detail.dataset.id !== flow.id;
    // Who came by a link must not be sent back to the page's top.
    const cameByLink = isAnother && detail.contains(document.activeElement);
    if (isAnother) {
      open.clear();
      [folded, allLinks] = [true, false];
      detail.dataset.id = flow.id;
      detail.replaceChildren(h('div', { class: 'head' }), h('div', { class: 'axis', 'aria-hidden': 'true' }, h('ol')), h('ol', { class: 'spans', 'aria-label': 'What followed' }), h('p', { class: 'foot' }));
    }
    const [head, axis, spans, foot] = detail.children;
    const print = JSON.stringify([flow.outcome, flow.status, flow.took_ms, flow.spans.length, calls, folded, allLinks, flow.follows_from, flow.led_to]);
    if (head.dataset.print !== print) {
      head.dataset.print = print;
      const focused = head.contains(document.activeElement) && document.activeElement.dataset.focus;
      head.replaceChildren(...headOf(flow));
      if (focused) head.querySelector(`[data-focus="${focused}"]`)?.focus();
    }
    if (cameByLink) {
      head.querySelector('h2').focus();
      detail.scrollTo(0, 0);
    }
    const scale = scaleOf(flow, folded);
    axis.firstElementChild.replaceChildren(...scale.ticks.map(([at, text, cut]) => h('li', { class: cut && 'cut', style: { '--at': `${at}%` } }, text)));
    detail.style.setProperty('--cuts', scale.cuts || 'none');
    const rows = tree(flow.spans).filter(({ span }) => calls || !isQuiet(span));
    fill(spans, rows.map((row) => ({ ...row, bar: scale.bar(row.span), open: open.has(row.span.id), led: flow.led_to.filter((it) => it.span === row.span.id) })), (row) => row.span.id, rowOf);
    foot.textContent = flow.left_out ? `${count(flow.left_out, 'span')} more were not kept.` : '';
  }

  function backLink() {
    return h('a', { class: 'back', href: '#timeline' }, icon('back'), 'All flows');
  }

  function headOf(flow) {
    const hidden = flow.spans.filter(isQuiet).length;
    const pause = scaleOf(flow, true).pauses;
    const fact = (name, value) => h('div', {}, h('dt', {}, name), h('dd', {}, value));
    return [
      backLink(),
      h('div', { class: 'title' }, h('h2', { tabindex: '-1' }, ...titled(flow)), h('span', { class: `pill ${flow.outcome}` }, OUTCOMES[flow.outcome])),
      links('Follows from', flow.follows_from),
      h('dl', { class: 'numbers' },
        fact('Answered', flow.status ?? '–'),
        fact('Took', duration(flow.took_ms)),
        fact('Events', flow.events.length),
        fact('Functions', flow.functions),
        fact('Vendor calls', flow.vendor_calls),
        fact('Retries', flow.retries)),
      h('div', { class: 'under' },
        h('button', {
          class: 'id', title: 'Copy the correlation id', 'data-focus': 'copy',
          onclick: () => navigator.clipboard.writeText(flow.id).then(() => toast('Copied the correlation id.'), () => toast('The browser did not let it be copied.', { ok: false })),
        }, h('code', {}, flow.id), icon('copy')),
        h('span', {}, ago(flow.begun_at)),
        h('span', { class: 'grow' }),
        pause > 0 && h('label', {}, h('input', { type: 'checkbox', checked: folded, 'data-focus': 'pauses', onchange: (event) => { folded = event.target.checked; showFlow(flow); } }), 'Cut out pauses'),
        h('label', {}, h('input', { type: 'checkbox', checked: calls, 'data-focus': 'calls', onchange: (event) => { calls = event.target.checked; showFlow(flow); } }), `All AWS calls (${hidden})`)),
      links('Led to', allLinks ? flow.led_to : flow.led_to.slice(0, MOST_LINKS),
        flow.led_to.length > MOST_LINKS && h('button', {
          'aria-expanded': String(allLinks), 'data-focus': 'links', onclick: () => { allLinks = !allLinks; showFlow(flow); },
        }, allLinks ? 'Show fewer' : `${flow.led_to.length - MOST_LINKS} more`)),
    ].filter(Boolean);
  }

  function rowOf({ span, depth, quiet, bar, open: isOpen, led }) {
    const running = span.kind === 'queue' ? 'in the queue' : 'running';
    const state = span.outcome === 'running' ? running : duration(span.took_ms);
    const says = [KINDS[span.kind], span.name, span.about, span.attempt > 1 && `try ${span.attempt}`, span.outcome, state].filter(Boolean).join(', ');
    const button = h('button', {
      class: 'row', 'aria-expanded': String(isOpen), 'aria-label': says, 'data-focus': `span ${span.id}`,
      onclick: () => {
        if (open.has(span.id)) open.delete(span.id);
        else open.add(span.id);
        load();
      },
    },
    h('span', { class: 'label', style: { '--depth': Math.min(depth, 9) } },
      icon(span.kind),
      h('b', {}, named(span)),
      span.attempt > 1 && h('em', { class: 'try' }, span.kind === 'event' ? `put ${span.attempt}×` : `try ${span.attempt}`),
      h('span', { class: 'about' }, span.about || (quiet ? count(quiet, 'AWS call') : span.kind === 'queue' ? 'queue' : ''))),
    h('span', { class: 'track' }, ...bar.map(([left, width, kind]) => h('i', { class: kind, style: { left: `${left}%`, width: `${width}%` } }))),
    h('span', { class: 'took' }, mark(span), state));
    return h('li', { class: `span is-${span.kind} ${span.outcome}` }, button, isOpen && more(detail.dataset.id, span, led));
  }

  function mark(span) {
    const words = { failed: 'failed', dead: 'dead', refused: 'refused', redriven: 'redriven' };
    const error = span.outcome === 'failed' || span.outcome === 'refused' ? span.facts.find(([name]) => name === 'status') : null;
    const word = words[span.outcome];
    return word && h('em', { class: `mark ${span.outcome}` }, error && span.kind !== 'function' ? error[1] : word);
  }

  return { node, load, route: (id) => { picked = id || null; node.classList.toggle('picked', Boolean(picked)); showList(); } };
}

/** As it is called in a row. */
function named(span) {
  return span.kind === 'transaction' ? 'Transaction' : span.name.replace('DynamoDB.', '');
}

/** A call that went well and committed no event. */
function isQuiet(span) {
  return span.kind === 'call' && span.outcome !== 'failed';
}

/** Something came of it, or went wrong with it. */
function hasEffect(flow) {
  const isCall = /^(POST|PUT|PATCH|DELETE) /.test(flow.title) && !flow.title.includes('/webhooks/');
  return flow.events.length > 0 || flow.vendor_calls > 0 || flow.outcome !== 'done' || isCall || flow.title.startsWith('Invoke ');
}

/** Its title; a long path may break where it is whole, and is shortened in a list. */
function titled(flow, whole = true) {
  const [first, ...rest] = flow.title.split(' ');
  const isCall = /^[A-Z]+$/.test(first) && rest.length > 0;
  const path = isCall ? rest.join(' ') : flow.title;
  const verb = (text) => h('span', { class: `verb ${first}` }, text);
  const webhook = /^\/api\/webhooks\/([a-z-]+)$/.exec(path);
  if (!whole && webhook && flow.about) return [verb(webhook[1].replace('university-sync', 'portal')), ' ', h('span', { class: 'kind' }, flow.about)];
  if (!whole) return [isCall && verb(first), ' ', path.replace(/^\/api(\/admin)?/, '').replace(IDS, '…')].filter(Boolean);
  const parts = path.split('/').flatMap((part, at) => (at === 0 ? [part] : [h('wbr'), `/${short(part)}`]));
  return [isCall && verb(first), ' ', ...parts, flow.about && h('span', { class: 'kind' }, flow.about)].filter(Boolean);
}

const IDS = /[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}/g;

function short(part) {
  return part.replace(IDS, (id) => `${id.slice(0, 8)}…`);
}

function between(parts) {
  return parts.flatMap((part, at) => (at === 0 ? [part] : [' · ', part]));
}

/** Flows that this one leads to or comes from; nothing where there are none. */
function links(name, flows, further) {
  return flows.length > 0 && h('nav', { class: 'links', 'aria-label': name }, h('h4', {}, name),
    h('ul', {}, ...flows.map((flow) => h('li', {}, link(name, flow))), further && h('li', {}, further)));
}

function link(name, flow) {
  const isTold = name === 'Led to' && flow.about;
  return h('a', { href: flowLink(flow.id), 'data-focus': `${name} ${flow.id}` },
    h('span', { class: `dot ${flow.outcome}`, title: OUTCOMES[flow.outcome] }),
    isTold ? h('span', { class: 'kind' }, flow.about) : h('span', {}, ...titled(flow, false)),
    flow.call && h('small', {}, `by ${flow.call.replace('/v1', '').replace(/\/[a-z]+_\w{14,}/g, '/…')}`));
}

/** Everything said of a span; of a function also what it logged, of a call what it led to. */
function more(flow, span, led) {
  const facts = [['begun', `after ${duration(span.at_ms)}`], ...span.facts];
  return h('div', { class: 'more' },
    h('dl', {}, ...facts.flatMap(([name, value]) => [h('dt', {}, name), h('dd', {}, h('code', {}, value))])),
    links('Led to', led),
    span.kind === 'function' && logOf(flow, span.name));
}

function logOf(flow, name) {
  const box = h('div', { class: 'log', tabindex: '0', role: 'region', 'aria-label': `What ${name} logged` });
  const fill = (lines) => box.replaceChildren(...(lines.length ? lines.map(logged) : [h('small', {}, `${name} logged nothing under this correlation id.`)]));
  ask(`flows/${encodeURIComponent(flow)}/log/${name}`).then(({ lines }) => fill(lines), (error) => box.replaceChildren(error.message));
  return box;
}

/** A line of a function's log: its level, its message, and the rest. */
function logged(line) {
  let entry;
  try {
    entry = JSON.parse(line);
  } catch {
    return h('p', {}, line);
  }
  const { level = '', message = '', timestamp, time, ...rest } = { ...entry, ...entry.fields };
  for (const name of ['fields', 'target', 'span', 'spans', 'threadId', 'threadName']) delete rest[name];
  const told = Object.entries(rest).filter(([name]) => name !== 'message').map(([name, value]) => `${name}=${typeof value === 'string' ? value : JSON.stringify(value)}`);
  return h('p', {}, h('b', { class: level.toLowerCase() }, level), ' ', message, ' ', h('small', {}, told.join(' ')));
}

/** Spans below what they follow from, with how deep, and how many quiet calls are below. */
function tree(spans) {
  const known = new Set(spans.map((span) => span.id));
  const below = new Map();
  for (const span of spans) {
    const parent = known.has(span.parent) ? span.parent : null;
    below.set(parent, [...(below.get(parent) ?? []), span]);
  }
  const rows = [];
  const visit = (parent, depth) => {
    for (const span of (below.get(parent) ?? []).sort((a, b) => a.at_ms - b.at_ms || a.id - b.id)) {
      const quiet = (below.get(span.id) ?? []).filter(isQuiet).length;
      rows.push({ span, depth, quiet });
      visit(span.id, depth + 1);
    }
  };
  visit(null, 0);
  return rows;
}

/** Where times are on the width, in percent. Long pauses, in which nothing works, are cut to a gap. */
function scaleOf(flow, cut) {
  const end = Math.max(flow.took_ms, ...flow.spans.map((span) => span.at_ms + (span.took_ms ?? 0)), 1);
  const work = flow.spans.filter((span) => span.kind !== 'queue' && span.kind !== 'event');
  const busy = [];
  for (const span of [...work].sort((a, b) => a.at_ms - b.at_ms)) {
    const [from, to] = [span.at_ms, span.at_ms + (span.took_ms ?? 0)];
    const last = busy.at(-1);
    if (last && from <= last[1]) last[1] = Math.max(last[1], to);
    else busy.push([from, to]);
  }
  const worked = busy.reduce((sum, [from, to]) => sum + to - from, 0) || 1;
  const pauses = [];
  for (let at = 0; at + 1 < busy.length; at += 1) {
    const [from, to] = [busy[at][1], busy[at + 1][0]];
    if (to - from > Math.max(worked * LONG_PAUSE, 250)) pauses.push([from, to]);
  }
  const idle = busy.length > 0 ? end - busy.at(-1)[1] : 0;
  if (idle > Math.max(worked * LONG_PAUSE, 250)) pauses.push([busy.at(-1)[1], end]);
  const cuts = cut ? pauses : [];
  const GAP = 5;
  const shown = end - cuts.reduce((sum, [from, to]) => sum + to - from, 0);
  const width = 100 - GAP * cuts.length;
  const place = (time) => {
    let skipped = 0, gaps = 0;
    for (const [from, to] of cuts) {
      if (time >= to) { skipped += to - from; gaps += GAP; }
      else if (time > from) { gaps += GAP * ((time - from) / (to - from)); skipped += time - from; }
    }
    return ((time - skipped) / shown) * width + gaps;
  };
  const bar = (span) => {
    const from = place(span.at_ms), to = place(span.took_ms === null ? end : span.at_ms + span.took_ms);
    return [[+from.toFixed(3), +Math.max(to - from, 0).toFixed(3), span.kind]];
  };
  const ticks = [];
  if (cuts.length === 0) {
    const step = niceStep(end / 5);
    for (let at = 0; at <= end * 0.94; at += step) ticks.push([place(at), at === 0 ? '0' : duration(at)]);
  } else {
    const first = cuts[0][0];
    const step = niceStep(shown / 4);
    for (let at = 0; place(at) <= place(first) - 8; at += step) ticks.push([place(at), at === 0 ? '0' : duration(at)]);
    if (ticks.length === 0) ticks.push([0, '0']);
    for (const [from, to] of cuts) ticks.push([place(from) + GAP / 2, duration(to - from), true]);
  }
  const stripes = cuts.map(([from, to]) => {
    const [left, right] = [place(from).toFixed(2), place(to).toFixed(2)];
    return `linear-gradient(to right, transparent ${left}%, var(--pause) ${left}%, var(--pause) ${right}%, transparent ${right}%)`;
  });
  if (cuts.length === 0) {
    for (const [at] of ticks.slice(1)) stripes.push(`linear-gradient(to right, transparent ${at}%, var(--grid) ${at}%, var(--grid) calc(${at}% + 1px), transparent calc(${at}% + 1px))`);
  }
  return { bar, ticks, pauses: pauses.length, cuts: stripes.join(', ') };
}

function niceStep(rough) {
  const size = 10 ** Math.floor(Math.log10(rough));
  return [1, 2, 5, 10].map((it) => it * size).find((it) => it >= rough);
}
