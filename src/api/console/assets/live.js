// As one types: search results, and what a name is exported as. Never sends a value.
import { documentOf } from "./fetch.js";

const PAUSE = 180;

/** Calls `work` once typing has paused, and drops answers that a later question has overtaken. */
function pausing(work) {
  let timer;
  let turn = 0;
  return () => {
    clearTimeout(timer);
    const own = ++turn;
    timer = setTimeout(() => work(() => own === turn), PAUSE);
  };
}

export function watchSearch(root, watch) {
  for (const form of root.querySelectorAll("form[data-live]")) {
    const ask = pausing(async (current) => {
      const query = new URLSearchParams([...new FormData(form)].filter(([, text]) => text !== ""));
      const address = `${form.getAttribute("action")}${query.size ? `?${query}` : ""}`;
      const only = new URLSearchParams(query);
      if (form.action.endsWith("/secrets")) only.set("only", "rows");
      let answer;
      try {
        answer = await documentOf("GET", `${form.getAttribute("action")}?${only}`);
      } catch {
        return;
      }
      if (!current()) return;
      const fresh = answer.page?.querySelector(form.dataset.live);
      if (!fresh) {
        window.location.assign(address);
        return;
      }
      document.querySelector(form.dataset.live).replaceWith(document.adoptNode(fresh));
      history.replaceState(null, "", address);
      watch(fresh);
    });
    form.addEventListener("input", ask);
    form.addEventListener("change", ask);
  }
}

export function watchNames(root) {
  for (const field of root.querySelectorAll("[data-live-name]")) {
    const form = field.form;
    const told = form.querySelector("[data-name-told]");
    const ask = pausing(async (current) => {
      const name = field.value.trim();
      if (!name) {
        told.replaceChildren();
        return;
      }
      const query = new URLSearchParams({ name, scope: new FormData(form).get("scope") ?? "private" });
      const as = form.querySelector("[data-live-as]")?.value.trim();
      if (as) query.set("as", as);
      let answer;
      try {
        answer = await (await fetch(`/console/live/name?${query}`, { redirect: "error" })).json();
      } catch {
        return;
      }
      if (current()) show(field, told, answer);
    });
    form.addEventListener("input", (event) => {
      if (event.target === field || event.target.name === "scope" || event.target.name === "as") ask();
    });
    if (field.value) ask();
  }
}

function show(field, told, answer) {
  const parts = [];
  if (answer.env) {
    const code = document.createElement("code");
    code.textContent = answer.env;
    parts.push("Exported as ", code);
  }
  let bad = answer.fault ?? "";
  if (!bad && answer.taken) bad = `${answer.taken} is there already under this name: replace its value instead`;
  if (bad) {
    const fault = document.createElement("strong");
    fault.textContent = `${parts.length ? " – " : ""}${bad}${answer.hint ? `; ${answer.hint}` : ""}.`;
    parts.push(fault);
  }
  told.replaceChildren(...parts);
  told.classList.toggle("bad", Boolean(bad));
  field.setAttribute("aria-invalid", String(Boolean(bad)));
}
