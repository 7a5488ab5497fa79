// Copying and saving a code that is shown on the page.

const text = (id) => document.getElementById(id).textContent.trim();
const said = document.getElementById("copied");

for (const part of document.querySelectorAll("[data-script-only]")) part.hidden = false;

for (const button of document.querySelectorAll("[data-copy]")) {
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(text(button.dataset.copy));
      said.textContent = "Copied.";
    } catch {
      // no clipboard over plain HTTP: select it, so that one press of Ctrl+C does it
      getSelection().selectAllChildren(document.getElementById(button.dataset.copy));
      said.textContent = "Selected; copy it with Ctrl+C.";
    }
  });
}

for (const button of document.querySelectorAll("[data-save]")) {
  button.addEventListener("click", () => {
    const file = new Blob([`${button.dataset.note}${text(button.dataset.save)}\n${location.origin}/resume\n`], { type: "text/plain" });
    const link = Object.assign(document.createElement("a"), { href: URL.createObjectURL(file), download: button.dataset.file });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
    said.textContent = "Saved.";
  });
}
