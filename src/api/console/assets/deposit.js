// Fields that take a value: shown on demand, files dropped into them, and a word when a value looks wrong. The value
// stays in its field; it is judged here and sent with the form alone.

export function watchForms(root) {
  for (const box of root.querySelectorAll("[data-value]")) watchValue(box);
  for (const button of root.querySelectorAll("[data-reveal]")) {
    const field = document.getElementById(button.dataset.reveal);
    button.addEventListener("click", () => {
      const masked = field.classList.toggle("masked");
      button.textContent = masked ? "Show" : "Hide";
      button.setAttribute("aria-pressed", String(!masked));
    });
  }
  for (const form of root.querySelectorAll("form[data-import]")) watchImport(form);
}

function watchValue(box) {
  const field = box.querySelector("textarea");
  const file = box.querySelector("input[type=file]");
  const warning = box.querySelector("[data-warning]");
  const judge = () => {
    if (warning) warning.textContent = field.value ? doubt(field) : "";
  };
  field.addEventListener("input", judge);
  field.form.addEventListener("change", judge);
  box.addEventListener("dragover", (event) => {
    event.preventDefault();
    box.classList.add("over");
  });
  box.addEventListener("dragleave", () => box.classList.remove("over"));
  box.addEventListener("drop", (event) => {
    event.preventDefault();
    box.classList.remove("over");
    if (event.dataTransfer.files.length === 0) {
      field.value = event.dataTransfer.getData("text/plain");
      judge();
      return;
    }
    file.files = event.dataTransfer.files;
    file.dispatchEvent(new Event("change", { bubbles: true }));
  });
  file.addEventListener("change", () => {
    const chosen = file.files.length > 0;
    field.disabled = chosen;
    if (chosen) field.value = "";
  });
}

/** What is probably a mistake. Only ever a word: the store takes what it is given. */
function doubt(field) {
  const value = field.value;
  const known = field.dataset.prefixes.split(" ").filter(Boolean);
  const usual = known.length > 0;
  const expected = field.form.hasAttribute("data-known-prefixes") ? [] : known;
  if (usual && expected.length > 0 && !expected.some((prefix) => value.startsWith(prefix))) {
    return `Unusual: such a value begins with ${expected.join(" or ")}. It can be stored all the same.`;
  }
  const type = field.form.querySelector("[name=type]");
  if (type?.value === "plain" && looksLikeAKey(value, known)) {
    return "This looks like a key, and a plain value may be shown. Make it encrypted unless you are sure.";
  }
  if (/^\s|\s$/.test(value)) return "There are blanks or a line break around it; they are kept.";
  return "";
}

function looksLikeAKey(value, known) {
  if (known.some((prefix) => prefix.length > 1 && value.startsWith(prefix))) return true;
  return /^[A-Za-z0-9+/_=.-]{24,}$/.test(value) && /[0-9]/.test(value) && /[A-Za-z]/.test(value);
}

/** The preview comes into the page, so that the text stays in its field and is in no answer. */
function watchImport(form) {
  form.addEventListener("submit", async (event) => {
    if (event.submitter?.value !== "preview") return;
    event.preventDefault();
    const { documentOf } = await import("./fetch.js");
    const answer = await documentOf("POST", form.action, new FormData(form, event.submitter));
    const trouble = answer.page?.getElementById("trouble");
    const fresh = answer.page?.getElementById("preview");
    if (!fresh) {
      window.location.assign(answer.url || "/console/import");
      return;
    }
    const here = document.getElementById("preview");
    here.replaceChildren(...(trouble ? [document.adoptNode(trouble)] : fresh.childNodes));
    here.querySelector("[tabindex]")?.focus();
  });
}
