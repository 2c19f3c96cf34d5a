// The sound of alarms that nobody has acknowledged: urgent and high ones, each with its own tone.
// A browser makes no sound before the first touch of a page; until then the page says so.
// What is silenced and whether this device sounds at all is kept on the device, for all its pages.
import { reactive } from 'vue';
import { isLoud, key, rank } from './words.js';

const OFF = 'genba-sound';
const SILENCED = 'genba-silenced';
const KEYS_MAX = 500;
// [frequency in Hz, from and to in s]; urgent is faster and higher (IEC 60601-1-8 speaks alike).
const TONES = [
  { every: 1800, beeps: [[988, 0, 0.14], [784, 0.2, 0.34], [988, 0.4, 0.54], [784, 0.6, 0.74]] },
  { every: 4000, beeps: [[587, 0, 0.22], [587, 0.34, 0.56]] },
];

class Sound {
  constructor() {
    // isAllowed: the browser lets us; rings: 'urgent', 'high' or nothing; isSilenced: all are.
    this.state = reactive({ isOn: localStorage.getItem(OFF) !== 'off', isAllowed: false, rings: '', isSilenced: false });
    this.silenced = new Set(read());
    this.loud = [];
    this.timer = 0;
    this.context = null;
    for (const name of ['pointerdown', 'keydown']) {
      window.addEventListener(name, () => this.allow(), { capture: true, passive: true });
    }
    window.addEventListener('storage', (event) => {
      if (event.key === SILENCED) this.silenced = new Set(read());
      if (event.key === OFF) this.state.isOn = event.newValue !== 'off';
      this.look();
    });
  }

  async allow() {
    if (this.state.isAllowed || !('AudioContext' in window)) return;
    this.context ||= new AudioContext();
    await this.context.resume().catch(() => {});
    this.state.isAllowed = this.context.state === 'running';
  }

  // The alarms as they stand, at each change of one.
  hear(rows) {
    this.loud = [...rows].filter(isLoud).sort((a, b) => rank(a) - rank(b));
    this.look();
  }

  look() {
    const fresh = this.loud.filter((row) => !this.silenced.has(key(row)));
    this.state.isSilenced = this.loud.length > 0 && !fresh.length;
    this.state.rings = this.state.isOn && fresh.length ? fresh[0].priority : '';
    if (this.state.rings && !this.timer) this.ring();
  }

  // Until the next new alarm.
  silence() {
    for (const row of this.loud) this.silenced.add(key(row));
    this.silenced = new Set([...this.silenced].slice(-KEYS_MAX));
    localStorage.setItem(SILENCED, JSON.stringify([...this.silenced]));
    this.look();
  }

  turn(isOn) {
    this.state.isOn = isOn;
    localStorage.setItem(OFF, isOn ? 'on' : 'off');
    this.look();
  }

  ring() {
    clearTimeout(this.timer);
    this.timer = 0;
    if (!this.state.rings) return;
    const tone = TONES[this.state.rings === 'urgent' ? 0 : 1];
    if (this.state.isAllowed) for (const beep of tone.beeps) this.beep(...beep);
    this.timer = setTimeout(() => this.ring(), tone.every);
  }

  beep(frequency, from, to) {
    const at = this.context.currentTime;
    const wave = this.context.createOscillator();
    const gain = this.context.createGain();
    wave.type = 'triangle';
    wave.frequency.value = frequency;
    gain.gain.setValueAtTime(0, at + from);
    gain.gain.linearRampToValueAtTime(0.4, at + from + 0.02);
    gain.gain.setValueAtTime(0.4, at + to - 0.03);
    gain.gain.linearRampToValueAtTime(0, at + to);
    wave.connect(gain).connect(this.context.destination);
    wave.start(at + from);
    wave.stop(at + to);
  }
}

function read() {
  try { return JSON.parse(localStorage.getItem(SILENCED)) || []; } catch { return []; }
}

export const sound = (window.genbaSound ||= new Sound());
