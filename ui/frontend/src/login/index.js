// Login, and the first administrator of a new gateway. It is a page without NiceGUI, so that
// nobody who has not logged in reaches anything larger than this.
import { ask, get, post } from '../lib/api.js';
import { el } from '../lib/dom.js';
import { t } from '../lib/i18n.js';

const root = document.getElementById('login');

// Only a path of this very gateway is gone to.
function next() {
  const wanted = new URLSearchParams(location.search).get('next') || '/';
  return /^\/(?![/\\])/.test(wanted) ? wanted : '/';
}

function field(label, name, type, autocomplete, more = {}) {
  return el('label', {}, label, el('input', { class: 'g-input', name, type, autocomplete, required: '', ...more }));
}

function form(title, about, fields, button, send) {
  const said = el('p', { class: 'said', role: 'alert' });
  const submit = el('button', { class: 'g-button primary', type: 'submit' }, button);
  const made = el('form', {
    async onsubmit(event) {
      event.preventDefault();
      submit.disabled = true;
      said.textContent = '';
      try {
        await send(Object.fromEntries(new FormData(made)));
      } catch (error) {
        said.textContent = error.message;
        submit.disabled = false;
      }
    },
  }, el('h1', {}, title), el('p', { class: 'g-muted' }, about), ...fields, submit, said);
  root.replaceChildren(made);
  made.querySelector('input').focus();
}

async function login(name, password) {
  await post('/api/login', { name, password });
  location.assign(next());
}

function showLogin() {
  form(t('Log in'), t('To this gateway. Ask its administrator for an account.'), [
    field(t('Name'), 'name', 'text', 'username', { autocapitalize: 'none', maxlength: 64 }),
    field(t('Password'), 'password', 'password', 'current-password', { maxlength: 128 }),
  ], t('Log in'), ({ name, password }) => login(name, password));
}

function showClaim() {
  form(t('Take this gateway'), t('It has no account yet. The code is on its console and in its log; it is good for 30 minutes and for once. It makes the first administrator.'), [
    field(t('Code'), 'code', 'text', 'one-time-code', { autocapitalize: 'characters', maxlength: 40, spellcheck: 'false' }),
    field(t('Your name here'), 'name', 'text', 'username', { autocapitalize: 'none', maxlength: 64 }),
    field(t('A password, 12 characters or more'), 'password', 'password', 'new-password', { minlength: 12, maxlength: 128 }),
    field(t('The password again'), 'again', 'password', 'new-password', { minlength: 12, maxlength: 128 }),
  ], t('Make the administrator'), async ({ code, name, password, again }) => {
    if (password !== again) throw new Error(t('The two passwords differ.'));
    await ask('POST', '/api/claim', { code, name, password });
    await login(name, password);
  });
}

async function start() {
  try {
    const { claimed } = await get('/api/claim');
    if (claimed) showLogin();
    else showClaim();
  } catch (error) {
    root.replaceChildren(el('p', { class: 'said', role: 'alert' }, error.message));
    setTimeout(start, 2000);
  }
}
start();
export default {};
