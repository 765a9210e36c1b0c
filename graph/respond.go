package graph

import (
	"bytes"
	"encoding/json"
	"mime"
	"net/http"
	"strconv"
	"strings"

	"github.com/vektah/gqlparser/v2/gqlerror"
)

// The media types of an answer.
const (
	graphqlJSON = "application/graphql-response+json"
	plainJSON   = "application/json"
)

// An answer is what goes back. Executed says that there is data, be it null; otherwise the request itself was refused and there
// is no data at all.
type answer struct {
	media    string
	status   int // of what HTTP itself refuses; 0 lets write choose
	executed bool
	data     json.RawMessage
	errors   gqlerror.List
	bytes    int
}

func (a *answer) code() string {
	if len(a.errors) == 0 {
		return "ok"
	}
	code, _ := a.errors[0].Extensions["code"].(string)
	return code
}

// write sends the answer by the GraphQL-over-HTTP specification: a refused document is a 400 where the caller knows the media type
// made for GraphQL; callers of application/json get 200, since they may take other statuses for a gateway's.
func (a *answer) write(w http.ResponseWriter) {
	if a.status == 0 {
		a.status = http.StatusOK
		if !a.executed && a.media == graphqlJSON {
			a.status = http.StatusBadRequest
		}
	}
	var b bytes.Buffer
	b.WriteByte('{')
	if len(a.errors) > 0 {
		b.WriteString(`"errors":`)
		encoded, err := json.Marshal(a.errors)
		if err != nil {
			encoded = []byte(`[{"message":"something went wrong on our side","extensions":{"code":"INTERNAL"}}]`) // strings always marshal
		}
		b.Write(encoded)
	}
	if a.executed {
		if len(a.errors) > 0 {
			b.WriteByte(',')
		}
		b.WriteString(`"data":`)
		if len(a.data) == 0 {
			b.WriteString("null")
		}
		b.Write(a.data)
	}
	b.WriteByte('}')
	header := w.Header()
	header.Set("Content-Type", a.media+"; charset=utf-8")
	header.Set("Content-Length", strconv.Itoa(b.Len()))
	header.Set("Cache-Control", "no-store")
	header.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(a.status)
	a.bytes, _ = w.Write(b.Bytes()) // the caller went away: nobody to tell
}

// mediaOf chooses the answer's media type by the Accept header: the highest weight, then the order given. "" if none of ours is
// acceptable.
func mediaOf(accept []string) string {
	if len(accept) == 0 {
		return plainJSON
	}
	if len(accept) == 1 && (accept[0] == plainJSON || accept[0] == graphqlJSON) {
		return accept[0]
	}
	best, weight := "", 0.0
	for part := range strings.SplitSeq(strings.Join(accept, ","), ",") {
		media, params, err := mime.ParseMediaType(part)
		if err != nil || params["charset"] != "" && !strings.EqualFold(params["charset"], "utf-8") {
			continue
		}
		q := 1.0
		if s, ok := params["q"]; ok {
			if q, err = strconv.ParseFloat(s, 64); err != nil {
				continue
			}
		}
		switch media {
		case "*/*", "application/*":
			media = plainJSON
		case plainJSON, graphqlJSON:
		default:
			continue
		}
		if q > weight {
			best, weight = media, q
		}
	}
	return best
}
