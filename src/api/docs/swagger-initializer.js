// The page of the API's documentation. Addresses are relative, so that the page also works under a prefix that a proxy strips.
window.ui = SwaggerUIBundle({
  url: "openapi.json",
  dom_id: "#swagger-ui",
  // Links inside of buttons, which no keyboard reaches (WCAG 2.1, 4.1.2).
  deepLinking: false,
  displayRequestDuration: true,
  persistAuthorization: true,
  // Without it the page asks a foreign server to check the document.
  validatorUrl: null,
});

// What Swagger UI leaves without a name or out of the keyboard's reach (WCAG 2.1, 2.1.1 and 4.1.2).
const NAMES = {
  "#servers": "Server",
  ".content-type-wrapper select, .content-type": "Media type",
  ".examples-select-element": "Example",
  ".body-param__text": "Body of the request",
  ".copy-to-clipboard button": "Copy",
  ".close-modal": "Close",
  ".modal-btn[type=submit]": "Authorize",
  ".models-control": "Schemas",
};
const SCROLLING = ".curl, .highlight-code > pre, .highlight-code code";

function complete() {
  for (const [selector, name] of Object.entries(NAMES)) {
    for (const control of document.querySelectorAll(selector)) {
      if (control.getAttribute("aria-label") !== name) control.setAttribute("aria-label", name);
    }
  }
  for (const region of document.querySelectorAll(SCROLLING)) {
    if (region.tabIndex < 0) region.tabIndex = 0;
  }
}
new MutationObserver(complete).observe(document.querySelector("#swagger-ui"), { childList: true, subtree: true });
