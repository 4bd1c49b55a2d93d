// The side panel: displays the page that a link leads to beside the current one. A refused form returns into the panel; an
// accepted one loads the page that it leads to.
import { fetchDocument } from "./fetch.js";

const panel = document.getElementById("panel");
let opener = null;

export function watchPanels(root, watch) {
  if (!panel) return;
  for (const link of root.querySelectorAll("a[data-panel]")) {
    link.addEventListener("click", (event) => {
      // These ask for a new tab or window.
      if (event.ctrlKey || event.metaKey || event.shiftKey || event.button !== 0) return;
      event.preventDefault();
      if (!panel.contains(link)) opener = link;
      open("GET", link.href, undefined, watch);
    });
  }
  // The same form on a page of its own needs no script.
  if (!panel.contains(root) && root !== panel) return;
  for (const form of panel.querySelectorAll("form[data-panel-form]")) {
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      const data = new FormData(form, event.submitter);
      if (form.method === "get") {
        open("GET", `${form.getAttribute("action")}?${new URLSearchParams(data)}`, undefined, watch);
      } else {
        open("POST", form.action, data, watch);
      }
    });
  }
  for (const link of panel.querySelectorAll("[data-close]")) {
    link.addEventListener("click", (event) => {
      event.preventDefault();
      panel.close();
    });
  }
}

async function open(method, address, data, watch) {
  panel.setAttribute("aria-busy", "true");
  let response;
  try {
    response = await fetchDocument(method, address, data, true);
  } catch {
    window.location.assign("/console/");
    return;
  }
  panel.removeAttribute("aria-busy");
  const content = response.page?.querySelector("[data-panel-content]");
  if (!content) {
    // The form was accepted, or the session has ended: load the page that the response came from.
    resetForms();
    window.location.assign(response.url || "/console/");
    return;
  }
  panel.replaceChildren(document.adoptNode(content));
  watch(panel);
  if (!panel.open) panel.showModal();
  panel.scrollTop = 0;
  const error = panel.querySelector("#error");
  (error ?? panel.querySelector("select, input:not([type=hidden]), textarea"))?.focus();
}

function resetForms() {
  for (const form of panel.querySelectorAll("form")) form.reset();
}

panel?.addEventListener("close", () => {
  // Browsers restore what was typed when somebody goes back: a value that was not sent must not stay behind.
  resetForms();
  panel.replaceChildren();
  opener?.focus();
});
panel?.addEventListener("click", (event) => {
  // A click on the backdrop has the dialog itself as its target.
  if (event.target === panel) panel.close();
});
