// Some actions need the password again, given within the last minutes. The API says so; then it is
// asked for here, in the browser, because the answer brings a new cookie, and the action is tried again.
import { reactive } from 'vue';
import { post } from '../lib/api.js';

export const question = reactive({ isOpen: false, answer: null });

export async function fresh(work) {
  try {
    return await work();
  } catch (error) {
    if (error.status !== 403 || !error.english?.startsWith('Give your password again first')) throw error;
  }
  if (!(await new Promise((resolve) => Object.assign(question, { isOpen: true, answer: resolve })))) return undefined;
  return work();
}

export async function confirm(password) {
  await post('/api/me/confirm', { password });
}
