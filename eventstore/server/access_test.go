package server_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/persistent"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/serverfeatures"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/annalhq/annal/eventstore/engine"
	"github.com/annalhq/annal/eventstore/server"
	"github.com/annalhq/annal/eventstore/server/access"
	"github.com/annalhq/annal/eventstore/server/servertest"
	"github.com/annalhq/annal/internal/fault"
)

// dialTLS returns a bare connection to a secured store.
func dialTLS(t testing.TB, s *servertest.Secured) *grpc.ClientConn {
	t.Helper()
	creds, err := credentials.NewClientTLSFromFile(s.CAFile, "")
	if err != nil {
		t.Fatal(err)
	}
	c, err := grpc.NewClient(s.Addr(), grpc.WithTransportCredentials(creds))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// as sends the user's credentials with whatever is called under the context; nobody's if the name is empty.
func as(t testing.TB, name, password string) context.Context {
	if name == "" {
		return within(t)
	}
	return header(t, "Basic "+base64.StdEncoding.EncodeToString([]byte(name+":"+password)))
}

func header(t testing.TB, values ...string) context.Context {
	ctx := within(t)
	for _, v := range values {
		ctx = metadata.AppendToOutgoingContext(ctx, "authorization", v)
	}
	return ctx
}

func TestEveryCallHasARule(t *testing.T) {
	db, err := engine.Open(t.TempDir(), engine.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	s, err := server.New(db, server.Config{})
	if err != nil {
		t.Fatal(err)
	}
	served := s.Served()
	if len(served) < 7 {
		t.Fatalf("only %v are served: the test walks nothing", served)
	}
	for method := range served {
		if !server.HasRule(method) {
			t.Errorf("%s is served and has no row in rules.go: nobody may call it", method)
		}
	}
	for _, method := range server.RuledMethods() {
		if !served[method] {
			t.Errorf("%s has a row in rules.go and is not served", method)
		}
	}
}

// calls makes one call of each kind and returns how it ended. What is called is of no use, so that only access decides between denied
// and anything else.
func calls(c *grpc.ClientConn) map[string]func(context.Context) error {
	api, groups := streams.NewStreamsClient(c), persistent.NewPersistentSubscriptionsClient(c)
	return map[string]func(context.Context) error{
		"features": func(ctx context.Context) error {
			_, err := serverfeatures.NewServerFeaturesClient(c).GetSupportedMethods(ctx, &shared.Empty{})
			return err
		},
		"read": func(ctx context.Context) error {
			r, err := api.Read(ctx, &streams.ReadReq{})
			if err == nil {
				_, err = r.Recv()
			}
			return err
		},
		"append": func(ctx context.Context) error {
			a, err := api.Append(ctx)
			if err == nil {
				_, err = a.CloseAndRecv()
			}
			return err
		},
		"batch": func(ctx context.Context) error {
			b, err := api.BatchAppend(ctx)
			if err == nil {
				_ = b.Send(&streams.BatchAppendReq{})
				_, err = b.Recv()
			}
			return err
		},
		"delete":    func(ctx context.Context) error { _, err := api.Delete(ctx, &streams.DeleteReq{}); return err },
		"tombstone": func(ctx context.Context) error { _, err := api.Tombstone(ctx, &streams.TombstoneReq{}); return err },
		"group":     func(ctx context.Context) error { _, err := groups.Create(ctx, &persistent.CreateReq{}); return err },
	}
}

func TestWhoMayCallWhat(t *testing.T) {
	s := servertest.StartSecured(t, servertest.Someone("ada", "admin"), servertest.Someone("shop", "writer"),
		servertest.Someone("relay", "reader"), servertest.Someone("olga", "ops"))
	all := calls(dialTLS(t, s))
	for user, may := range map[string]string{
		"":      "features",
		"relay": "features read",
		"olga":  "features read group",
		"shop":  "features read append batch",
		"ada":   "features read append batch delete tombstone group",
	} {
		for name, call := range all {
			err := call(as(t, user, servertest.Password(user)))
			allowed := slices.Contains(strings.Fields(may), name)
			if denied := status.Code(err) == codes.PermissionDenied; denied == allowed || status.Code(err) == codes.Unauthenticated {
				t.Errorf("%q calls %s: %v", user, name, err)
			}
		}
	}
	// A wrong password is said before anything else is looked at, also by what is open to everybody.
	for name, call := range all {
		for what, ctx := range map[string]context.Context{
			"another password": as(t, "ada", "guess"), "nobody": as(t, "eve", "guess"), "no password": as(t, "ada", ""), "no colon": header(t, "Basic YWRh"),
			"bearer": header(t, "Bearer abc"), "no base64": header(t, "Basic ???"), "empty": header(t, ""), "default": as(t, "admin", "changeit"),
			"two": header(t, "Basic YTpi", "Basic YTpi"),
		} {
			if err := call(ctx); status.Code(err) != codes.Unauthenticated {
				t.Errorf("%s, %s: %v", name, what, err)
			}
		}
	}
}

func TestTheOfficialClientIsToldAsItsOwnServerTells(t *testing.T) {
	s := servertest.StartSecured(t, servertest.Someone("shop", "writer"), servertest.Someone("relay", "reader"))
	appendAs := func(url string) error {
		c := connect(t, url)
		for {
			_, err := c.AppendToStream(within(t), "order-1", esdb.AppendToStreamOptions{ExpectedRevision: esdb.Any{}}, numbered(1))
			if err != nil && strings.Contains(err.Error(), "could not send append request") {
				continue // it was refused before it had sent everything: then the client doesn't look why
			}
			return err
		}
	}
	if err := appendAs(s.As("shop")); err != nil {
		t.Error(err)
	}
	if err := appendAs(s.As("relay")); codeOf(err) != esdb.ErrorCodeAccessDenied {
		t.Errorf("a reader appends: %v", err)
	}
	if err := appendAs(s.URL); codeOf(err) != esdb.ErrorCodeAccessDenied {
		t.Errorf("nobody appends: %v", err)
	}
	if err := appendAs(s.With("shop", "changeit")); codeOf(err) != esdb.ErrorCodeUnauthenticated {
		t.Errorf("a wrong password: %v", err)
	}
	in, err := streams.NewStreamsClient(dialTLS(t, s)).Append(within(t))
	if err != nil {
		t.Fatal(err)
	}
	_, err = in.CloseAndRecv()
	if status.Code(err) != codes.PermissionDenied || strings.Join(in.Trailer().Get("exception"), "") != "access-denied" {
		t.Errorf("%v, trailers %v", err, in.Trailer())
	}
	discover := connect(t, strings.Replace(s.As("shop"), "esdb:", "esdb+discover:", 1)) // gossip is asked without credentials
	if _, err := discover.AppendToStream(within(t), "order-1", esdb.AppendToStreamOptions{ExpectedRevision: esdb.Any{}}, numbered(2)); err != nil {
		t.Error(err)
	}
	insecure := connect(t, "esdb://"+s.Addr()+"?tls=false")
	if _, err := insecure.AppendToStream(within(t), "order-1", esdb.AppendToStreamOptions{ExpectedRevision: esdb.Any{}}, numbered(3)); err == nil {
		t.Error("appended without TLS")
	}
}

// tryAppend sends one append each way and returns both refusals.
func tryAppend(t *testing.T, c *grpc.ClientConn, user, stream, kind, data string) (plain, batch codes.Code) {
	t.Helper()
	api := streams.NewStreamsClient(c)
	in, err := api.Append(as(t, user, servertest.Password(user)))
	if err != nil {
		t.Fatal(err)
	}
	_ = in.Send(appendTo(stream))
	_ = in.Send(proposing(kind, []byte(data)))
	_, err = in.CloseAndRecv()
	b, err2 := api.BatchAppend(as(t, user, servertest.Password(user)))
	if err2 != nil {
		t.Fatal(err2)
	}
	_ = b.Send(&streams.BatchAppendReq{CorrelationId: textID(), IsFinal: true,
		Options: &streams.BatchAppendReq_Options{StreamIdentifier: &shared.StreamIdentifier{StreamName: []byte(stream)},
			ExpectedStreamPosition: &streams.BatchAppendReq_Options_Any{Any: &emptypb.Empty{}}},
		ProposedMessages: []*streams.BatchAppendReq_ProposedMessage{batched(kind, []byte(data))}})
	answer, err3 := b.Recv()
	if err3 != nil {
		return status.Code(err), status.Code(err3)
	}
	return status.Code(err), codes.Code(answer.GetError().GetCode())
}

func TestTheStoresOwnStreamsAndMetadata(t *testing.T) {
	s := servertest.StartSecured(t, servertest.Someone("ada", "admin"), servertest.Someone("shop", "writer"))
	c := dialTLS(t, s)
	for _, x := range []struct {
		user, stream, data string
		want               codes.Code
	}{
		{"shop", "order-1", `{}`, codes.OK},
		{"shop", "$settings", `{}`, codes.PermissionDenied},
		{"ada", "$settings", `{}`, codes.OK},
		{"shop", "$$order-1", `{"$maxCount":1}`, codes.OK},
		{"shop", "$$order-1", `{"$maxCount":`, codes.OK}, // broken: has no effect, as with the server whose protocol this is
		{"shop", "$$order-1", `{"$tb":4}`, codes.PermissionDenied},
		{"shop", "$$order-1", `{"$TB":4}`, codes.PermissionDenied},
		{"ada", "$$order-1", `{"$tb":0}`, codes.OK},
		{"shop", "$$$settings", `{"$maxCount":1}`, codes.PermissionDenied},
		{"ada", "$$$settings", `{"$maxCount":1}`, codes.OK},
		{"shop", "$$order-1", `{"$acl":{"$r":"shop"}}`, codes.Unimplemented},
		{"ada", "$$order-1", `{"a":1,"\u0024acl":null}`, codes.Unimplemented},
		{"ada", "order-1", `{"$acl":{"$r":"ada"}}`, codes.OK}, // an event like any other
	} {
		plain, batch := tryAppend(t, c, x.user, x.stream, "$metadata", x.data)
		if plain != x.want || batch != x.want {
			t.Errorf("%s writes %s to %s: %v and %v, want %v", x.user, x.data, x.stream, plain, batch, x.want)
		}
	}
	plain, batch := tryAppend(t, dial(t, servertest.Start(t)), "", "$$order-1", "$metadata", `{"$acl":{"$r":"x"}}`)
	if plain != codes.OK || batch != codes.OK {
		t.Errorf("without users nobody looks: %v %v", plain, batch)
	}
}

func TestAChangedUserLosesWhatIsOpen(t *testing.T) {
	s := servertest.StartSecured(t, servertest.Someone("ada", "admin"), servertest.Someone("shop", "writer"), servertest.Someone("relay", "reader"))
	c := dialTLS(t, s)
	api := streams.NewStreamsClient(c)
	subscribe := func(user string) streams.Streams_ReadClient {
		r, err := api.Read(as(t, user, servertest.Password(user)), request(subscribing))
		if err == nil {
			_, err = r.Recv() // the confirmation
		}
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	gone, stays := subscribe("relay"), subscribe("ada")
	b, err := api.BatchAppend(as(t, "shop", servertest.Password("shop")))
	if err != nil {
		t.Fatal(err)
	}
	half, err := api.Append(as(t, "shop", servertest.Password("shop"))) // begun with a right that is gone when it ends
	if err != nil {
		t.Fatal(err)
	}
	_ = half.Send(appendTo("order-1"))
	if err := access.Remove(s.UsersFile, "relay"); err != nil {
		t.Fatal(err)
	}
	if _, err := access.Put(s.UsersFile, servertest.Someone("shop", "reader")); err != nil {
		t.Fatal(err)
	}
	for {
		if _, err = gone.Recv(); err != nil {
			break
		}
	}
	if status.Code(err) != codes.Unauthenticated || !strings.Contains(err.Error(), "changed or removed") {
		t.Errorf("the removed user's subscription: %v", err)
	}
	if _, err := b.Recv(); status.Code(err) != codes.Unauthenticated {
		t.Errorf("the changed user's appends: %v", err)
	}
	if _, err := half.CloseAndRecv(); status.Code(err) != codes.Unauthenticated {
		t.Errorf("the changed user's append: %v", err)
	}
	if err := calls(c)["append"](as(t, "shop", servertest.Password("shop"))); status.Code(err) != codes.PermissionDenied {
		t.Errorf("a writer that became a reader: %v", err)
	}
	write(t, connect(t, s.As("ada")), "order-2", esdb.Any{}, 1)
	for {
		m, err := stays.Recv()
		if err != nil {
			t.Fatalf("who did not change: %v", err)
		}
		if m.GetEvent() != nil {
			break
		}
	}
}

func TestTheCertificateIsRenewedWithoutARestart(t *testing.T) {
	s := servertest.StartSecured(t, servertest.Someone("ada", "admin"))
	c := connect(t, s.As("ada"))
	write(t, c, "order-1", esdb.NoStream{}, 1)
	want, bound := s.Renew(t), within(t)
	for served := (&big.Int{}); served.Cmp(want) != 0; {
		if bound.Err() != nil {
			t.Fatal("the old certificate is still served")
		}
		served = serial(t, s)
	}
	write(t, c, "order-1", esdb.StreamExists{}, 2) // the old connection goes on
	if err := os.WriteFile(s.KeyFile, []byte("half a key"), 0o600); err != nil {
		t.Fatal(err)
	}
	for range 20 {
		if serial(t, s).Cmp(want) != 0 {
			t.Fatal("a broken key was taken over")
		}
	}
}

func serial(t *testing.T, s *servertest.Secured) *big.Int {
	t.Helper()
	pem, err := os.ReadFile(s.CAFile)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	conn, err := tls.Dial("tcp", s.Addr(), &tls.Config{RootCAs: roots, NextProtos: []string{"h2"}})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	return conn.ConnectionState().PeerCertificates[0].SerialNumber
}

func TestWhatCanNotBeSafeIsRefusedAtStart(t *testing.T) {
	s := servertest.StartSecured(t, servertest.Someone("ada", "admin"))
	db, err := engine.Open(t.TempDir(), engine.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	empty := filepath.Join(t.TempDir(), "users")
	if err := os.WriteFile(empty, []byte("# nobody yet\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for code, cfg := range map[string]server.Config{
		"TLS_INCOMPLETE":          {TLSCert: s.CertFile},
		"STORE_USERS_NONE":        {TLSCert: s.CertFile, TLSKey: s.KeyFile},
		"STORE_USERS_WITHOUT_TLS": {Users: s.UsersFile},
		"TLS_UNREADABLE":          {TLSCert: s.KeyFile, TLSKey: s.KeyFile, Users: s.UsersFile},
		"STORE_USERS_UNREADABLE":  {TLSCert: s.CertFile, TLSKey: s.KeyFile, Users: filepath.Join(t.TempDir(), "none")},
		"STORE_USERS_MALFORMED":   {TLSCert: s.CertFile, TLSKey: s.KeyFile, Users: s.CertFile},
	} {
		if _, err := server.New(db, cfg); fault.CodeOf(err) != code || fault.KindOf(err) != fault.Invalid {
			t.Errorf("want %s, got %v", code, err)
		}
	}
	if _, err := server.New(db, server.Config{TLSCert: s.CertFile, TLSKey: s.KeyFile, Users: empty}); fault.CodeOf(err) != "STORE_USERS_NONE" {
		t.Error(err)
	}
}

func TestWithoutTLSItListensOnLoopbackOnly(t *testing.T) {
	db, err := engine.Open(t.TempDir(), engine.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	secured := servertest.StartSecured(t, servertest.Someone("ada", "admin"))
	everywhere, near := &net.TCPAddr{IP: net.IPv4zero, Port: 1}, &net.TCPAddr{IP: net.IPv6loopback, Port: 1}
	for _, x := range []struct {
		cfg     server.Config
		address net.Addr
		code    string
	}{
		{server.Config{}, near, ""},
		{server.Config{}, &net.TCPAddr{IP: net.IPv4(127, 0, 0, 2)}, ""},
		{server.Config{}, everywhere, "STORE_EXPOSED"},
		{server.Config{}, &net.TCPAddr{IP: net.IPv6unspecified}, "STORE_EXPOSED"},
		{server.Config{}, &net.TCPAddr{}, "STORE_EXPOSED"},
		{server.Config{}, &net.TCPAddr{IP: net.IPv4(10, 1, 2, 3)}, "STORE_EXPOSED"},
		{server.Config{Insecure: true}, everywhere, ""},
		{server.Config{TLSCert: secured.CertFile, TLSKey: secured.KeyFile, Users: secured.UsersFile}, everywhere, ""},
	} {
		if err := x.cfg.Permits(x.address); fault.CodeOf(err) != x.code && (err != nil || x.code != "") {
			t.Errorf("%v: %v, want %q", x.address, err, x.code)
		}
	}
	s, err := server.New(db, server.Config{})
	if err != nil {
		t.Fatal(err)
	}
	listener := exposed{addr: everywhere}
	if err := s.Serve(within(t), listener); fault.CodeOf(err) != "STORE_EXPOSED" || !strings.Contains(err.Error(), "ANNAL_EVENTSTORE_INSECURE") {
		t.Errorf("serving: %v", err)
	}
}

// exposed is a listener that nothing is listening on: no port of this machine is opened to others.
type exposed struct {
	net.Listener
	addr net.Addr
}

func (e exposed) Addr() net.Addr { return e.addr }

func TestDenialsAreLoggedWithoutPasswordsAndNotForEver(t *testing.T) {
	var log strings.Builder
	s := servertest.StartSecuredWith(t, server.Config{Logger: slog.New(slog.NewTextHandler(&log, nil))}, servertest.Someone("ada", "admin"))
	read := calls(dialTLS(t, s))["read"]
	for n := range 30 {
		if err := read(as(t, "hunter2", fmt.Sprint("hunter", n))); status.Code(err) != codes.Unauthenticated {
			t.Fatal(err)
		}
	}
	s.Stop()
	if text := log.String(); strings.Count(text, "wrong credentials") != 1 || strings.Contains(text, "hunter") || !strings.Contains(text, "from=127.0.0.1") {
		t.Error(text)
	}
}

// BenchmarkAuthenticatedAppend compares appends with and without credentials: a password that was seen costs a keyed hash.
func BenchmarkAuthenticatedCall(b *testing.B) {
	s := servertest.StartSecured(b, servertest.Someone("ada", "admin"))
	features := calls(dialTLS(b, s))["features"]
	for name, ctx := range map[string]context.Context{"anonymous": within(b), "password": as(b, "ada", servertest.Password("ada"))} {
		ctx = context.WithoutCancel(ctx)
		if err := features(ctx); err != nil {
			b.Fatal(err)
		}
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if err := features(ctx); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func TestAConsumersUserIsTold(t *testing.T) {
	s := servertest.StartSecured(t, servertest.Someone("ada", "admin"), servertest.Someone("rea", "reader"))
	admin := connect(t, s.As("ada"))
	createGroup(t, admin, "order-1", "g", esdb.Start{}, settings(nil))
	subscribe(t, connect(t, s.As("rea")), "order-1", "g", 1)
	info, err := admin.GetPersistentSubscriptionInfo(within(t), "order-1", "g", esdb.GetPersistentSubscriptionOptions{})
	if err != nil || len(info.Connections) != 1 || info.Connections[0].Username != "rea" {
		t.Errorf("%v: %+v", err, info)
	}
}
