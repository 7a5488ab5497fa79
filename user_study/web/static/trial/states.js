// What the dialog says in each state between pairs. Pure: a description goes in and comes out, nothing is done here.

const leave = (controller) => ({ label: "Stop for now", run: () => controller.leave() });
const home = { label: "To the start page", href: "/" };

export const offline = (again) => ({
  kind: "offline",
  heading: "No connection",
  text: ["The next pair cannot be fetched. Your answers are safe. The page tries again by itself."],
  buttons: [{ label: "Try now", primary: true, run: again }],
});

export const pause = (controller, { answered, cap, spins }, rest) => ({
  kind: rest ? "break" : "wheel",
  heading: rest ? "Time for a short break" : "The wheel is yours",
  text: [
    `${answered} of ${cap} pairs answered.`,
    ...(rest ? ["Look out of the window for a moment. Your pairs wait for you, and you may also come back another day."] : []),
  ],
  buttons: [{ label: "Go on", primary: spins === 0, run: () => controller.goOn() }, leave(controller)],
});

export const trained = (controller, { cap }, over) => ({
  kind: "training",
  heading: over ? "Practice is over" : "Once more",
  text: over
    ? ["From now on your answers count, and nothing is said about them.", `There are ${cap} pairs at most; stop whenever you like.`]
    : ["That was not yet enough right answers. Here is the practice once more; read what is said after each answer."],
  buttons: [{ label: over ? "Begin" : "Practise again", primary: true, run: () => controller.goOn() }],
});

export const expired = (controller) => ({
  kind: "expired",
  heading: "This pair was not answered in time",
  text: ["It has gone back, so that somebody else can answer it. Everything you answered before is stored."],
  buttons: [{ label: "Show me a pair", primary: true, run: () => controller.refresh() }, leave(controller)],
});

export const paused = (controller) => ({
  kind: "paused",
  heading: "The study is paused",
  text: ["Nothing is lost. The page looks by itself whether the study goes on; you may also come back later with your resume code."],
  buttons: [{ label: "Look again", primary: true, run: () => controller.refresh() }, home],
});

export const full = (controller) => ({
  kind: "full",
  heading: "No pair is left for you just now",
  text: ["Every pair has its answers, or is being answered by somebody. If pairs become free again, you can go on."],
  buttons: [
    { label: "Finish", primary: true, href: "/finish" },
    { label: "Look again", run: () => controller.refresh() },
  ],
});

export const refused = (controller, message) => ({
  kind: "refused",
  heading: "The study cannot go on here",
  text: [message],
  buttons: [{ label: "Try again", primary: true, run: () => controller.refresh() }, home],
});

export const signedOut = (kept) => ({
  kind: "signed-out",
  heading: "You are signed out",
  text: ["Sign in with your resume code, and go on where you were.", ...(kept ? ["Answers that were not sent are kept in this tab."] : [])],
  buttons: [{ label: "Enter the resume code", primary: true, href: "/resume" }],
});

export const unseen = (controller, trial, message) => ({
  kind: "images",
  heading: "The images did not load",
  text: [message, "Look at your connection and try again."],
  buttons: [{ label: "Try again", primary: true, run: () => controller.present(trial) }, leave(controller)],
});

export const smallScreen = (goOn) => ({
  kind: "device",
  heading: "A larger screen is better",
  text: ["This study asks for a window at least 900 pixels wide, so that small changes can be seen. Use a computer or a tablet if you can."],
  buttons: [{ label: "Go on here", run: goOn }, { ...home, primary: true }],
});

export const elsewhere = (here) => ({
  kind: "elsewhere",
  heading: "The study is open in another tab",
  text: ["Go on there, or use this tab instead. Nothing is lost either way."],
  buttons: [{ label: "Use this tab", primary: true, run: here }],
});
