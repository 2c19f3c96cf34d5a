// One <style> for each name, however often a component is loaded.
export function addStyle(name, css) {
  const id = `genba-css-${name}`;
  if (document.getElementById(id)) return;
  document.head.append(Object.assign(document.createElement('style'), { id, textContent: css }));
}

export function el(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith('on')) made.addEventListener(name.slice(2), value);
    else if (value !== undefined && value !== null) made.setAttribute(name, value);
  }
  made.append(...children);
  return made;
}
