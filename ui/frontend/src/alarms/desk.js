// The alarms as they stand, once for all components of a page: one subscription, patched by id.
import { reactive, shallowReactive } from 'vue';
import { live } from '../lib/live.js';
import { get, post } from '../lib/api.js';
import { t } from '../lib/i18n.js';
import { sound } from './sound.js';

const WAIT_MS = 5000;
const LOOK_MS = 1000;
const REFUSED = ' is refused. ';

class Desk {
  constructor() {
    this.rows = shallowReactive(new Map());
    // now: the gateway's time [ms]; it stands still while there is no line to the gateway.
    this.state = reactive({ isReady: false, isUp: false, now: 0 });
    this.waiting = new Map();
    live.subscribe({ alarms: true }, (said) => this.take(said));
    live.watch((isUp) => { this.state.isUp = isUp; });
    setInterval(() => this.tick(), 1000);
  }

  tick() {
    if (this.state.isUp) this.state.now = live.now + performance.now() - live.heard;
  }

  take(said) {
    if (said.all) {
      const known = new Set(said.all.map((row) => row.alarm));
      for (const id of [...this.rows.keys()]) if (!known.has(id)) this.change(id, null);
      for (const row of said.all) this.change(row.alarm, row);
      this.state.isReady = true;
    }
    for (const row of said.set || []) this.change(row.alarm, row);
    for (const id of said.gone || []) this.change(id, null);
    this.tick();
    sound.hear(this.rows.values());
  }

  change(id, row) {
    if (row) this.rows.set(id, row);
    else this.rows.delete(id);
    for (const heard of this.waiting.get(id) || []) heard(true);
    this.waiting.delete(id);
  }

  // Resolves with true at the next change of an alarm, with false when none comes in this time.
  changed(id, ms) {
    return new Promise((resolve) => {
      this.waiting.set(id, [...(this.waiting.get(id) || []), resolve]);
      setTimeout(() => resolve(false), ms);
    });
  }

  // The gateway takes an action as input, and the alarm's node decides: so its change is waited for.
  async act(action, row, more = {}) {
    const body = { action, alarm: row.alarm, ...more };
    if (action === 'ack') body.occurrence = row.occurrence;
    const begun = live.now;
    const changed = this.changed(row.alarm, WAIT_MS);
    await post('/api/alarms/action', body);
    if (await Promise.race([changed, this.changed(row.alarm, LOOK_MS)])) return;
    const refused = await refusal(row, begun);
    if (refused) throw new Error(refused);
    if (!(await changed)) throw new Error(await refusal(row, begun) || t('The gateway has the request, but the alarm has not changed yet. Look at it again in a moment.'));
  }

  // Several, a few at a time; each is meant as it was seen. Returns what was refused, as sentences.
  async actOnAll(action, rows, more = {}) {
    const left = [...rows];
    const refused = [];
    const work = async () => {
      for (let row = left.shift(); row; row = left.shift()) {
        try { await this.act(action, row, more); } catch (error) { refused.push(`${row.tag} ${row.condition}: ${error.message}`); }
      }
    };
    await Promise.all([work(), work(), work(), work()]);
    return refused;
  }
}

// Why a node refused an action since then [ms]: it is among the last sentences of the gateway.
async function refusal(row, since) {
  try {
    const { lines } = await get('/api/status', { background: true });
    const mark = ` of ${row.alarm} by `;
    const said = lines.filter(([ts, , , text]) => ts / 1e6 >= since - 1000 && text.includes(mark) && text.includes(REFUSED));
    return said.length ? said[said.length - 1][3].split(REFUSED)[1] : '';
  } catch {
    return '';
  }
}

export const desk = (window.genbaDesk ||= new Desk());
