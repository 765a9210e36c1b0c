package config

import (
	"fmt"
	"net/url"
	"reflect"
	"strings"
)

// A row is one field of Config as people see it.
type row struct{ name, value, secret, doc string }

func rows(c Config) []row {
	v := reflect.ValueOf(c)
	out := make([]row, 0, v.NumField())
	for i := range v.NumField() {
		tag := v.Type().Field(i).Tag
		out = append(out, row{tag.Get("env"), fmt.Sprint(v.Field(i).Interface()), tag.Get("secret"), tag.Get("doc")})
	}
	return out
}

// String prints the table as an environment file, with secrets left out, so that it may stand in logs and issues.
func (c Config) String() string {
	var b strings.Builder
	for _, r := range rows(c) {
		fmt.Fprintf(&b, "# %s\n%s=%s\n", r.doc, r.name, r.shown())
	}
	return b.String()
}

// GoString keeps %#v from printing what String hides.
func (c Config) GoString() string { return c.String() }

func (r row) shown() string {
	if r.secret == "" || r.value == "" {
		return r.value
	}
	if u, err := url.Parse(r.value); err == nil && r.secret == "url" && u.Host != "" {
		u.RawQuery = "" // some URLs carry a password there
		return u.Redacted()
	}
	return "(set)"
}
