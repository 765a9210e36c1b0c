package rabbit

import (
	"bytes"
	"encoding/json"
	"flag"
	"net/http"
	"net/url"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/annalhq/annal/internal/testenv"
)

var updateDefinitions = flag.Bool("update-definitions", false, "write deploy/rabbitmq/definitions.json")

const definitionsFile = "../../deploy/rabbitmq/definitions.json"

func TestTheDefinitionsFileIsUpToDate(t *testing.T) {
	want, err := Definitions("/")
	must(t, err)
	if *updateDefinitions {
		must(t, os.WriteFile(definitionsFile, want, 0o644))
	}
	got, err := os.ReadFile(definitionsFile)
	must(t, err)
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("run go test ./internal/rabbit -run Definitions -update-definitions (-topology +file):\n%s", diff)
	}
}

// What an operator imports and what a program declares must be the same to the last argument, or the program refuses to start.
func TestImportedDefinitionsAreWhatWeDeclare(t *testing.T) {
	t.Parallel()
	b := open(t, testenv.RabbitMQ(t))
	u, err := url.Parse(b.cfg.URL)
	must(t, err)
	body, err := Definitions(u.Path[1:])
	must(t, err)
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, testenv.ManagementURL(t)+"/api/definitions"+u.Path, bytes.NewReader(vhostPart(t, body)))
	must(t, err)
	request.Header.Set("Content-Type", "application/json")
	response, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(request)
	must(t, err)
	defer response.Body.Close()
	if response.StatusCode >= 300 {
		t.Fatal(response.Status)
	}
	must(t, b.Declare(t.Context(), Topology()))
}

// vhostPart leaves out what an import into one vhost must not name.
func vhostPart(t *testing.T, body []byte) []byte {
	t.Helper()
	var d map[string]any
	must(t, json.Unmarshal(body, &d))
	delete(d, "vhosts")
	out, err := json.Marshal(d)
	must(t, err)
	return out
}
