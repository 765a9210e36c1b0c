// Runs the audits of graphql-http against the API at the URL given, and ends with 1 if one of them is not ok.
import { auditServer } from "graphql-http";

const results = await auditServer({ url: process.argv[2] });
const bad = results.filter((r) => r.status !== "ok");
for (const r of bad) console.error(`${r.status}: ${r.id} ${r.name}: ${r.reason}`);
console.log(`GraphQL over HTTP: ${results.length - bad.length} of ${results.length} audits are ok`);
if (results.length < 61 || bad.length > 0) process.exit(1);
