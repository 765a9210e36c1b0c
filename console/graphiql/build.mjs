// Copies what the page needs out of node_modules into dist/, which is committed and embedded: building Annal needs no Node and
// no internet. Run it after changing a version: npm ci && node build.mjs
import { copyFileSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";

const files = {
  "graphiql.min.js": "graphiql/graphiql.min.js",
  "graphiql.min.css": "graphiql/graphiql.min.css",
  "react.production.min.js": "react/umd/react.production.min.js",
  "react-dom.production.min.js": "react-dom/umd/react-dom.production.min.js",
};
rmSync("dist", { recursive: true, force: true });
mkdirSync("dist");
for (const [name, from] of Object.entries(files)) {
  // Source maps are not embedded; a reference to one would be fetched by the browser's tools.
  const text = readFileSync(`node_modules/${from}`, "utf8").replace(/^\/\/# sourceMappingURL=.*$/gm, "").replace(/\/\*# sourceMappingURL=.*?\*\//g, "");
  writeFileSync(`dist/${name}`, text);
}
const licences = ["graphiql", "react", "react-dom", "graphql"].map(
  (p) => `${p} ${JSON.parse(readFileSync(`node_modules/${p}/package.json`)).version}\n\n${readFileSync(`node_modules/${p}/LICENSE`, "utf8")}`,
);
writeFileSync("dist/LICENSES.txt", licences.join("\n----\n\n"));
copyFileSync("start.js", "dist/start.js");
copyFileSync("index.html", "dist/index.html");
