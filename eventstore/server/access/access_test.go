package access

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"go.uber.org/goleak"

	"github.com/annalhq/annal/internal/fault"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// cheap makes a line whose hash costs a millisecond.
func cheap(name, roles, password string) string {
	return User{Name: name, Roles: roles, Hash: hash([]byte(password), minMemoryKiB, 1)}.String()
}

// file writes the lines and opens them; the log is returned as well.
func file(t *testing.T, lines ...string) (*Users, string, *bytes.Buffer) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "users")
	put(t, path, lines...)
	var log bytes.Buffer
	u, err := Open(path, slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	return u, path, &log
}

func put(t *testing.T, path string, lines ...string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestANewPasswordIsHashedAsTheStandardSays(t *testing.T) {
	u, err := New("shop", "writer", []byte("correct horse battery"))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(u.Hash, "$argon2id$v=19$m=19456,t=2,p=1$") {
		t.Error(u.Hash)
	}
	again, err := Parse([]byte("# who\n\n" + u.String() + "\r\n"))
	if err != nil || len(again) != 1 || again[0] != u {
		t.Fatal(again, err)
	}
	other, err := New("shop", "writer", []byte("correct horse battery"))
	if err != nil || other.Hash == u.Hash {
		t.Error("two hashes share their salt", err)
	}
	// Of the reference implementation: echo -n password | argon2 somesalt -id -t 2 -k 65536 -p 1 -e
	h, err := parseHash("$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc")
	if err != nil || !h.fits([]byte("password")) || h.fits([]byte("Password")) {
		t.Error("the reference's vector does not verify", err)
	}
}

func TestWhatIsNoUserIsRefused(t *testing.T) {
	good := hash([]byte("password"), minMemoryKiB, 1)
	for text, want := range map[string]string{
		"shop":                      "name:roles:hash",
		"shop:writer":               "name:roles:hash",
		":writer:" + good:           "a user's name",
		"sh op:writer:" + good:      "a user's name",
		"shop:banana:" + good:       `"banana" is no role`,
		"shop::" + good:             `"" is no role`,
		"shop:writer:changeit":      "PHC|$argon2id",
		"shop:writer:" + good + "=": "$argon2id",
		"shop:writer: " + good:      "$argon2id",
		"a:writer:" + strings.Replace(good, "m=1024", "m=999999999", 1):                  "too much",
		"a:writer:" + strings.Replace(good, "m=1024", "m=1", 1):                          "too little",
		"a:writer:" + strings.Replace(good, "argon2id", "argon2i", 1):                    "$argon2id",
		"a:writer:" + strings.Replace(good, "t=1", "t=+1", 1):                            "$argon2id",
		cheap("a", "writer", "password") + "\n# and\n" + cheap("a", "admin", "password"): "line 3 of the event store's users: the user stands in the file twice",
		strings.Repeat("#", maxFile+1):                                                   "1 MiB",
	} {
		_, err := Parse([]byte(text))
		_, alternative, _ := strings.Cut(want, "|")
		if fault.CodeOf(err) != "STORE_USERS_MALFORMED" || !strings.Contains(err.Error(), want) && (alternative == "" || !strings.Contains(err.Error(), alternative)) {
			t.Errorf("%.60q: %v", text, err)
		}
		if err != nil && strings.Contains(err.Error(), good[len(good)-20:]) {
			t.Errorf("%.60q: the fault quotes the hash", text)
		}
	}
	for _, password := range []string{"", "elevenbytes", strings.Repeat("x", maxPassword+1)} {
		if _, err := New("shop", "writer", []byte(password)); fault.CodeOf(err) != "PASSWORD_UNFIT" {
			t.Errorf("%.20q: %v", password, err)
		}
	}
}

func TestRolesAllowWhatTheTableSays(t *testing.T) {
	for role, want := range map[string]string{
		"admin": "rawd gs", "writer": "ra", "reader": "r", "ops": "rg", "writer,ops": "rag", "reader,admin": "rawd gs",
	} {
		right, err := rightsOf(role)
		if err != nil {
			t.Fatal(err)
		}
		p := Principal{rights: right}
		for r, letter := range map[Right]string{Read: "r", Append: "a", Delete: "d", Groups: "g", System: "s"} {
			if p.May(r) != strings.Contains(want, letter) {
				t.Errorf("%s: %s is %v", role, letter, p.May(r))
			}
		}
	}
	if Anonymous().May(Read) || !Anonymous().May(0) || !Everyone().May(everything) {
		t.Error("nobody may read, or everyone may not")
	}
}

func TestAPasswordIsHashedOnceHoweverManyCome(t *testing.T) {
	u, _, _ := file(t, cheap("shop", "writer", "correct"), cheap("audit", "reader", "correct"))
	var all sync.WaitGroup
	for range 200 { // more than may wait: one hash answers them all
		all.Go(func() {
			if p, err := u.Check(t.Context(), "shop", "correct", "10.0.0.1"); err != nil || p.Name != "shop" || !p.May(Append) {
				t.Error(p, err)
			}
		})
	}
	all.Wait()
	if n := u.checker.hashes.Load(); n < 1 || n > 3 { // whoever asks between two flights begins another
		t.Errorf("%d hashes", n)
	}
	known := u.checker.hashes.Load()
	for range 50 {
		if _, err := u.Check(t.Context(), "shop", "correct", "10.0.0.1"); err != nil {
			t.Error(err)
		}
	}
	if n := u.checker.hashes.Load() - known; n != 0 {
		t.Errorf("a known password costs %d more hashes", n)
	}
	for _, wrong := range [][2]string{{"shop", "wrong"}, {"nobody", "correct"}, {"", ""}, {"shop", ""}, {"audit\x00x", "correct"}, {"shop", strings.Repeat("x", 1<<20)}} {
		before := u.checker.hashes.Load()
		for range 2 {
			if _, err := u.Check(t.Context(), wrong[0], wrong[1], "10.0.0.1"); !errors.Is(err, ErrCredentials) {
				t.Errorf("%.20q: %v", wrong, err)
			}
		}
		if n := u.checker.hashes.Load() - before; n != 2 && len(wrong[1]) < maxPassword {
			t.Errorf("%q: a wrong login costs %d hashes for two", wrong, n)
		}
	}
	if p, err := u.Check(t.Context(), "audit", "correct", "10.0.0.1"); err != nil || p.Name != "audit" || p.May(Append) {
		t.Error(p, err)
	}
}

func TestWhoGuessesCanNotKeepOthersOut(t *testing.T) {
	u, _, _ := file(t, cheap("shop", "writer", "correct"), cheap("audit", "reader", "correct"))
	if _, err := u.Check(t.Context(), "shop", "correct", "10.0.0.1"); err != nil {
		t.Fatal(err)
	}
	for range cap(u.checker.slots) {
		u.checker.slots <- struct{}{} // all cores are hashing
	}
	ctx, giveUp := context.WithCancel(t.Context())
	var guesses sync.WaitGroup
	for n := range maxWaitingHost {
		guesses.Go(func() {
			if _, err := u.Check(ctx, "shop", fmt.Sprint(n), "10.6.6.6"); !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
		})
	}
	for waiting := 0; waiting < maxWaitingHost; {
		u.checker.mu.Lock()
		waiting = u.checker.total
		u.checker.mu.Unlock()
	}
	if _, err := u.Check(t.Context(), "shop", "one more", "10.6.6.6"); !errors.Is(err, ErrBusy) {
		t.Errorf("a host that fills the queue: %v", err)
	}
	if _, err := u.Check(t.Context(), "shop", "correct", "10.0.0.1"); err != nil {
		t.Errorf("who was known: %v", err)
	}
	other := make(chan error, 1)
	go func() { _, err := u.Check(t.Context(), "audit", "correct", "10.0.0.2"); other <- err }()
	giveUp()
	guesses.Wait()
	for range cap(u.checker.slots) {
		<-u.checker.slots
	}
	if err := <-other; err != nil {
		t.Errorf("who came behind the guesses: %v", err)
	}
}

func TestTheFileIsReadAgainAndChangedUsersLoseWhatTheyHave(t *testing.T) {
	shop, audit := cheap("shop", "writer", "correct"), cheap("audit", "reader", "correct")
	u, path, log := file(t, shop, audit)
	login := func(name, password string) (Principal, error) { return u.Check(t.Context(), name, password, "h") }
	before, err := login("shop", "correct")
	if err != nil {
		t.Fatal(err)
	}
	stays, err := login("audit", "correct")
	if err != nil {
		t.Fatal(err)
	}
	put(t, path, audit, cheap("shop", "reader", "another"))
	u.Refresh() // seen once: an editor may be writing
	if _, err := login("shop", "correct"); err != nil {
		t.Errorf("taken over at the first look: %v", err)
	}
	u.Refresh()
	if _, err := login("shop", "correct"); !errors.Is(err, ErrCredentials) {
		t.Errorf("the old password: %v", err)
	}
	if p, err := login("shop", "another"); err != nil || p.May(Append) {
		t.Errorf("the new one: %v %v", p, err)
	}
	if !errors.Is(context.Cause(before.Valid()), ErrRevoked) || stays.Valid().Err() != nil {
		t.Error("the changed user goes on, or the other does not")
	}
	for _, broken := range []func(){
		func() { put(t, path, "# nobody") },
		func() { put(t, path, audit, "nonsense") },
		func() { put(t, path, audit); _ = os.Chmod(path, 0o602) },
		func() { _ = os.Remove(path) },
	} {
		broken()
		log.Reset()
		for range 5 {
			u.Refresh()
		}
		if _, err := login("shop", "another"); err != nil {
			t.Errorf("a broken file locks everybody out: %v", err)
		}
		if n := strings.Count(log.String(), "level=ERROR"); n != 1 {
			t.Errorf("%d complaints: %s", n, log)
		}
	}
	put(t, path, audit)
	_ = os.Chmod(path, 0o600)
	u.Refresh()
	u.Refresh()
	if _, err := login("shop", "another"); !errors.Is(err, ErrCredentials) {
		t.Errorf("removed: %v", err)
	}
	if strings.Contains(log.String(), "argon2") {
		t.Error("a hash is in the log")
	}
}

func TestAFileThatIsNotFitIsRefusedAtStart(t *testing.T) {
	path := filepath.Join(t.TempDir(), "users")
	opened := func() string { _, err := Open(path, slog.Default()); return fault.CodeOf(err) }
	if code := opened(); code != "STORE_USERS_UNREADABLE" {
		t.Error(code)
	}
	put(t, path, "")
	if code := opened(); code != "STORE_USERS_NONE" {
		t.Error(code)
	}
	put(t, path, "admin:admin:changeit")
	if code := opened(); code != "STORE_USERS_MALFORMED" {
		t.Error(code)
	}
	put(t, path, cheap("admin", "admin", "correct"))
	if err := os.Chmod(path, 0o660); err != nil {
		t.Fatal(err)
	}
	if code := opened(); code != "STORE_USERS_WRITABLE" {
		t.Error(code)
	}
	if _, err := Open(t.TempDir(), slog.Default()); fault.CodeOf(err) != "STORE_USERS_UNREADABLE" && fault.CodeOf(err) != "STORE_USERS_WRITABLE" {
		t.Error(err)
	}
}

func TestTheToolEditsLinesAndKeepsComments(t *testing.T) {
	path := filepath.Join(t.TempDir(), "users")
	a, b := User{"a", "admin", hash([]byte("x"), minMemoryKiB, 1)}, User{"b", "reader", hash([]byte("x"), minMemoryKiB, 1)}
	if replaced, err := Put(path, a); err != nil || replaced {
		t.Fatal(replaced, err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", info.Mode(), err)
	}
	put(t, path, "# first", a.String(), "# last")
	if replaced, err := Put(path, b); err != nil || replaced {
		t.Fatal(replaced, err)
	}
	a.Roles = "ops"
	if replaced, err := Put(path, a); err != nil || !replaced {
		t.Fatal(replaced, err)
	}
	text, err := os.ReadFile(path)
	if want := "# first\n" + a.String() + "\n# last\n" + b.String() + "\n"; err != nil || string(text) != want {
		t.Fatalf("%s\nwant\n%s", text, want)
	}
	if err := Remove(path, "c"); fault.CodeOf(err) != "STORE_USER_MISSING" {
		t.Error(err)
	}
	if err := Remove(path, "a"); err != nil {
		t.Fatal(err)
	}
	if users, err := List(path); err != nil || len(users) != 1 || users[0] != b {
		t.Error(users, err)
	}
	if _, err := Put(filepath.Join(path, "no"), a); err == nil || errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
	if left, err := filepath.Glob(filepath.Join(filepath.Dir(path), ".users-*")); err != nil || len(left) > 0 {
		t.Error("a draft is left", left, err)
	}
}

// FuzzUsers reads arbitrary files: what is taken must come out as it went in, and nothing of a refused one may be quoted but names of roles.
func FuzzUsers(f *testing.F) {
	f.Add("# x\n" + cheap("shop", "writer,ops", "x") + "\n")
	f.Add("a:admin:$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc")
	f.Add("::\n\r\n:::")
	f.Fuzz(func(t *testing.T, text string) {
		users, err := Parse([]byte(text))
		if err != nil {
			if fault.CodeOf(err) != "STORE_USERS_MALFORMED" {
				t.Fatal(err)
			}
			return
		}
		var again strings.Builder
		for _, u := range users {
			if !strings.Contains(text, u.String()) {
				t.Fatalf("%q was not in the file", u)
			}
			fmt.Fprintln(&again, u)
		}
		second, err := Parse([]byte(again.String()))
		if err != nil || len(second) != len(users) {
			t.Fatal(second, err)
		}
		if _, err := bind(users, nil); err != nil {
			t.Fatal(err)
		}
	})
}

// Hashes of a file may cost different times. If names that aren't there all cost the same, the time of an answer would tell them from users.
func TestTheTimeOfAnAnswerTellsNoNames(t *testing.T) {
	u, _, _ := file(t, cheap("shop", "writer", "correct"), cheap("audit", "reader", "correct"))
	b := u.now.Load()
	b.hashes[0].passes = 7 // the first user's is dearer
	seen := map[uint32]int{}
	for n := range 200 {
		name := fmt.Sprint("stranger", n)
		h := b.hashOf(name, &u.checker.key)
		if again := b.hashOf(name, &u.checker.key); again.String() != h.String() {
			t.Fatalf("%s costs %d and then %d", name, h.passes, again.passes)
		}
		seen[h.passes]++
	}
	if len(seen) != 2 || seen[7] < 50 || seen[7] > 150 {
		t.Errorf("strangers cost %v", seen)
	}
	if h := b.hashOf("audit", &u.checker.key); h.String() != b.account("audit").hash.String() {
		t.Error("a user is measured against another's hash")
	}
}

func TestWhoWasHereIsKnownWithoutAHash(t *testing.T) {
	u, _, _ := file(t, cheap("shop", "writer", "correct"))
	if _, known := u.Known("shop", "correct"); known {
		t.Error("known before the first login")
	}
	if _, err := u.Check(t.Context(), "shop", "correct", "10.0.0.1"); err != nil {
		t.Fatal(err)
	}
	if p, known := u.Known("shop", "correct"); !known || p.Name != "shop" || !p.May(Append) {
		t.Error(p, known)
	}
	for _, x := range [][2]string{{"shop", "wrong"}, {"shop", ""}, {"nobody", "correct"}, {"", ""}} {
		if _, known := u.Known(x[0], x[1]); known {
			t.Errorf("%q is known", x)
		}
	}
}

// Hosts that guess fill the queue; who has no place in it gets one of theirs.
func TestAFullQueueMakesRoomForOthers(t *testing.T) {
	u, _, _ := file(t, cheap("shop", "writer", "correct"), cheap("audit", "reader", "correct"))
	for range cap(u.checker.slots) {
		u.checker.slots <- struct{}{} // all cores are hashing
	}
	var guesses sync.WaitGroup
	var thrown atomic.Int64
	waiting := func() int { u.checker.mu.Lock(); defer u.checker.mu.Unlock(); return u.checker.total }
	for n := range maxWaiting {
		guesses.Go(func() {
			_, err := u.Check(t.Context(), "shop", fmt.Sprint("guess", n), fmt.Sprint("10.6.6.", n/maxWaitingHost))
			if errors.Is(err, ErrBusy) {
				thrown.Add(1)
			} else if !errors.Is(err, ErrCredentials) {
				t.Error(err)
			}
		})
	}
	for waiting() < maxWaiting {
		runtime.Gosched()
	}
	others := make(chan error, 3)
	for n := range cap(others) {
		host, known := fmt.Sprint("10.0.0.", n), strings.Repeat("x", n) // questions that differ, so that none shares another's hash
		go func() { _, err := u.Check(t.Context(), "audit"+known, "correct", host); others <- err }()
		for int(thrown.Load()) <= n && len(others) == 0 { // none is answered while all cores are hashing, unless it is refused
			runtime.Gosched()
		}
	}
	if n := waiting(); n > maxWaiting {
		t.Errorf("%d wait", n)
	}
	for range cap(u.checker.slots) {
		<-u.checker.slots
	}
	for range cap(others) {
		if err := <-others; errors.Is(err, ErrBusy) {
			t.Errorf("who came to a full queue: %v", err)
		}
	}
	guesses.Wait()
	if n := waiting(); n != 0 || len(u.checker.hosts) != 0 {
		t.Errorf("%d wait for nothing, of %d hosts", n, len(u.checker.hosts))
	}
}

func TestTheOnlyUserIsNotRemoved(t *testing.T) {
	_, path, _ := file(t, cheap("shop", "writer", "correct"), cheap("audit", "reader", "correct"))
	if err := Remove(path, "shop"); err != nil {
		t.Fatal(err)
	}
	if err := Remove(path, "audit"); fault.CodeOf(err) != "STORE_USER_LAST" {
		t.Error(err)
	}
	if users, err := List(path); err != nil || len(users) != 1 || users[0].Name != "audit" {
		t.Error(users, err)
	}
}
