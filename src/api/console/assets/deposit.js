// Fields that take a value: shown on demand, filled by dropping a file, with a warning if the value looks wrong. The value
// never leaves its field: it is checked here, and only the form itself sends it.

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
  const check = () => {
    if (warning) warning.textContent = field.value ? findWarning(field) : "";
  };
  field.addEventListener("input", check);
  // The type of the secret decides as well, and it is another field of the form.
  field.form.addEventListener("change", check);
  box.addEventListener("dragover", (event) => {
    event.preventDefault();
    box.classList.add("over");
  });
  box.addEventListener("dragleave", () => box.classList.remove("over"));
  box.addEventListener("drop", (event) => {
    // Without this, the browser opens the file in place of the page.
    event.preventDefault();
    box.classList.remove("over");
    if (event.dataTransfer.files.length === 0) {
      field.value = event.dataTransfer.getData("text/plain");
      check();
      return;
    }
    // As a file, not as text: bytes that are not UTF-8 would be damaged.
    file.files = event.dataTransfer.files;
    file.dispatchEvent(new Event("change", { bubbles: true }));
  });
  file.addEventListener("change", () => {
    // The server refuses a form with a value and a file.
    const chosen = file.files.length > 0;
    field.disabled = chosen;
    if (chosen) field.value = "";
  });
}

/** Returns a warning about what is probably a mistake. It is only a warning: the store accepts the value. */
function findWarning(field) {
  const value = field.value;
  const known = field.dataset.prefixes.split(" ").filter(Boolean);
  // A preset's field lists its own prefixes; elsewhere the list is of all platforms, and any other value is fine.
  const expected = field.form.hasAttribute("data-known-prefixes") ? [] : known;
  if (expected.length > 0 && !expected.some((prefix) => value.startsWith(prefix))) {
    return `Unusual value: it normally begins with ${expected.join(" or ")}. You can save it anyway.`;
  }
  const type = field.form.querySelector("[name=type]");
  if (type?.value === "plain" && looksLikeKey(value, known)) {
    return "This looks like a key, and plain values are displayed. Choose the type Encrypted if it is sensitive.";
  }
  if (/^\s|\s$/.test(value)) return "The value begins or ends with a blank or a line break, which is stored too.";
  return "";
}

function looksLikeKey(value, known) {
  // A prefix of one character, such as `/`, says nothing.
  if (known.some((prefix) => prefix.length > 1 && value.startsWith(prefix))) return true;
  return /^[A-Za-z0-9+/_=.-]{24,}$/.test(value) && /[0-9]/.test(value) && /[A-Za-z]/.test(value);
}

/** Displays the preview inside this page: the text stays in its field, which a new page could not fill in again. */
function watchImport(form) {
  form.addEventListener("submit", async (event) => {
    if (event.submitter?.value !== "preview") return;
    event.preventDefault();
    const { fetchDocument } = await import("./fetch.js");
    const response = await fetchDocument("POST", form.action, new FormData(form, event.submitter));
    const error = response.page?.getElementById("error");
    const fresh = response.page?.getElementById("preview");
    if (!fresh) {
      // The session has ended: the response is the login page.
      window.location.assign(response.url || "/console/import");
      return;
    }
    const preview = document.getElementById("preview");
    preview.replaceChildren(...(error ? [document.adoptNode(error)] : fresh.childNodes));
    preview.querySelector("[tabindex]")?.focus();
  });
}
