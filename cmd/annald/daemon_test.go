package main

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/annalhq/annal/internal/config"
	"github.com/annalhq/annal/internal/fault"
	"github.com/annalhq/annal/internal/testenv"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func settings(t *testing.T, more ...string) config.Config {
	t.Helper()
	cfg, err := config.Parse(append([]string{
		"ANNAL_MODE=development", "ANNAL_HOME=" + t.TempDir(), "ANNAL_POSTGRES_URL=" + testenv.Postgres(t), "ANNAL_RABBITMQ_URL=" + testenv.RabbitMQ(t),
		"ANNAL_HTTP_LISTEN=127.0.0.1:0", "ANNAL_ADMIN_LISTEN=127.0.0.1:0", "ANNAL_EVENTSTORE_LISTEN=127.0.0.1:0", "ANNAL_DRAIN_TIMEOUT=5s",
	}, more...))
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

func get(t *testing.T, url string) (int, string) {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 10 * time.Second}
	resp, err := client.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(text)
}

func TestADaemonIsReadyAndDrains(t *testing.T) {
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	var logs bytes.Buffer
	d, err := New(ctx, settings(t), "all", &logs)
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- d.Run(ctx) }()
	if code, text := get(t, "http://"+d.HTTPAddr()+"/readyz?verbose"); code != 200 || !strings.Contains(text, "[+]postgres queries ok\n") {
		t.Errorf("readyz: %d %s", code, text)
	}
	if code, _ := get(t, "http://"+d.HTTPAddr()+"/livez"); code != 200 {
		t.Errorf("livez: %d", code)
	}
	if code, text := get(t, "http://"+d.AdminAddr()+"/metrics"); code != 200 || !strings.Contains(text, "annal_build_info") {
		t.Errorf("metrics: %d %s", code, text)
	}
	stop()
	select {
	case err := <-ended:
		if err != nil {
			t.Fatal(err)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("it does not drain")
	}
	if text := logs.String(); !strings.Contains(text, `"roles":["eventstore","relay","projector","worker","api"]`) || strings.Contains(text, `"level":"WARN"`) {
		t.Errorf("the log does not say which roles run, or warns of nothing:\n%s", text)
	}
	if strings.Contains(logs.String(), "postgres://") {
		t.Errorf("a URL is in the log:\n%s", &logs)
	}
}

func TestARefusedStartSaysWhyAndLeavesNothingOpen(t *testing.T) {
	cfg := settings(t)
	taken, err := New(context.Background(), cfg, "all", io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := taken.close(context.Background()); err != nil {
			t.Error(err)
		}
	}()
	twice, away, none := cfg, cfg, cfg
	twice.HTTPListen = taken.HTTPAddr()
	away.PostgresURL = "postgres://annal:x@127.0.0.1:1/annal"
	none.PostgresURL = ""
	for _, tc := range []struct {
		cfg         config.Config
		roles, code string
	}{
		{cfg, "", "ROLE_UNKNOWN"},
		{cfg, "all,banana", "ROLE_UNKNOWN"},
		{cfg, "worker=", "ROLE_UNKNOWN"},
		{twice, "all", "ADDRESS_IN_USE"},
		{away, "all", "POSTGRES_UNAVAILABLE"},
		{none, "all", "SETTING_INVALID"},
	} {
		if _, err := New(context.Background(), tc.cfg, tc.roles, io.Discard); fault.CodeOf(err) != tc.code {
			t.Errorf("%s: want %s, got %v", tc.roles, tc.code, err)
		}
	}
}

func TestRoleLists(t *testing.T) {
	for list, want := range map[string]selection{
		"all":                                {all: true},
		"api":                                {roles: []role{roleAPI}},
		"api,worker=payment,inventory,relay": {roles: []role{roleAPI, roleWorker, roleRelay}, contexts: []string{"payment", "inventory"}},
		"worker, notary":                     {roles: []role{roleWorker, roleNotary}},
	} {
		got, err := parseRoles(list)
		if diff := cmp.Diff(want, got, cmp.AllowUnexported(selection{})); err != nil || diff != "" {
			t.Errorf("%s: %v %s", list, err, diff)
		}
	}
}

func TestWithoutRolesItSaysHowToGiveThem(t *testing.T) {
	if _, err := parseRoles(" "); fault.MessageOf(err) != "no roles were given; say "+howToSay {
		t.Error(err)
	}
}

func TestPrintConfigAndBadFlags(t *testing.T) {
	var out bytes.Buffer
	if err := execute(context.Background(), []string{"--print-config"}, []string{"ANNAL_POSTGRES_URL=postgres://a:hunter2@h/d"}, &out, io.Discard); err != nil {
		t.Fatal(err)
	}
	if text := out.String(); !strings.Contains(text, "ANNAL_POSTGRES_URL=postgres://a:xxxxx@h/d") || strings.Contains(text, "hunter2") {
		t.Fatal(text)
	}
	for _, args := range [][]string{{"--role", "api"}, {"api"}} {
		if err := execute(context.Background(), args, nil, io.Discard, io.Discard); fault.CodeOf(err) != "FLAG_INVALID" {
			t.Errorf("%v: %v", args, err)
		}
	}
}
