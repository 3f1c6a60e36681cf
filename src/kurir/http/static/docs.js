// Starts Swagger UI on /openapi.json. No plug-in, no validator badge, nothing from other hosts.
const base = document.documentElement.dataset.base || "";
window.ui = SwaggerUIBundle({
  url: `${base}/openapi.json`,
  dom_id: "#docs",
  deepLinking: true,
  validatorUrl: null,
  defaultModelsExpandDepth: 0,
  persistAuthorization: false,
  requestSnippetsEnabled: true,
});
