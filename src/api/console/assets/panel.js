// The side panel: the page that a link leads to, shown beside the one at hand. A form in it that is refused comes back
// into it; one that is done leads on.
import { documentOf } from "./fetch.js";

const panel = document.getElementById("panel");
let opener = null;

export function watchPanels(root, watch) {
  if (!panel) return;
  for (const link of root.querySelectorAll("a[data-panel]")) {
    link.addEventListener("click", (event) => {
      if (event.ctrlKey || event.metaKey || event.shiftKey || event.button !== 0) return;
      event.preventDefault();
      if (!panel.contains(link)) opener = link;
      open("GET", link.href, undefined, watch);
    });
  }
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
  let answer;
  try {
    answer = await documentOf(method, address, data, true);
  } catch {
    window.location.assign("/console/");
    return;
  }
  panel.removeAttribute("aria-busy");
  const content = answer.page?.querySelector("[data-panel-content]");
  if (!content) {
    // Done, or the session is over: go where the answer came from.
    clear();
    window.location.assign(answer.url || "/console/");
    return;
  }
  panel.replaceChildren(document.adoptNode(content));
  watch(panel);
  if (!panel.open) panel.showModal();
  panel.scrollTop = 0;
  const trouble = panel.querySelector("#trouble");
  (trouble ?? panel.querySelector("select, input:not([type=hidden]), textarea"))?.focus();
}

function clear() {
  for (const form of panel.querySelectorAll("form")) form.reset();
}

panel?.addEventListener("close", () => {
  // A value that was typed and not sent does not stay behind.
  clear();
  panel.replaceChildren();
  opener?.focus();
});
panel?.addEventListener("click", (event) => {
  if (event.target === panel) panel.close();
});
