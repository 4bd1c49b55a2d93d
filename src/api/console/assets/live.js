// While somebody types: search results, and what a name is exported as. Never sends a value.
import { fetchDocument } from "./fetch.js";

/** Milliseconds without a key press before a request: longer than most people's pause between two keys. */
const PAUSE = 180;

/** Returns a function that calls `work` once typing has paused. `work` gets a test whether its result is still wanted. */
function debounce(work) {
  let timer;
  let turn = 0;
  return () => {
    clearTimeout(timer);
    // Responses can arrive out of order: one that is overtaken by a later request must not replace its result.
    const own = ++turn;
    timer = setTimeout(() => work(() => own === turn), PAUSE);
  };
}

export function watchSearch(root, watch) {
  for (const form of root.querySelectorAll("form[data-live]")) {
    const search = debounce(async (isCurrent) => {
      const query = new URLSearchParams([...new FormData(form)].filter(([, text]) => text !== ""));
      // The attribute and not the property, which is the field if a field is named "action".
      const action = form.getAttribute("action");
      const address = `${action}${query.size ? `?${query}` : ""}`;
      const only = new URLSearchParams(query);
      if (action.endsWith("/secrets")) only.set("only", "rows");
      let response;
      try {
        response = await fetchDocument("GET", `${action}?${only}`);
      } catch {
        return;
      }
      if (!isCurrent()) return;
      const fresh = response.page?.querySelector(form.dataset.live);
      if (!fresh) {
        // A filter that the server refuses, or a session that has ended: load the page that says so.
        window.location.assign(address);
        return;
      }
      document.querySelector(form.dataset.live).replaceWith(document.adoptNode(fresh));
      // Reloading and bookmarks keep the filter, without a step in the history per letter.
      history.replaceState(null, "", address);
      watch(fresh);
    });
    form.addEventListener("input", search);
    form.addEventListener("change", search);
  }
}

export function watchNames(root) {
  for (const field of root.querySelectorAll("[data-live-name]")) {
    const form = field.form;
    const feedback = form.querySelector("[data-name-feedback]");
    const check = debounce(async (isCurrent) => {
      const name = field.value.trim();
      if (!name) {
        feedback.replaceChildren();
        return;
      }
      const query = new URLSearchParams({ name, scope: new FormData(form).get("scope") ?? "private" });
      const as = form.querySelector("[data-live-as]")?.value.trim();
      if (as) query.set("as", as);
      let result;
      try {
        // A redirect leads to the login page, which is no JSON.
        result = await (await fetch(`/console/live/name?${query}`, { redirect: "error" })).json();
      } catch {
        return;
      }
      if (isCurrent()) displayFeedback(field, feedback, result);
    });
    form.addEventListener("input", (event) => {
      if (event.target === field || event.target.name === "scope" || event.target.name === "as") check();
    });
    // A refused form comes back with its name.
    if (field.value) check();
  }
}

function displayFeedback(field, feedback, result) {
  const parts = [];
  if (result.env) {
    const code = document.createElement("code");
    code.textContent = result.env;
    parts.push("Exported as ", code);
  }
  let problem = result.fault ?? "";
  if (!problem && result.taken) problem = `the secret ${result.taken} already uses this name: replace its value instead`;
  if (problem) {
    const text = document.createElement("strong");
    text.textContent = `${parts.length ? " – " : ""}${problem}${result.hint ? `; ${result.hint}` : ""}.`;
    parts.push(text);
  }
  feedback.replaceChildren(...parts);
  feedback.classList.toggle("bad", Boolean(problem));
  field.setAttribute("aria-invalid", String(Boolean(problem)));
}
