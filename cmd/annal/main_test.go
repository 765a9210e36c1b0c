package main

import (
	"bytes"
	"io"
	"net"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/uuid"
	"go.uber.org/goleak"
	"google.golang.org/grpc"

	"github.com/annalhq/annal/eventstore"
	"github.com/annalhq/annal/eventstore/server/servertest"
	"github.com/annalhq/annal/graph/model"
	"github.com/annalhq/annal/internal/fault"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestWhatIsNotUnderstoodIsRefused(t *testing.T) {
	home := []string{"ANNAL_HOME=" + t.TempDir(), "ANNAL_MODE=production"}
	for line, want := range map[string]string{
		"strems":                         `VERB_UNKNOWN did you mean streams?`,
		"frobnicate":                     `VERB_UNKNOWN it has completion, import, projections, store, streams, token`,
		"streams frob":                   `VERB_UNKNOWN annal streams has no verb "frob"; it has read`,
		"projections digst":              `VERB_UNKNOWN did you mean digest?`,
		"import online-retail":           "ARGUMENTS takes one file",
		"import report --frob":           "FLAG_INVALID unknown flag: --frob; see annal import report --help",
		"streams read --from x y":        `FLAG_INVALID invalid argument "x"`,
		"streams read order-1 --from -5": "FLAG_INVALID 0 or more",
		"streams read $all":              `STREAM_NAME "$all" is no stream`,
		"streams read order":             `STREAM_NAME "order" is no stream`,
		"store copy":                     "FLAG_INVALID --to is missing",
		"store copy --to esdb://u:p@h:1": "SECRET_ON_COMMAND_LINE --to @FILE",
		"store copy --to @/no/such":      "FILE_UNREADABLE open /no/such: no such file",
		"token issue":                    "DEVELOPMENT_ONLY development mode only",
		"import online-retail /dev/zero": "IMPORT_FILE not a file",
		"import online-retail /no/such":  "IMPORT_FILE open /no/such: no such file",
		"import report":                  "NO_IMPORT nothing was imported",
	} {
		refused(t, strings.Fields(line), home, want)
	}
	refused(t, []string{"streams", "read", ""}, home, `STREAM_NAME "" is no stream`)
}

// refused runs a command line that must fail with a code, and must tell what is wanted.
func refused(t *testing.T, args, environ []string, want string) {
	t.Helper()
	var out, stderr bytes.Buffer
	err := execute(t.Context(), args, environ, &out, &stderr)
	code, words, _ := strings.Cut(want, " ")
	if fault.CodeOf(err) != code || !strings.Contains(stderr.String(), words) || out.Len() > 0 {
		t.Errorf("annal %q: %s: %q and %q, want %s", args, fault.CodeOf(err), stderr.String(), out.String(), want)
	}
	if exit := fault.KindOf(err).Exit(); strings.HasSuffix(code, "UNKNOWN") && exit != 2 {
		t.Errorf("annal %q exits with %d", args, exit)
	}
}

func TestWithoutAHomeItSaysHowToGetOne(t *testing.T) {
	home := filepath.Join(t.TempDir(), "none")
	for _, line := range []string{"streams read order-1", "token issue --id ada --role admin", "projections digest", "import report"} {
		refused(t, strings.Fields(line), []string{"ANNAL_HOME=" + home}, "NO_HOME no home at "+home+": run make start, or set ANNAL_HOME, or ANNAL_MODE and the URLs")
	}
	var help bytes.Buffer
	if err := execute(t.Context(), []string{"--help"}, nil, &help, io.Discard); err != nil || !strings.Contains(help.String(), "ANNAL_HOME") {
		t.Errorf("%v: %s", err, &help)
	}
}

func TestServersThatAreAwayAreNamedWithoutTheirPassword(t *testing.T) {
	environ := []string{"ANNAL_HOME=" + t.TempDir(), "ANNAL_MODE=development", "ANNAL_EVENTSTORE_URL=esdb://u:secret@127.0.0.1:9?tls=false",
		"ANNAL_POSTGRES_URL=postgres://u:secret@127.0.0.1:9/annal"}
	refused(t, []string{"streams", "read", "order-1"}, environ,
		"STORE_UNAVAILABLE annal: the event store does not answer; try again (asked: event store at 127.0.0.1:9); is annald running? (make start) [STORE_UNAVAILABLE]\n")
	refused(t, []string{"projections", "digest"}, environ,
		"POSTGRES_UNAVAILABLE annal: PostgreSQL does not answer; try again (asked: PostgreSQL at 127.0.0.1:9); is annald running? (make start) [POSTGRES_UNAVAILABLE]\n")
}

// TestAStoreThatIsNoneIsToldInOurWords: something that speaks gRPC and has none of the store's services answers.
func TestAStoreThatIsNoneIsToldInOurWords(t *testing.T) {
	lis, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer()
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(lis) }()
	defer func() {
		server.Stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}()
	at := lis.Addr().String()
	refused(t, []string{"streams", "read", "order-1"}, []string{"ANNAL_HOME=" + t.TempDir(), "ANNAL_EVENTSTORE_URL=esdb://" + at + "?tls=false"},
		"STORE_REFUSED annal: the event store answered with an error that should not happen: status Unimplemented (asked: event store at "+at+"); its log says more [STORE_REFUSED]\n")
}

