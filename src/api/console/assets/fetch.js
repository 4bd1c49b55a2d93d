// Fetches pages as documents. XMLHttpRequest parses an answer without running anything in it, and without a text ever
// becoming markup here: no other way of doing that is allowed by the page's Trusted Types.

/** Resolves to { status, url, page }. With `keep`, what the store has to say is kept for the page that follows. */
export function documentOf(method, address, body, keep = false) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open(method, address);
    if (keep) request.setRequestHeader("x-keep-told", "1");
    request.responseType = "document";
    request.onload = () => resolve({ status: request.status, url: request.responseURL, page: request.response });
    request.onerror = () => reject(new Error("the store does not answer"));
    request.send(body);
  });
}
