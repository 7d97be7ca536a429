// The sections beside the timeline: what lies where, and the buttons that do something with it.

import { h, fill, walk, ask, act, ago, money, count, knowTime, flowLink } from './dom.js';

function head(title, text, ...more) {
  return h('header', { class: 'head' }, h('div', {}, h('h2', {}, title), h('p', {}, text)), ...more);
}

function none(text) {
  return h('p', { class: 'none' }, text);
}

/** A queue's name without the stack's. */
function bare(name) {
  return name.replace(/^bitflow-local-/, '');
}

function number(value, kind = '') {
  return h('span', { class: `count ${kind} ${value > 0 ? 'some' : ''}` }, value);
}

export function queues() {
  const list = h('ol', { class: 'cards queues' });
  const node = h('div', { class: 'panel' },
    head('Queues', 'What waits, what is being handled, and what was given up. A redrive hands dead letters to their listener again.'), list);

  function letters(all) {
    return h('ul', { class: 'letters' }, ...all.map((letter) => h('li', {},
      h('b', {}, letter.type ?? 'Message'),
      h('span', {}, `received ${count(letter.received, 'time')}`),
      ago(letter.sent_at),
      letter.flow && h('a', { href: flowLink(letter.flow) }, 'Flow'))));
  }

  function card(queue) {
    const dead = queue.dead_letters.length;
    const name = bare(queue.name);
    if (!queue.depth) {
      return h('li', { class: `card ${dead ? 'bad' : ''}` },
        h('div', { class: 'queue' }, h('h3', {}, name), h('p', {}, 'What the bus, a stream or a schedule gave up'),
          h('dl', {}, h('div', {}, h('dt', {}, 'Kept'), h('dd', {}, number(dead, 'dead'))))), dead > 0 && letters(queue.dead_letters));
    }
    const { visible, in_flight: flying, delayed } = queue.depth;
    const cell = (label, value, kind) => h('div', {}, h('dt', {}, label), h('dd', {}, number(value, kind)));
    return h('li', { class: `card ${dead ? 'bad' : ''}` },
      h('div', { class: 'queue' },
        h('h3', {}, name),
        h('p', {}, `${count(queue.tries, 'try', 'tries')}, ${queue.visibility_timeout_s} s each`),
        h('dl', {}, cell('Waiting', visible), cell('In flight', flying), cell('Delayed', delayed), cell('Dead', dead, 'dead')),
        act(dead ? `Redrive ${dead}` : 'Redrive', () => ask(`queues/${encodeURIComponent(queue.name)}/redrive`, {}),
          { disabled: dead === 0, 'data-focus': `redrive ${queue.name}`, 'aria-label': `Redrive ${name}` })),
      dead > 0 && letters(queue.dead_letters));
  }

  async function load() {
    const { now, queues, undelivered } = await ask('queues');
    knowTime(now);
    const holds = (queue) => queue.dead_letters.length * 1000 + (queue.depth ? queue.depth.visible + queue.depth.in_flight + queue.depth.delayed : 0);
    const sorted = [...queues, ...undelivered].sort((a, b) => holds(b) - holds(a));
    fill(list, sorted, (queue) => queue.name, card);
  }
  return { node, load };
}

