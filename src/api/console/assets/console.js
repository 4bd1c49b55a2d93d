// Starts what the current page uses. Everything here also works without a script, by a form or a link.
import { watchForms } from "./deposit.js";
import { watchSearch, watchNames } from "./live.js";
import { watchPanels } from "./panel.js";
import { fetchDocument } from "./fetch.js";

// The style sheet hides what needs a script until one runs, and the buttons that a script replaces from then on.
document.documentElement.dataset.scripted = "";

/** Adds the listeners inside `root`: for the whole page once, and for each part of it that is exchanged. */
export function watch(root) {
  watchForms(root);
  watchNames(root);
  watchSearch(root, watch);
  watchPanels(root, watch);
  for (const form of root.querySelectorAll("form[data-confirm]")) {
    form.addEventListener("submit", (event) => {
      if (!window.confirm(form.dataset.confirm)) event.preventDefault();
    });
  }
  for (const button of root.querySelectorAll("[data-copy]")) {
    button.addEventListener("click", () => copy(button));
  }
  for (const form of root.querySelectorAll("form[data-switch]")) {
    form.addEventListener("submit", (event) => toggleSwitch(event, form));
  }
}

async function copy(button) {
  const field = document.getElementById(button.dataset.copy);
  try {
    await navigator.clipboard.writeText(field.value);
    button.textContent = "Copied";
  } catch {
    // Browsers offer the clipboard over HTTPS and on localhost only.
    field.select();
    button.textContent = "Press Ctrl+C";
  }
}

/** Sends a switch in the table without loading the page, so that nobody loses the place in a long list. */
async function toggleSwitch(event, form) {
  event.preventDefault();
  const button = form.querySelector("[role=switch]");
  const data = new FormData(form, button);
  button.setAttribute("aria-busy", "true");
  const response = await fetchDocument("POST", form.action, data);
  // The response is the list after the redirect. A label is unique there: it contains the secret's name.
  const label = button.getAttribute("aria-label");
  const switches = [...response.page.querySelectorAll("[role=switch]")];
  const fresh = switches.find((other) => other.getAttribute("aria-label") === label);
  if (response.status !== 200 || !fresh) {
    form.submit();
    return;
  }
  button.removeAttribute("aria-busy");
  button.setAttribute("aria-checked", fresh.getAttribute("aria-checked"));
  button.value = fresh.value;
  displayFlash(response.page);
}

/** Displays the message of another page here, where screen readers announce it. */
function displayFlash(page) {
  const from = page.getElementById("flash");
  const to = document.getElementById("flash");
  if (from && to) to.replaceChildren(...from.childNodes);
}

const themeForm = document.querySelector("form[data-theme-form]");
themeForm?.addEventListener("submit", async (event) => {
  event.preventDefault();
  const button = themeForm.querySelector("button");
  const order = ["system", "light", "dark"];
  const chosen = button.value;
  await fetchDocument("POST", themeForm.action, new FormData(themeForm, button));
  document.documentElement.dataset.theme = chosen;
  button.value = order[(order.indexOf(chosen) + 1) % order.length];
  button.title = `Theme: ${chosen}`;
  button.setAttribute("aria-label", `Theme: ${chosen}. Switch to ${button.value}`);
});

watch(document);
// A refused form loads a new page, whose errors a keyboard or a screen reader would reach last.
document.getElementById("error")?.focus();

// A link of an enrolment has its code in the fragment, which no request contains. It leaves the address at once, so that it
// stays out of the browser's history.
const fromFragment = document.querySelector("[data-from-fragment]");
if (fromFragment && location.hash.length > 1) {
  fromFragment.value = location.hash.slice(1);
  history.replaceState(null, "", location.pathname);
}