func TestAStreamIsReadByNameAndByGlobalID(t *testing.T) {
	store := servertest.StartAt(t, t.TempDir(), "127.0.0.1:0")
	defer store.Stop()
	client, err := eventstore.Open(store.URL, eventstore.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	for _, stream := range []eventstore.Stream{"order-o1", "inventory-MUG-1", "product-MUG-1"} {
		event := eventstore.Event{ID: uuid.New(), Type: "thing.done.v1", Data: []byte(`{"a":"<b>"}`), Metadata: []byte(`{}`)}
		if _, err := client.Append(t.Context(), stream, eventstore.NoStream, []eventstore.Event{event}); err != nil {
			t.Fatal(err)
		}
	}
	environ := []string{"ANNAL_HOME=" + t.TempDir(), "ANNAL_EVENTSTORE_URL=" + store.URL}
	for said, stream := range map[string]string{"order-o1": "order-o1", model.GlobalID("Order", "o1"): "order-o1",
		model.GlobalID("Stock", "MUG-1"): "inventory-MUG-1", model.GlobalID("Product", "MUG-1"): "product-MUG-1"} {
		var out bytes.Buffer
		err := execute(t.Context(), []string{"streams", "read", said}, environ, &out, io.Discard)
		if err != nil || !strings.HasPrefix(out.String(), `{"stream":"`+stream+`","revision":0,`) || !strings.Contains(out.String(), `{"a":"<b>"}`) {
			t.Errorf("%s: %v, %s", said, err, &out)
		}
	}
	refused(t, []string{"streams", "read", model.GlobalID("Order", "none")}, environ,
		"STREAM_NOT_FOUND annal: the event store at "+address(store.URL)+" has no stream order-none [STREAM_NOT_FOUND]\n")
	refused(t, []string{"streams", "read", "01h2-XCEJ-QTF2"}, environ, `STREAM_NOT_FOUND this is the number of an order, whose stream is order-<id>: the API tells the id, orders(filter: {number: "01H2-XCEJ-QTF2"})`)
	refused(t, []string{"streams", "read", "orders-o1"}, environ, "STREAM_NOT_FOUND the shop's are called order-<id>, product-<sku>")
	refused(t, []string{"streams", "read", "01h2xcejqtf2nbrexx3vqjhp41"}, environ, "STREAM_NAME as in order-01h2xcejqtf2nbrexx3vqjhp41;")
	refused(t, []string{"streams", "read", model.GlobalID("Secret", "x")}, environ, "STREAM_NAME is no stream")
}

// What may be wrong with a store's URL is told in a sentence that says what to do.
func TestAStoreThatDoesNotAnswerIsLookedAt(t *testing.T) {
	secured, plain := servertest.StartSecured(t, servertest.Someone("shop", "writer")), servertest.Start(t)
	secret := secured.As("shop")
	for url, want := range map[string]string{
		"esdb://" + address(secret) + "?tls=false":   "STORE_UNAVAILABLE it speaks TLS: take tls=false out of its URL",
		"esdb://" + address(secret):                  "STORE_UNAVAILABLE nobody whom this machine trusts vouches for its certificate: name the file of its authority",
		"esdb://u:secret@" + address(plain):          "STORE_UNAVAILABLE it speaks no TLS: say tls=false in its URL",
		"esdb://no-such-host.invalid:2113?tls=false": "STORE_UNAVAILABLE no-such-host.invalid",
		secured.With("shop", "wrong"):                "STORE_CREDENTIALS see user and password in ANNAL_EVENTSTORE_URL, and the user's roles (asked: event store at " + address(secret) + ") [STORE_CREDENTIALS]\n",
	} {
		environ := []string{"ANNAL_HOME=" + t.TempDir(), "ANNAL_MODE=development", "ANNAL_EVENTSTORE_URL=" + url}
		var stderr bytes.Buffer
		err := execute(t.Context(), []string{"streams", "read", "order-1"}, environ, io.Discard, &stderr)
		if code, words, _ := strings.Cut(want, " "); fault.CodeOf(err) != code || !strings.Contains(stderr.String(), words) {
			t.Errorf("%s, want %s", &stderr, want)
		}
		for _, raw := range []string{"rpc error", "code =", "transport:", "secret"} {
			if strings.Contains(stderr.String(), raw) {
				t.Errorf("%v: %s", err, &stderr)
			}
		}
	}
}

func TestATokenNeedsAKnownRoleOfItsKind(t *testing.T) {
	environ := []string{"ANNAL_HOME=" + t.TempDir(), "ANNAL_MODE=development"}
	for line, fine := range map[string]bool{
		"--kind customer --id c-1 --role customer":     true,
		"--kind staff --id ada --role admin":           true,
		"--kind customer --id c-1 --role admin":        false,
		"--kind staff --id ada --role customer":        false,
		"--kind staff --id ada --role god":             false,
		"--kind staff --id ada":                        false,
		"--kind staff --id ada --role importer":        false,
		"--kind robot --id x --role admin":             false,
		"--kind staff --role admin":                    false,
		"--kind staff --id ada --role admin --for -1h": false,
	} {
		var out bytes.Buffer
		err := execute(t.Context(), append([]string{"token", "issue"}, strings.Fields(line)...), environ, &out, io.Discard)
		if (err == nil) != fine || (out.Len() > 0) != fine {
			t.Errorf("annal token issue %s: %q, %v", line, out.String(), err)
		}
	}
}

func TestARefusedTokenSaysWhatIsMissing(t *testing.T) {
	environ := []string{"ANNAL_HOME=" + t.TempDir(), "ANNAL_MODE=development"}
	for line, want := range map[string]string{
		"--kind staff --role admin":                     "(--id)",
		"--kind staff --id ada --role admin --for -1h":  "--for says how long",
		"--kind staff --id ada":                         "(--role)",
		"--kind staff --id ada --role god":              `"god" is no role`,
		"--kind robot --id ada --role admin":            "--kind is customer, staff or service",
		"--kind service --id ada --role customer":       "belongs to the kind customer",
		"--kind staff --id ada --role admin --for soon": `invalid argument "soon"`,
	} {
		refused(t, append([]string{"token", "issue"}, strings.Fields(line)...), environ, "FLAG_INVALID "+want)
	}
}
