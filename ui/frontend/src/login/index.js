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

// Why nobody was let in by the provider: the gateway says it in one word in the address.
const WHY = {
  again: t('That login took too long, was finished before, or began in another browser. Try again.'),
  early: t('Too many failures. Wait a minute, then try again.'),
  away: t('The login of your company does not answer just now. Who has a password here can use it; else try again in some seconds.'),
  refused: t('The login of your company did not let you in.'),
  wrong: t('What the login of your company answered cannot be believed. The administrator sees why in the audit.'),
  role: t('You are in no group that may use this gateway. Ask its administrator.'),
  taken: t('Another account here has your name. Ask its administrator.'),
  disabled: t('Your account here is disabled. Ask the administrator of this gateway.'),
  full: t('This gateway has as many accounts as it can have. Ask its administrator.'),
};

// The button of a login by a provider, where there is one.
async function byProvider() {
  const { label, start } = await get('/api/openid');
  if (!start) return;
  const go = () => location.assign(`${start}?next=${encodeURIComponent(next())}`);
  root.querySelector('form').append(
    el('p', { class: 'or' }, t('or')),
    el('button', { class: 'g-button', type: 'button', onclick: go }, t('Log in by {name}', { name: label })),
  );
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
  const why = WHY[new URLSearchParams(location.search).get('why')];
  if (why) root.querySelector('.said').textContent = why;
  byProvider().catch(() => {});  // Without its answer there is the password.
}

function showClaim() {
  form(t('Take this gateway'), t('It has no account yet. The code is on its console and in its log (journalctl -u genba-engine); it is good for 30 minutes and for once. It makes the first administrator.'), [
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
