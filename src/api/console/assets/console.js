// Starts what the page at hand has use for. Everything here also works without a script, by a form or a link.
import { watchForms } from "./deposit.js";
import { watchSearch, watchNames } from "./live.js";
import { watchPanels } from "./panel.js";
import { documentOf } from "./fetch.js";

document.documentElement.dataset.scripted = "";

/** Wires up what is inside `root`, now and each time a part of the page is exchanged. */
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
    form.addEventListener("submit", (event) => flip(event, form));
  }
}

async function copy(button) {
  const field = document.getElementById(button.dataset.copy);
  try {
    await navigator.clipboard.writeText(field.value);
    button.textContent = "Copied";
  } catch {
    field.select();
    button.textContent = "Press Ctrl+C";
  }
}

/** A switch in the table, without losing one's place in it. */
async function flip(event, form) {
  event.preventDefault();
  const button = form.querySelector("[role=switch]");
  const data = new FormData(form, button);
  button.setAttribute("aria-busy", "true");
  const answer = await documentOf("POST", form.action, data);
  const name = button.getAttribute("aria-label");
  const fresh = [...answer.page.querySelectorAll("[role=switch]")].find((other) => other.getAttribute("aria-label") === name);
  if (answer.status !== 200 || !fresh) {
    form.submit();
    return;
  }
  button.removeAttribute("aria-busy");
  button.setAttribute("aria-checked", fresh.getAttribute("aria-checked"));
  button.value = fresh.value;
  tell(answer.page);
}

/** Shows and announces what another page had to say. */
export function tell(page) {
  const told = page.getElementById("told");
  const here = document.getElementById("told");
  if (told && here) here.replaceChildren(...told.childNodes);
}

const theme = document.querySelector("form[data-theme-form]");
theme?.addEventListener("submit", async (event) => {
  event.preventDefault();
  const button = theme.querySelector("button");
  const order = ["system", "light", "dark"];
  const chosen = button.value;
  await documentOf("POST", theme.action, new FormData(theme, button));
  document.documentElement.dataset.theme = chosen;
  button.value = order[(order.indexOf(chosen) + 1) % order.length];
  button.title = `Theme: ${chosen}`;
  button.setAttribute("aria-label", `Theme is ${chosen}; change to ${button.value}`);
});

watch(document);
document.getElementById("trouble")?.focus();
