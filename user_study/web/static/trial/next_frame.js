// After the next frame has been drawn; soon in any case, for hidden pages draw none.
export function nextFrame() {
  return new Promise((done) => {
    setTimeout(done, 250);
    requestAnimationFrame(() => {
      const { port1, port2 } = new MessageChannel();
      port2.onmessage = done;
      port1.postMessage(null);
    });
  });
}
