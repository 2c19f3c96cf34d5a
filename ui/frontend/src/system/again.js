// A gateway that ends and starts anew: asked until it answers again.
import { get } from '../lib/api.js';

const EACH_MS = 1000;
const pause = (ms) => new Promise((done) => { setTimeout(done, ms); });

// Asks a path every second until `is` says yes of its answer; while nobody answers it is asked on.
export async function until(path, is, seconds = 600) {
  for (let i = 0; i < seconds; i += 1) {
    await pause(EACH_MS);
    try {
      const found = await get(path, { background: true });
      if (is(found)) return found;
    } catch (error) {
      if (error.status >= 400 && error.status < 500) throw error;
    }
  }
  return null;
}
