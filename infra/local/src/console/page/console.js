// Which section is shown, and that it stays live: the stack tells that something changed, and what is
// shown asks what.

import { h, ask } from './dom.js';
import { timeline } from './timeline.js';
import { queues, mails, stripe, channels, schedules, samples } from './panels.js';

const SECTIONS = { timeline, queues, mails, stripe, channels, schedules, samples };
const NAMES = { timeline: 'Timeline', queues: 'Queues', mails: 'Mails', stripe: 'Stripe', channels: 'Channels', schedules: 'Schedules', samples: 'Samples' };

const main = document.querySelector('main');
const bar = document.querySelector('[role=tablist]');
let shown = null, showing = '', busy = false, again = false;

const tabs = Object.keys(SECTIONS).map((name) => h('a', {
  role: 'tab', id: `tab-${name}`, href: `#${name}`, 'aria-controls': 'main', 'aria-selected': 'false', tabindex: '-1',
}, NAMES[name], h('b', { hidden: true })));
bar.append(...tabs);
bar.addEventListener('keydown', (event) => {
  const at = tabs.indexOf(event.target);
  const to = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: tabs.length - 1 }[event.key];
  if (event.key === ' ') event.target.click();
  else if (to === undefined) return;
  else {
    const tab = tabs[(to + tabs.length) % tabs.length];
    tab.focus();
    location.hash = tab.getAttribute('href');
  }
  event.preventDefault();
});

function route() {
  const [name, ...rest] = location.hash.slice(1).split('/');
  const section = SECTIONS[name] ? name : 'timeline';
  if (section !== showing) {
    showing = section;
    for (const tab of tabs) {
      const on = tab.id === `tab-${section}`;
      tab.setAttribute('aria-selected', on);
      tab.tabIndex = on ? 0 : -1;
      // Not by scrollIntoView: the first Tab would then go on from there.
      if (on) bar.scrollLeft = tab.offsetLeft - bar.offsetLeft - (bar.clientWidth - tab.offsetWidth) / 2;
    }
    document.title = `${NAMES[section]} · Bitflow local console`;
    shown = SECTIONS[section]();
    main.replaceChildren(shown.node);
    main.setAttribute('role', 'tabpanel');
    main.setAttribute('aria-labelledby', `tab-${section}`);
    main.scrollTo(0, 0);
  }
  shown.route?.(rest.map(decodeURIComponent).join('/'));
  refresh();
}

/** Asks once at a time; what changes meanwhile is asked after. */
async function refresh() {
  if (busy) {
    again = true;
    return;
  }
  busy = true;
  try {
    do {
      again = false;
      await Promise.all([shown.load(), badges()]);
    } while (again);
  } catch (error) {
    console.warn(error.message);
  } finally {
    busy = false;
  }
}

/** What wants to be looked at, and how much there is. */
async function badges() {
  const { queues } = await ask('queues');
  const dead = queues.reduce((sum, queue) => sum + queue.dead_letters.length, 0);
  const badge = tabs[1].querySelector('b');
  badge.hidden = dead === 0;
  badge.textContent = dead;
  badge.title = `${dead} dead`;
}

const live = document.querySelector('.live');
function tell(state, text) {
  live.dataset.state = state;
  live.querySelector('span').textContent = text;
}
const changes = new EventSource('/_console/api/live');
changes.onmessage = () => {
  tell('on', 'Live');
  refresh();
};
changes.onerror = () => tell('off', 'Not connected');

addEventListener('hashchange', route);
addEventListener('keydown', (event) => {
  if (event.key !== '/' || event.ctrlKey || event.metaKey || event.target.matches('input, select, textarea')) return;
  const search = document.querySelector('[type=search]');
  if (search) {
    event.preventDefault();
    search.focus();
  }
});
route();
