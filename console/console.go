// Package console serves what people look at in a browser: GraphiQL, at /graphiql.
//
// Everything is embedded and comes from this process alone: the page works on a machine without internet, and its content
// security policy forbids every other host, so that a file of another version can't quietly bring one back. The page holds no
// secrets; a token typed into it is sent to /graphql of the same origin and forgotten with the page.
//
// graphiql/dist is made by graphiql/build.mjs from npm packages pinned in graphiql/package-lock.json and is committed. The caller is
// cmd/annald. There is nothing to fail: what is not there is a 404.
package console

import (
	"embed"
	"io/fs"
	"net/http"
)

//go:embed graphiql/dist
var files embed.FS

// policy allows this origin alone; GraphiQL styles its elements in place and carries its fonts and icons inside its style sheet.
const policy = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; font-src 'self' data:; " +
	"connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// GraphiQL returns the handler of /graphiql and everything below it.
func GraphiQL() (http.Handler, error) {
	dist, err := fs.Sub(files, "graphiql/dist")
	if err != nil {
		return nil, err
	}
	assets := http.StripPrefix("/graphiql/", http.FileServerFS(dist))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		header := w.Header()
		header.Set("Content-Security-Policy", policy)
		header.Set("X-Content-Type-Options", "nosniff")
		header.Set("Referrer-Policy", "no-referrer")
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			header.Set("Allow", "GET, HEAD")
			w.WriteHeader(http.StatusMethodNotAllowed)
			return
		}
		if r.URL.Path == "/graphiql" || r.URL.Path == "/graphiql/" {
			http.ServeFileFS(w, r, dist, "index.html")
			return
		}
		assets.ServeHTTP(w, r)
	}), nil
}
