// Fetches pages as documents. XMLHttpRequest parses a response without running anything in it and without text becoming
// markup here. The page's Trusted Types forbid every other way (DOMParser, innerHTML).

/** Resolves to { status, url, page }. With `keepFlash` the server keeps its message for the page that is loaded next. */
export function fetchDocument(method, address, body, keepFlash = false) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open(method, address);
    if (keepFlash) request.setRequestHeader("x-keep-flash", "1");
    request.responseType = "document";
    request.onload = () => resolve({ status: request.status, url: request.responseURL, page: request.response });
    request.onerror = () => reject(new Error("the store does not respond"));
    request.send(body);
  });
}
