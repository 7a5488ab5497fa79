// Keeps the overview up to date while it is looked at. Without this script the page shows the figures of its loading.
const live = document.querySelector("[data-poll]");
const EVERY_MS = 5000;

async function refresh() {
  const answer = await fetch(live.dataset.poll, { headers: { Accept: "application/json" } });
  if (answer.redirected || !answer.ok) throw new Error(String(answer.status));
  const { numbers, shown, charts } = await answer.json();
  for (const place of live.querySelectorAll("[data-live]")) {
    const text = shown[place.dataset.live] ?? "";
    if (place.textContent !== text) place.textContent = text;
  }
  for (const bar of live.querySelectorAll("[data-live-value]")) bar.value = numbers[bar.dataset.liveValue];
  for (const place of live.querySelectorAll("[data-live-chart]")) {
    const drawn = charts[place.dataset.liveChart];
    if (place.dataset.drawn !== drawn) {
      place.replaceChildren(...new DOMParser().parseFromString(drawn, "text/html").body.childNodes);
      place.dataset.drawn = drawn;
    }
  }
}

async function tick() {
  if (document.hidden) return;
  const note = live.querySelector("[data-live-note]");
  try {
    await refresh();
    note.textContent = "";
  } catch {
    note.textContent = " (the server does not answer or you are signed out; trying again)";
  }
}

async function loop() {
  await tick();
  setTimeout(loop, EVERY_MS);
}

if (live) {
  setTimeout(loop, EVERY_MS);
  document.addEventListener("visibilitychange", tick); // at once when the page is looked at again
}
