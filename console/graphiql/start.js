// Starts GraphiQL on /graphql. A bearer token goes into the tab "Headers"; it is not kept when the page is left.
const send = GraphiQL.createFetcher({ url: "/graphql" });

// "Authorization: Bearer " waits in that tab for a token. As long as none was put there, the page asks as anybody: the server refuses a
// header that names a scheme and no token, and is right to.
const fetcher = (params, options) => {
  const headers = Object.entries(options?.headers ?? {}).filter(
    ([name, value]) => !(name.toLowerCase() === "authorization" && /^\s*(bearer\s*)?$/i.test(value)),
  );
  return send(params, { ...options, headers: Object.fromEntries(headers) });
};

ReactDOM.createRoot(document.getElementById("graphiql")).render(
  React.createElement(GraphiQL, {
    fetcher,
    shouldPersistHeaders: false,
    defaultHeaders: '{\n  "Authorization": "Bearer "\n}',
    defaultQuery: "# Put a bearer token into the tab \"Headers\" below, then press Ctrl-Enter.\n{\n  me { kind principalId roles }\n  products(first: 5) { nodes { sku name price { amount currencyCode } inStock } }\n}\n",
  }),
);
