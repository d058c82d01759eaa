// openapi.json for people. Everything is written as text.

const METHODS = ["get", "post", "put", "delete"];

document.getElementById("curl").textContent = `curl --data-binary @image.png ${location.origin}/api/predictions`;

const answer = await fetch("/openapi.json");
const api = await answer.json();
const routes = document.getElementById("routes");
for (const [path, byMethod] of Object.entries(api.paths)) {
  for (const method of METHODS.filter((name) => name in byMethod)) routes.append(route(path, method, byMethod[method]));
}

function route(path, method, described) {
  const box = element("details", "card");
  const summary = element("summary");
  summary.append(element("b", "method", method.toUpperCase()), " ", element("code", "", path), " ", described.description);
  box.append(summary);
  const facts = element("dl");
  for (const parameter of described.parameters ?? []) {
    fact(facts, `${parameter.in}: ${parameter.name}`, parameter.description ?? typeOf(parameter.schema));
  }
  for (const [type, body] of Object.entries(described.requestBody?.content ?? {})) {
    fact(facts, `body: ${type}`, described.requestBody.description ?? typeOf(body.schema));
  }
  for (const [status, response] of Object.entries(described.responses)) {
    const types = Object.values(response.content ?? {}).map((content) => typeOf(content.schema));
    fact(facts, status, [response.description, ...types].filter(Boolean).join(" · "));
  }
  box.append(facts);
  return box;
}

function typeOf(schema = {}) {
  if (schema.$ref) return fields(schema.$ref.split("/").at(-1));
  if (schema.type === "array") return `list of ${typeOf(schema.items)}`;
  if (schema.anyOf) return schema.anyOf.map(typeOf).join(" or ");
  return schema.format ?? schema.type ?? "";
}

function fields(name) {
  const properties = api.components.schemas[name]?.properties ?? {};
  return `${name} {${Object.keys(properties).join(", ")}}`;
}

function fact(list, term, text) {
  list.append(element("dt", "", term), element("dd", "", text));
}

function element(tag, className = "", text = "") {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (text) made.textContent = text;
  return made;
}
