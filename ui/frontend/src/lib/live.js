// The one WebSocket of a page (GET /live). Components subscribe; the newest state wins.
// A lost line is seen within two and a half seconds, because the gateway says something each
// second, and is tried again with growing, jittered waits.
const STALE_MS = 2500;
const WAIT_MS_MAX = 10_000;

class Live {
  constructor() {
    this.subs = new Map();
    this.watchers = new Set();
    this.count = 0;
    this.socket = null;
    this.wait = 500;
    this.isUp = false;
    this.heard = 0;
    this.now = 0;
    this.timer = 0;
  }

  // topic: {tags, hz} | {flow, hz} | {alarms: true} | {wire, rows} | {system: true, hz} | {lines: true}
  // handler is called with what the gateway says of it, and the gateway's time [ms].
  // Returns a function that ends it.
  subscribe(topic, handler) {
    const key = `k${++this.count}`;
    this.subs.set(key, { topic, handler });
    this.open();
    this.say({ sub: key, ...topic });
    return () => {
      if (!this.subs.delete(key)) return;
      this.say({ unsub: key });
      if (!this.subs.size && !this.watchers.size) this.close();
    };
  }

  // handler(isUp) whenever the line goes or comes back, and at once.
  watch(handler) {
    this.watchers.add(handler);
    handler(this.isUp);
    this.open();
    return () => this.watchers.delete(handler);
  }

  open() {
    if (this.socket) return;
    const scheme = location.protocol === 'https:' ? 'wss' : 'ws';
    const socket = new WebSocket(`${scheme}://${location.host}/live`);
    this.socket = socket;
    socket.onopen = () => {
      this.wait = 500;
      this.heard = performance.now();
      for (const [key, { topic }] of this.subs) this.say({ sub: key, ...topic });
    };
    socket.onmessage = (event) => this.take(JSON.parse(event.data));
    socket.onclose = (event) => {
      if (this.socket !== socket) return;
      this.socket = null;
      this.set(false);
      if (event.code === 4401) return this.renew();
      if (!this.subs.size && !this.watchers.size) return;
      setTimeout(() => this.open(), this.wait * (0.5 + Math.random()));
      this.wait = Math.min(this.wait * 2, WAIT_MS_MAX);
    };
    this.timer ||= setInterval(() => {
      if (this.isUp && performance.now() - this.heard > STALE_MS) this.set(false);
      if (this.socket && performance.now() - this.heard > 4 * STALE_MS && this.socket.readyState === 1) this.socket.close();
    }, 500);
  }

  // The session of the socket has ended. Who gave the password again has a new one already.
  async renew() {
    const answer = await fetch('/api/me', { headers: { 'Genba-Background': '1' } }).catch(() => null);
    if (answer?.status === 401) return location.assign(`/login?next=${encodeURIComponent(location.pathname + location.search)}`);
    setTimeout(() => this.open(), this.wait * (0.5 + Math.random()));
  }

  take(frame) {
    this.heard = performance.now();
    this.now = frame.now / 1e6;
    this.set(true);
    for (const [key, { handler }] of this.subs) if (key in frame) handler(frame[key], this.now);
  }

  set(isUp) {
    if (this.isUp === isUp) return;
    this.isUp = isUp;
    for (const handler of this.watchers) handler(isUp);
  }

  say(message) {
    if (this.socket?.readyState === 1) this.socket.send(JSON.stringify(message));
  }

  close() {
    const socket = this.socket;
    this.socket = null;
    socket?.close();
    clearInterval(this.timer);
    this.timer = 0;
  }
}

export const live = (window.genbaLive ||= new Live());
