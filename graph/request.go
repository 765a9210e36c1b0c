package graph

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"unicode/utf8"

	"github.com/99designs/gqlgen/graphql"

	"github.com/annalhq/annal/internal/fault"
)

// A refusal is a fault with the HTTP status that the protocol wants for it.
type refusal struct {
	status int
	error
}

func (r refusal) Unwrap() error { return r.error }

func refuse(status int, code, message string) error {
	return refusal{status, fault.New(fault.Invalid, code, message)}
}

// The refusals of HTTP.
var (
	errMethod    = refuse(http.StatusMethodNotAllowed, "METHOD_NOT_ALLOWED", "send queries by GET or POST and mutations by POST")
	errMedia     = refuse(http.StatusUnsupportedMediaType, "MEDIA_TYPE_UNSUPPORTED", "send application/json in UTF-8")
	errAccept    = refuse(http.StatusNotAcceptable, "NOT_ACCEPTABLE", "accept application/graphql-response+json or application/json")
	errTooLarge  = refuse(http.StatusRequestEntityTooLarge, "BODY_TOO_LARGE", "the request is larger than this API takes; send less at a time")
	errNotUTF8   = refuse(http.StatusBadRequest, "BODY_NOT_UTF8", "the body is not UTF-8")
	errBatch     = refuse(http.StatusBadRequest, "BATCHING_REFUSED", "send one operation a request")
	errBody      = refuse(http.StatusBadRequest, "BODY_MALFORMED", "the body is not a JSON object with query (string), operationName (string), variables (object), extensions (object)")
	errNoQuery   = refuse(http.StatusBadRequest, "QUERY_MISSING", "the request has no query")
	errParameter = refuse(http.StatusBadRequest, "PARAMETER_MALFORMED", "query and operationName are given once, variables and extensions once as JSON objects")
	errOrigin    = refusal{http.StatusForbidden, fault.New(fault.Denied, "CROSS_ORIGIN", "requests of other sites' pages are refused")}
	errQueryLong = fault.New(fault.Invalid, "QUERY_TOO_LONG", "the document is too long; put what varies into variables")
)

type params struct {
	Query         *string        `json:"query"`
	OperationName *string        `json:"operationName"`
	Variables     map[string]any `json:"variables"`
	Extensions    map[string]any `json:"extensions"`
}

// readParams reads the request of either method. Errors: refusals.
func readParams(w http.ResponseWriter, r *http.Request, maxBody int64) (*graphql.RawParams, error) {
	var p params
	var err error
	switch r.Method {
	case http.MethodPost:
		err = p.readBody(w, r, maxBody)
	case http.MethodGet:
		err = p.readURL(r.URL)
	default:
		err = errMethod
	}
	if err != nil {
		return nil, err
	}
	if p.Query == nil || *p.Query == "" {
		return nil, errNoQuery
	}
	query, whole := wholeCharacters(*p.Query)
	if !whole {
		return nil, errSurrogate
	}
	return &graphql.RawParams{Query: query, OperationName: value(p.OperationName), Variables: p.Variables, Extensions: p.Extensions}, nil
}

func (p *params) readBody(w http.ResponseWriter, r *http.Request, limit int64) error {
	if !isJSON(r.Header.Values("Content-Type")) {
		return errMedia
	}
	var body bytes.Buffer
	if n := r.ContentLength; n > 0 && n <= limit {
		body.Grow(int(n) + bytes.MinRead)
	}
	if _, err := body.ReadFrom(http.MaxBytesReader(w, r.Body, limit)); err != nil {
		if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
			return errTooLarge
		}
		return errBody
	}
	if !utf8.Valid(body.Bytes()) {
		return errNotUTF8
	}
	if start := bytes.TrimLeft(body.Bytes(), " \t\r\n"); len(start) > 0 && start[0] == '[' {
		return errBatch
	}
	return decode(body.String(), p)
}

// decode reads exactly one JSON value, with numbers as they are written.
func decode(text string, into any) error {
	if halved(text) {
		return errSurrogate
	}
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	if err := d.Decode(into); err != nil {
		return errBody
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errBody
	}
	return nil
}

func isJSON(contentType []string) bool {
	if len(contentType) != 1 {
		return false
	}
	if contentType[0] == plainJSON {
		return true
	}
	media, params, err := mime.ParseMediaType(contentType[0])
	charset, given := params["charset"]
	return err == nil && media == plainJSON && (!given || strings.EqualFold(charset, "utf-8"))
}

func (p *params) readURL(u *url.URL) error {
	values, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return errParameter
	}
	for name, given := range values {
		if len(given) != 1 || !utf8.ValidString(given[0]) {
			return errParameter
		}
		switch v := given[0]; name {
		case "query":
			p.Query = &v
		case "operationName":
			p.OperationName = &v
		case "variables":
			err = decode(v, &p.Variables)
		case "extensions":
			err = decode(v, &p.Extensions)
		}
		if errors.Is(err, errSurrogate) {
			return err
		}
		if err != nil {
			return errParameter
		}
	}
	return nil
}
