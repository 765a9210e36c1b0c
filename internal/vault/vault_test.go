package vault_test

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5/pgxpool"
	"go.uber.org/goleak"

	"github.com/annalhq/annal/internal/pii"
	"github.com/annalhq/annal/internal/postgres"
	"github.com/annalhq/annal/internal/testenv"
	"github.com/annalhq/annal/internal/vault"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var kek = bytes.Repeat([]byte{7}, 32)

const anna, bert = pii.Subject("c-anna"), pii.Subject("c-bert")

func database(t testing.TB) string {
	t.Helper()
	return testenv.PostgresFrom(t, "vault", func(url string) error {
		return postgres.Migrate(context.Background(), url, vault.Schema, vault.Migrations())
	})
}

func connect(t testing.TB, url string) *pgxpool.Pool {
	t.Helper()
	pool, err := postgres.Open(t.Context(), url, postgres.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	return pool
}

func open(t testing.TB, url string, cfg vault.Config) *vault.Vault {
	t.Helper()
	if cfg.KEK == nil {
		cfg.KEK = kek
	}
	access := postgres.Access{Owner: url} // the vault works in its own role in every test
	if err := access.Grant(t.Context(), vault.Owned()); err != nil {
		t.Fatal(err)
	}
	pool, err := access.Open(t.Context(), postgres.Vault, postgres.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	v, err := vault.New(pool, cfg)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func seal(t testing.TB, v *vault.Vault, subject pii.Subject, field pii.Field, plain string) pii.Sealed {
	t.Helper()
	s, err := v.Seal(t.Context(), subject, pii.Fulfilment, field, []byte(plain))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestWhatIsSealedOpensInAnyProcessAndOnlyAsItself(t *testing.T) {
	url := database(t)
	v, other := open(t, url, vault.Config{}), open(t, url, vault.Config{})
	name, phone := seal(t, v, anna, pii.Name, "Änne O'Neill 🌷"), seal(t, v, anna, pii.Phone, "+49 30 1")
	if got, err := other.Open(t.Context(), pii.Name, name); err != nil || string(got) != "Änne O'Neill 🌷" {
		t.Fatalf("%q, %v", got, err)
	}
	seal(t, v, bert, pii.Name, "Bert")

	moved := func(change func(*pii.Sealed)) pii.Sealed {
		c := pii.Sealed{Key: phone.Key, Cipher: bytes.Clone(phone.Cipher)}
		change(&c)
		return c
	}
	for what, s := range map[string]pii.Sealed{
		"another person":  moved(func(s *pii.Sealed) { s.Key.Subject = bert }),
		"a changed bit":   moved(func(s *pii.Sealed) { s.Cipher[len(s.Cipher)-1] ^= 1 }),
		"a changed nonce": moved(func(s *pii.Sealed) { s.Cipher[0] ^= 1 }),
		"a short cipher":  moved(func(s *pii.Sealed) { s.Cipher = s.Cipher[:10] }),
	} {
		if _, err := v.Open(t.Context(), pii.Phone, s); !errors.Is(err, vault.ErrForged) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if _, err := v.Open(t.Context(), pii.Address, phone); !errors.Is(err, vault.ErrForged) {
		t.Errorf("another field: %v", err)
	}
	unknown := moved(func(s *pii.Sealed) { s.Key.Version = 2 })
	if _, err := v.Open(t.Context(), pii.Phone, unknown); !errors.Is(err, vault.ErrErased) {
		t.Errorf("a key that is not there: %v", err)
	}
}

func TestAnEmptyDatumIsNone(t *testing.T) {
	v := open(t, database(t), vault.Config{})
	s := seal(t, v, anna, pii.Note, "")
	if got, err := v.Open(t.Context(), pii.Note, s); !s.IsZero() || got != nil || err != nil {
		t.Fatalf("%v, %q, %v", s, got, err)
	}
}

func TestPaddingHidesTheLength(t *testing.T) {
	v := open(t, database(t), vault.Config{})
	lengths := func(plains ...int) (sizes []int) {
		for _, n := range plains {
			s := seal(t, v, anna, pii.Note, strings.Repeat("x", n))
			sizes = append(sizes, len(s.Cipher)-28) // nonce and tag
			if got, err := v.Open(t.Context(), pii.Note, s); err != nil || len(got) != n {
				t.Fatalf("%d bytes: %d, %v", n, len(got), err)
			}
		}
		return sizes
	}
	if diff := cmp.Diff([]int{32, 32, 64, 64, 128, 1 << 17}, lengths(1, 28, 29, 60, 61, vault.MaxPlaintext)); diff != "" {
		t.Error(diff)
	}
	_, err := v.Seal(t.Context(), anna, pii.Fulfilment, pii.Note, make([]byte, vault.MaxPlaintext+1))
	if !errors.Is(err, vault.ErrTooLong) {
		t.Error(err)
	}
}

func TestTheErasedIsGoneForEverAndNobodyElseIs(t *testing.T) {
	url := database(t)
	v := open(t, url, vault.Config{})
	ctx := t.Context()
	name, kept := seal(t, v, anna, pii.Name, "Anna"), seal(t, v, bert, pii.Name, "Bert")
	promo, err := v.Seal(ctx, anna, pii.Marketing, pii.Email, []byte("a@example.org"))
	if err != nil {
		t.Fatal(err)
	}
	if err := v.Index(ctx, anna, pii.Email, "a@example.org"); err != nil {
		t.Fatal(err)
	}
	for range 2 { // again changes nothing
		if err := v.Shred(ctx, anna, pii.Fulfilment); err != nil {
			t.Fatal(err)
		}
	}
	for what, v := range map[string]*vault.Vault{"the same process": v, "another": open(t, url, vault.Config{})} {
		opened, err := v.OpenMany(ctx, []vault.Item{{Field: pii.Name, Sealed: name}, {Field: pii.Name, Sealed: kept}, {Field: pii.Email, Sealed: promo}, {}})
		if err != nil {
			t.Fatal(err)
		}
		if !errors.Is(opened[0].Err, vault.ErrErased) || string(opened[1].Plaintext) != "Bert" || string(opened[2].Plaintext) != "a@example.org" || opened[3].Err != nil {
			t.Errorf("%s: %v", what, opened)
		}
		if _, err := v.Seal(ctx, anna, pii.Fulfilment, pii.Name, []byte("Anna")); !errors.Is(err, vault.ErrErased) {
			t.Errorf("%s seals again: %v", what, err)
		}
		if _, err := v.MAC(ctx, anna, []byte("x")); !errors.Is(err, vault.ErrErased) {
			t.Errorf("%s: MAC: %v", what, err)
		}
		if err := v.Index(ctx, anna, pii.Email, "a@example.org"); !errors.Is(err, vault.ErrErased) {
			t.Errorf("%s: index: %v", what, err)
		}
		if found, err := v.Find(ctx, pii.Email, "a@example.org"); err != nil || len(found) != 0 {
			t.Errorf("%s still finds %v, %v", what, found, err)
		}
		if err := v.Prepare(ctx, pii.Fulfilment, []pii.Subject{anna, bert}); err != nil {
			t.Errorf("%s: an erased person hinders the others: %v", what, err)
		}
	}
	if err := v.Shred(ctx, "c-never-seen", pii.Fulfilment); err != nil {
		t.Fatal(err)
	}
	if _, err := v.Seal(ctx, "c-never-seen", pii.Fulfilment, pii.Name, []byte("N")); !errors.Is(err, vault.ErrErased) {
		t.Errorf("erased before the first use: %v", err)
	}
}

func TestRacingFirstUsesAgreeOnOneKey(t *testing.T) {
	url := database(t)
	vaults := []*vault.Vault{open(t, url, vault.Config{}), open(t, url, vault.Config{})}
	sealed := make([]pii.Sealed, 20)
	macs := make([]string, 20)
	var wg sync.WaitGroup
	for n := range sealed {
		wg.Go(func() {
			var err1, err2 error
			sealed[n], err1 = vaults[n%2].Seal(t.Context(), anna, pii.Fulfilment, pii.Name, []byte("Anna"))
			macs[n], err2 = vaults[n%2].MAC(t.Context(), "", []byte("input"))
			if err := errors.Join(err1, err2); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	fresh := open(t, url, vault.Config{})
	for n, s := range sealed {
		if got, err := fresh.Open(t.Context(), pii.Name, s); err != nil || string(got) != "Anna" {
			t.Errorf("%d: %q, %v", n, got, err)
		}
		if macs[n] != macs[0] {
			t.Errorf("%d: another installation key", n)
		}
	}
}

func TestErasureRacingUseLeavesNothingUsable(t *testing.T) {
	url := database(t)
	users, eraser := open(t, url, vault.Config{}), open(t, url, vault.Config{})
	for round := range 10 {
		subject := pii.Subject("c-" + string(rune('a'+round)))
		var wg sync.WaitGroup
		var s pii.Sealed
		wg.Go(func() { s, _ = users.Seal(t.Context(), subject, pii.Fulfilment, pii.Name, []byte("N")) })
		wg.Go(func() { _ = users.Index(t.Context(), subject, pii.Email, "n@example.org") })
		wg.Go(func() {
			if err := eraser.Shred(t.Context(), subject, pii.Fulfilment); err != nil {
				t.Error(err)
			}
		})
		wg.Wait()
		if !s.IsZero() {
			if got, err := eraser.Open(t.Context(), pii.Name, s); !errors.Is(err, vault.ErrErased) {
				t.Errorf("round %d: %q, %v", round, got, err)
			}
		}
	}
	if found, err := eraser.Find(t.Context(), pii.Email, "n@example.org"); err != nil || len(found) != 0 {
		t.Errorf("the index still knows %v, %v", found, err)
	}
}

func TestAWrongKEKIsFoundBeforeItWrites(t *testing.T) {
	url := database(t)
	s := seal(t, open(t, url, vault.Config{}), anna, pii.Name, "Anna")
	wrong := open(t, url, vault.Config{KEK: bytes.Repeat([]byte{8}, 32)})
	_, opening := wrong.Open(t.Context(), pii.Name, s)
	_, sealing := wrong.Seal(t.Context(), bert, pii.Fulfilment, pii.Name, []byte("Bert"))
	_, mac := wrong.MAC(t.Context(), "", []byte("x"))
	for _, err := range []error{opening, sealing, mac} {
		if !errors.Is(err, vault.ErrWrongKEK) {
			t.Error(err)
		}
	}
	var rows int
	if err := connect(t, url).QueryRow(t.Context(), `SELECT count(*) FROM vault.keys`).Scan(&rows); err != nil || rows != 1 {
		t.Errorf("%d keys, %v", rows, err)
	}
	if _, err := vault.New(nil, vault.Config{KEK: []byte("short")}); err == nil {
		t.Error("a KEK of 5 bytes is taken")
	}
}

func TestMACsTellEqualFromOther(t *testing.T) {
	v := open(t, database(t), vault.Config{})
	mac := func(subject pii.Subject, data string) string {
		m, err := v.MAC(t.Context(), subject, []byte(data))
		if err != nil || len(m) != 43 {
			t.Fatalf("%q, %v", m, err)
		}
		return m
	}
	first := mac(anna, "x")
	if first != mac(anna, "x") || mac(anna, "x") == mac(anna, "y") || mac(anna, "x") == mac(bert, "x") || mac("", "x") == mac(anna, "x") {
		t.Error("MACs do not tell what they should")
	}
}

func TestTheIndexKnowsTheCurrentValueOnly(t *testing.T) {
	v := open(t, database(t), vault.Config{})
	index := func(s pii.Subject, value string) {
		if err := v.Index(t.Context(), s, pii.Email, value); err != nil {
			t.Fatal(err)
		}
	}
	find := func(value string, want ...pii.Subject) {
		t.Helper()
		got, err := v.Find(t.Context(), pii.Email, value)
		if diff := cmp.Diff(want, got); err != nil || len(got) != len(want) || diff != "" && len(want) > 0 {
			t.Errorf("%s: %v, %v", value, got, err)
		}
	}
	index(bert, "family@example.org")
	index(anna, "family@example.org")
	find("family@example.org", anna, bert)
	index(bert, "bert@example.org")
	find("family@example.org", anna)
	find("bert@example.org", bert)
	index(bert, "")
	find("bert@example.org")
	find("")
	if got, err := v.Find(t.Context(), pii.Phone, "family@example.org"); err != nil || len(got) != 0 {
		t.Errorf("another field: %v, %v", got, err)
	}
}

func TestNoPlaintextAndNoTwoEqualNonces(t *testing.T) {
	url := database(t)
	v := open(t, url, vault.Config{})
	const sentinel = "sentinel-7c1f@example.org"
	nonces := map[string]bool{}
	for range 2000 {
		nonces[string(seal(t, v, anna, pii.Email, sentinel).Cipher[:12])] = true
	}
	if len(nonces) != 2000 {
		t.Errorf("%d nonces in 2000 sealings", len(nonces))
	}
	if err := v.Index(t.Context(), anna, pii.Email, sentinel); err != nil {
		t.Fatal(err)
	}
	if _, err := v.MAC(t.Context(), anna, []byte(sentinel)); err != nil {
		t.Fatal(err)
	}
	pool := connect(t, url)
	for _, table := range []string{"keys", "installation", "blind_index"} {
		var rows, hits int
		if err := pool.QueryRow(t.Context(), `SELECT count(*), count(*) FILTER (WHERE r::text LIKE '%sentinel%' OR r::text LIKE '%' || encode('sentinel', 'hex') || '%')
			FROM vault.`+table+` r`).Scan(&rows, &hits); err != nil || rows == 0 || hits != 0 {
			t.Errorf("%s: %d of %d rows show it, %v", table, hits, rows, err)
		}
	}
}

func TestAKnownPersonCostsNoRoundTripAndAnAbsentVaultSaysSo(t *testing.T) {
	url := database(t)
	pool := connect(t, url)
	v, err := vault.New(pool, vault.Config{KEK: kek})
	if err != nil {
		t.Fatal(err)
	}
	s := seal(t, v, anna, pii.Name, "Anna")
	pool.Close() // from here on every query fails
	seal(t, v, anna, pii.Phone, "1")
	if got, err := v.Open(t.Context(), pii.Name, s); err != nil || string(got) != "Anna" {
		t.Errorf("%q, %v", got, err)
	}
	_, sealing := v.Seal(t.Context(), bert, pii.Fulfilment, pii.Name, []byte("Bert"))
	for _, err := range []error{sealing, v.Shred(t.Context(), anna, pii.Fulfilment), v.Index(t.Context(), anna, pii.Email, "x")} {
		if !errors.Is(err, vault.ErrUnavailable) {
			t.Error(err)
		}
	}
}

func TestSubjectsThatCantBeNamedAreRefused(t *testing.T) {
	v := open(t, database(t), vault.Config{})
	for _, subject := range []pii.Subject{"", "a:b", "a\x00", pii.Subject(strings.Repeat("x", 201))} {
		if _, err := v.Seal(t.Context(), subject, pii.Fulfilment, pii.Name, []byte("N")); !errors.Is(err, vault.ErrSubject) {
			t.Errorf("%q: %v", subject, err)
		}
	}
}
