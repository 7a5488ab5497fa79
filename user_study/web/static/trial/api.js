// Calls to the server: a reply, a refusal (Refused: do not repeat), or no reply (Unreachable: repeat later).

export class Refused extends Error {
  constructor(status, code, message) {
    super(message);
    Object.assign(this, { status, code });
  }
}

export class Unreachable extends Error {
  constructor(message, wait = 0) {
    super(message);
    this.wait = wait; // ms that the server asks us to wait
  }
}

export const get = (path) => call(path, { method: "GET" });

export const post = (path, body = {}) =>
  call(path, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) });

async function call(path, options) {
  let reply;
  try {
    reply = await fetch(path, {
      ...options,
      credentials: "same-origin",
      cache: "no-store",
      signal: AbortSignal.timeout(15000),
    });
  } catch {
    throw new Unreachable("The server cannot be reached.");
  }
  if (reply.status >= 500 || reply.status === 429) {
    const wait = 1000 * Number(reply.headers.get("Retry-After"));
    throw new Unreachable(reply.status === 429 ? "The server asks for a short pause." : "The server has a fault.", wait || 0);
  }
  const content = await reply.json().catch(() => null);
  if (!reply.ok) {
    const { code = "bad_request", message = "The server refused this request." } = content?.error ?? {};
    throw new Refused(reply.status, code, message);
  }
  if (content === null) throw new Unreachable("The server's reply was cut off.");
  return content;
}
