// Keeps the page up to date: the server says that something changed, the part that
// shows it is loaded anew. Without this script every page works as well, by reloading.

const part = document.getElementById("live-part");
const button = document.getElementById("live-button");
const status = document.getElementById("live-status");
const KEY = "jetworker-stopped";
let source = null;
let isLoading = false;
let isStale = false;

const say = (text) => {
  if (status.textContent !== text) status.textContent = text;
};

// Nobody's input, choice or selection is taken away under their hands.
const isBusy = () => {
  const focused = document.activeElement;
  return (
    (part.contains(focused) && focused.matches("input, select, textarea")) ||
    part.querySelector("input[type=checkbox]:checked, details[open], form[data-busy]") !== null ||
    !getSelection().isCollapsed
  );
};

const refresh = async () => {
  if (isLoading || isBusy()) {
    isStale = true;
    return;
  }
  isLoading = true;
  isStale = false;
  try {
    const answer = await fetch(location.href);
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    const fresh = page.getElementById("live-part");
    if (source !== null && fresh !== null && !isBusy()) {
      const href = part.contains(document.activeElement)
        ? document.activeElement.getAttribute("href")
        : null;
      part.replaceChildren(...fresh.childNodes);
      part.dataset.version = fresh.dataset.version;
      if (href !== null) part.querySelector(`a[href="${CSS.escape(href)}"]`)?.focus();
      equip();
    }
    say("");
  } catch {
    say("The page's process does not answer.");
  } finally {
    isLoading = false;
  }
};

const start = () => {
  // What has changed since the page was drawn is told as well.
  source = new EventSource(`/live?since=${part.dataset.version}`);
  source.onmessage = refresh;
  source.onerror = () => say("The page's process does not answer.");
  source.onopen = () => say("");
  button.textContent = "Stop updating";
  sessionStorage.removeItem(KEY);
};

const stop = () => {
  source?.close();
  source = null;
  button.textContent = "Update again";
  say("Stopped: this is how it was.");
  sessionStorage.setItem(KEY, "1");
};

const equip = () => {
  for (const each of part.querySelectorAll("button.copy")) {
    each.hidden = navigator.clipboard === undefined;
    each.onclick = async () => {
      await navigator.clipboard.writeText(each.dataset.text);
      each.textContent = "Copied";
    };
  }
};

button.hidden = false;
button.onclick = () => {
  if (source !== null) {
    stop();
  } else {
    start();
  }
};
setInterval(() => {
  if (isStale && source !== null) refresh();
}, 2000);
equip();
if (sessionStorage.getItem(KEY) === null) start();
else stop();