export function mails() {
  let picked = null, all = [];
  const list = h('ol', { class: 'flows', 'aria-label': 'Mails, newest first' });
  const view = h('section', { class: 'mail', 'aria-label': 'The mail' });
  const box = h('a', { target: '_blank', rel: 'noreferrer' }, 'Open the mailbox ↗');
  const node = h('div', { class: 'timeline mails' }, h('aside', {}, h('div', { class: 'find top' }, h('h2', {}, 'Mails'), box), list), view);
  walk(list, 'a');

  function show() {
    fill(list, all.map((mail) => ({ ...mail, on: mail.id === picked })), (mail) => mail.id, (mail) => h('li', {}, h('a', {
      href: `#mails/${mail.id}`, class: 'item mail', 'aria-current': mail.on && 'true', 'data-focus': `mail ${mail.id}`,
    }, h('b', {}, mail.subject), ago(mail.received_at), h('span', { class: 'facts' }, mail.to))));
    const mail = all.find((it) => it.id === picked);
    if (!mail) {
      delete view.dataset.id;
      view.replaceChildren(none(all.length ? 'Pick a mail.' : 'No mail was sent yet.'));
      return;
    }
    if (view.dataset.id === mail.id) return;
    view.dataset.id = mail.id;
    view.replaceChildren(
      h('a', { class: 'back', href: '#mails' }, '← All mails'),
      h('h2', {}, mail.subject),
      h('p', { class: 'route' }, `${mail.from} → ${mail.to}`, mail.flow && h('a', { href: flowLink(mail.flow) }, 'Its flow')),
      h('iframe', { title: mail.subject, sandbox: '', src: `/_console/api/mails/${mail.id}` }));
  }

  async function load() {
    const { now, mails, mailbox } = await ask('mails');
    knowTime(now);
    all = mails;
    box.href = mailbox;
    const wide = matchMedia('(min-width: 900px)').matches;
    if (wide && !all.some((mail) => mail.id === picked)) picked = all[0]?.id ?? null;
    show();
  }
  return { node, load, route: (id) => { picked = id || null; node.classList.toggle('picked', Boolean(picked)); show(); } };
}

export function stripe() {
  const list = h('ol', { class: 'cards' });
  const node = h('div', { class: 'panel' }, head('Stripe', 'Customers with their invoices and payments. Paying and declining is what a customer and its bank would do.'), list);
  const date = (seconds) => (seconds ? new Date(seconds * 1000).toLocaleDateString(undefined, { day: 'numeric', month: 'short', year: 'numeric', timeZone: 'UTC' }) : '–');

  function row(invoice) {
    const named = invoice.number ?? invoice.id;
    const isOpen = invoice.status === 'open';
    const button = (label, what) => act(label, () => ask(`stripe/invoices/${invoice.id}/${what}`, {}),
      { disabled: !isOpen, class: what, 'data-focus': `${what} ${invoice.id}`, 'aria-label': `${label} ${named}` });
    return h('li', {},
      h('b', {}, named), h('span', { class: `pill ${invoice.status}` }, invoice.status ?? 'draft'),
      h('span', { class: 'amount' }, money(invoice.total, invoice.currency)),
      h('span', { class: 'due' }, invoice.due_date ? `due ${date(invoice.due_date)}` : 'charged automatically'),
      h('span', { class: 'buttons' }, button('Pay', 'pay'), button('Decline', 'decline')));
  }

  function payment(charge) {
    const refunded = charge.amount_refunded > 0 && `, ${money(charge.amount_refunded, charge.currency)} refunded`;
    return h('li', {}, h('code', {}, charge.id),
      h('span', { class: `pill ${charge.status}` }, charge.status),
      h('span', { class: 'amount' }, money(charge.amount, charge.currency)),
      h('span', { class: 'due' }, charge.failure_message ?? `${date(charge.created)}${refunded || ''}`));
  }

  function card(customer) {
    return h('li', { class: 'card customer' },
      h('header', {}, h('h3', {}, customer.name ?? customer.id), h('p', {}, customer.email ?? '', ' ', h('code', {}, customer.id))),
      customer.invoices.length ? [h('h4', {}, 'Invoices'), h('ul', { class: 'lines' }, ...customer.invoices.map(row))] : none('No invoice yet.'),
      customer.payments.length > 0 && [h('h4', {}, 'Payments'), h('ul', { class: 'lines' }, ...customer.payments.map(payment))]);
  }

  async function load() {
    const { customers } = await ask('stripe');
    const wide = customers.length > 0;
    fill(list, wide ? customers : [{ id: 'none' }], (it) => it.id, (it) => (wide ? card(it) : h('li', {}, none('Stripe knows no customer yet: onboard a university.'))));
  }
  return { node, load };
}

