// Starts GraphiQL on /graphql. A bearer token goes into the tab "Headers"; it is not kept when the page is left.
const fetcher = GraphiQL.createFetcher({ url: "/graphql" });

ReactDOM.createRoot(document.getElementById("graphiql")).render(
  React.createElement(GraphiQL, {
    fetcher,
    shouldPersistHeaders: false,
    defaultHeaders: '{\n  "Authorization": "Bearer "\n}',
    defaultQuery: "# Put a bearer token into the tab \"Headers\" below, then press Ctrl-Enter.\n{\n  me { kind principalId roles }\n  products(first: 5) { nodes { sku name price { amount currencyCode } inStock } }\n}\n",
  }),
);
