package graph

import (
	"encoding/json"
	"net/url"
	"testing"
	"unicode/utf8"
)

func TestHalfACharacterIsRefused(t *testing.T) {
	for text, want := range map[string]bool{
		`{"a":"\ud800"}`: true, `{"a":"\udc00"}`: true, `{"a":"\ud800x"}`: true, `{"a":"\ud800\ud800"}`: true, `{"a":"\ude00\ud83d"}`: true, `{"a":"\uD83D"}`: true,
		`{"\ud800":1}`: true, `{"a":"\\\ud800"}`: true,
		`{"a":"\ud83d\ude00"}`: false, `{"a":"\\ud800"}`: false, `{"a":"\u00e4\n\""}`: false, `{"a":"😀"}`: false, `{}`: false, `\`: false, `\u12`: false, `"\ufffd"`: false,
	} {
		if got := halved(text); got != want {
			t.Errorf("%s: %v", text, got)
		}
	}
}

func TestADocumentsTextIsWhole(t *testing.T) {
	for document, want := range map[string]string{
		`{ a(b: "\ud83d\ude00") }`:              `{ a(b: "😀") }`,
		`{ a(b: "x\"\ud83d\ude00\\", c: 1) }`:   `{ a(b: "x\"😀\\", c: 1) }`,
		`{ a(b: "\u00e4") }`:                    `{ a(b: "\u00e4") }`,
		`{ a(b: """\ud800 " \""" \ud83d""") }`:  `{ a(b: """\ud800 " \""" \ud83d""") }`,
		"{ a # \"\\ud800\n(b: \"\\\\ud800\") }": "{ a # \"\\ud800\n(b: \"\\\\ud800\") }",
		`{ a(b: "\ud83d\ude00`:                  `{ a(b: "😀`,
		`{ a(b: """\ud800`:                      `{ a(b: """\ud800`,
		`{ a(b: "", c: "\ud83d\ude00") }`:       `{ a(b: "", c: "😀") }`,
		`{ a(b: "\ud800") }`:                    "",
		`{ a(b: """x""", c: "\udc00") }`:        "",
		"{ a # x\n(b: \"\\ud83dx\") }":          "",
		"{ a # x\r(b: \"\\ud83dx\") }":          "",
		"{ a # x\r(b: \"\\ud83d\\ude00\") }":    "{ a # x\r(b: \"😀\") }",
	} {
		got, ok := wholeCharacters(document)
		if got != want || ok != (want != "") {
			t.Errorf("%s: %v %s", document, ok, got)
		}
	}
}

func TestNothingElseIsStoredThanWasSent(t *testing.T) {
	w := newWorld(t)
	body := func(name string) string {
		return `{"query":"mutation { createProduct(input: {sku: \"S\", name: \"` + name + `\", price: {amount: \"1.00\", currencyCode: \"GBP\"}}) { product { name } receipt { position } userErrors { code } } }"}`
	}
	post := func(body string) reply {
		return raw(t, w.api, "POST", "/graphql", admin, body, "Content-Type", "application/json")
	}
	for _, bad := range []string{
		body(`\\ud800`), body(`\ud800`), body("\xff"),
		`{"query":"query($s: String!) { product(sku: $s) { name } }","variables":{"s":"\udc00"}}`,
		`{"query":"{ me { kind } }","extensions":{"s":"\ud83d"}}`,
	} {
		if r := post(bad); r.status != 400 || len(r.Errors) != 1 || r.Errors[0].Extensions.Code != "BAD_USER_INPUT" {
			t.Errorf("%s: %d %s", bad, r.status, r.raw)
		}
	}
	for _, bad := range []string{"query=" + url.QueryEscape(`{ product(sku: "\ud800") { name } }`),
		"query=%7Bme%7Bkind%7D%7D&variables=" + url.QueryEscape(`{"a":"\ud800"}`)} {
		if r := raw(t, w.api, "GET", "/graphql?"+bad, admin, ""); r.status != 400 || r.Errors[0].Extensions.Reason != "TEXT_MALFORMED" {
			t.Errorf("%s: %d %s", bad, r.status, r.raw)
		}
	}
	if r := post(body(`\\ud83d\\ude00 \ud83d\ude00 😀`)).fine(); r.at("createProduct.product.name") != "😀 😀 😀" {
		t.Error(r.raw)
	}
}

func FuzzSurrogates(f *testing.F) {
	f.Add(`{ a(b: "\ud83d\ude00") } # \u`)
	f.Add(`"""\u""" "\\\ud800"`)
	f.Fuzz(func(t *testing.T, text string) {
		if whole, ok := wholeCharacters(text); ok && utf8.ValidString(text) && !utf8.ValidString(whole) {
			t.Errorf("%q became %q", text, whole)
		}
		var v string
		if json.Unmarshal([]byte(text), &v) == nil && !halved(text) {
			again, err := json.Marshal(v)
			var w string
			if err != nil || json.Unmarshal(again, &w) != nil || w != v {
				t.Errorf("%q", text)
			}
		}
	})
}