export function channels() {
  const body = h('div', {});
  const node = h('div', { class: 'panel' }, head('Channels', 'Who is connected to Pusher, and listens to what.'), body);
  async function load() {
    const { url, channels, connections } = await ask('channels');
    const print = JSON.stringify([channels, connections]);
    if (body.dataset.print === print) return;
    body.dataset.print = print;
    const listed = (items, line) => h('ul', { class: 'lines plain' }, ...items.map(line));
    body.replaceChildren(h('div', { class: 'card' },
      h('h4', {}, 'Channels'),
      channels.length ? listed(channels, (it) => h('li', {}, h('b', {}, it.name), h('span', { class: 'due' }, count(it.connections, 'connection')))) : none('Nobody listens to a channel.'),
      h('h4', {}, 'Connections'),
      connections.length ? listed(connections, (it) => h('li', {}, h('code', {}, it.socket_id), h('span', { class: 'due' }, it.channels.join(', ') || 'no channel'))) : none('Nobody is connected.'),
      h('p', { class: 'none' }, 'Clients connect to ', h('code', {}, url))));
  }
  return { node, load };
}

export function schedules() {
  const list = h('ol', { class: 'cards jobs' });
  const day = new Date(Date.UTC(new Date().getUTCFullYear(), new Date().getUTCMonth() + 1, 1)).toISOString().slice(0, 16);
  const time = h('input', { type: 'datetime-local', value: day, id: 'due', required: true });
  const node = h('div', { class: 'panel' },
    head('Schedules', 'A job takes its time from its event, never from the clock: any day can be run, and run again.',
      h('p', { class: 'field' }, h('label', { for: 'due' }, 'Due at (UTC)'), time)), list);
  async function load() {
    const { now, jobs } = await ask('schedules');
    knowTime(now);
    fill(list, jobs, (job) => job.job, (job) => h('li', { class: 'card line' },
      h('h3', {}, job.job), h('code', {}, job.schedule),
      h('span', { class: 'due' }, job.next_at ? h('span', {}, 'next ', ago(job.next_at)) : ''),
      act('Fire', async () => {
        if (!time.value) throw new Error('Say at what time it is due.');
        return ask('fire', { job: job.job, at: `${time.value.length === 16 ? `${time.value}:00` : time.value}Z` });
      }, { 'data-focus': `fire ${job.job}`, 'aria-label': `Fire ${job.job}` })));
  }
  return { node, load };
}

export function samples() {
  let all = [], search = '';
  const list = h('ol', { class: 'cards samples' });
  const box = h('input', { type: 'search', placeholder: 'Find a sample', 'aria-label': 'Find a sample', 'aria-keyshortcuts': '/', oninput: () => { search = box.value.trim().toLowerCase(); show(); } });
  const node = h('div', { class: 'panel' },
    head('Samples', 'Each is an event below events/, sent to its function as it is; what Stripe or a portal signs is signed anew.', h('p', { class: 'field' }, box)), list);
  function show() {
    const fits = all.filter((it) => `${it.function} ${it.case}`.toLowerCase().includes(search));
    const functions = [...new Set(fits.map((it) => it.function))];
    const groups = functions.map((name) => ({ name, cases: fits.filter((it) => it.function === name).map((it) => it.case) }));
    fill(list, groups, (group) => group.name, (group) => h('li', { class: 'card' }, h('h3', {}, group.name),
      h('div', { class: 'buttons' }, ...group.cases.map((name) => act(name, () => ask('sample', { function: group.name, case: name }),
        { 'data-focus': `send ${group.name}/${name}`, 'aria-label': `Send ${name} to ${group.name}` })))));
  }
  async function load() {
    if (all.length === 0) all = (await ask('samples')).samples;
    show();
  }
  return { node, load };
}
