// One dialog for every state between pairs. While it is open the pair is covered and no answer is taken.

const box = document.getElementById("panel");
const title = box.querySelector("h2");
const body = box.querySelector(".panel-body");
const actions = box.querySelector(".panel-actions");
let current = null;

box.addEventListener("cancel", (event) => {
  event.preventDefault(); // Escape does what the dialog's way back is, or nothing
  current?.escape?.();
});

// actions: [{label, run, primary, href}]; `text` lines or nodes; `escape`: what the Escape key does.
export function open({ kind, heading, text = [], content = null, buttons = [], escape = null }) {
  current = { kind, escape };
  title.textContent = heading;
  body.replaceChildren(
    ...[text].flat().map((line) => Object.assign(document.createElement("p"), { textContent: line })),
    ...(content ? [content] : []),
  );
  actions.replaceChildren(...buttons.map(button));
  document.body.classList.add("covered");
  if (!box.open) box.showModal();
  (actions.querySelector(".primary") ?? actions.firstElementChild ?? title).focus();
}

export function close() {
  current = null;
  document.body.classList.remove("covered");
  if (box.open) box.close();
}

export function focusFirst() {
  actions.firstElementChild?.focus();
}

export function kind() {
  return current?.kind ?? null;
}

export function button({ label, run, primary = false, href = null }) {
  const made = document.createElement(href ? "a" : "button");
  made.className = primary ? "button primary" : "button";
  made.textContent = label;
  if (href) made.href = href;
  else made.type = "button";
  if (run) made.addEventListener("click", run);
  return made;
}
