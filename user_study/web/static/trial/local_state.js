// The answer that may be undone, also after the page was reloaded.
export function saveLastAnswer(person, last) {
  try {
    sessionStorage.setItem(`last:${person}`, JSON.stringify(last));
  } catch {
    // without storage it is forgotten with the page
  }
  return last;
}

export function loadLastAnswer(person) {
  try {
    return JSON.parse(sessionStorage.getItem(`last:${person}`));
  } catch {
    return null;
  }
}
